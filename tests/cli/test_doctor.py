"""`dfc doctor`: findings, and that nothing missing makes it fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dfccodec import native
from dfccodec.cli import doctor
from dfccodec.cli.main import main
from dfccodec.media import codecs
from dfccodec.models import registry
from dfccodec.version import __version__


def examine(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["doctor", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_findings(capsys: pytest.CaptureFixture[str]) -> None:
    found = examine(capsys)
    assert found["dfc"].startswith(f"{__version__} in ")
    assert set(found["packages"]) >= {"torch", "av", "numpy", "zstandard"}
    assert "libavcodec" in found["ffmpeg"]
    assert found["models"]["mini"].endswith("mini.safetensors")
    assert {"cpu"} <= set(found["devices"])
    assert set(found["disk"]) == {"working folder", "temporary files"}
    assert main(["doctor"]) == 0
    text = capsys.readouterr()
    names = {line.split()[0] for line in text.out.splitlines()}
    assert names >= {"dfc", "python", "packages", "ffmpeg", "memory", "devices", "kernels", "models", "disk", "problem"}
    assert text.err == "for a bug report: paste all lines above, the command, and all it printed\n"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # it cannot be imported
    monkeypatch.setattr(native, "kernels", None)
    monkeypatch.delenv("DFC_NATIVE", raising=False)
    monkeypatch.setattr(codecs, "ENCODERS", (*codecs.ENCODERS, "nothing"))
    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "no-such-package"))
    monkeypatch.setattr(registry, "locate", lambda entry: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    monkeypatch.setattr(doctor, "_LITTLE_DISK", 1e30)
    found = examine(capsys)
    assert found["kernels"] == "NumPy"
    assert found["devices"] == "unknown"
    assert found["packages"]["no-such-package"] is None
    assert found["models"]["mini"] == "not here"
    problems = "\n".join(found["problems"])
    for words in (
        "package no-such-package is missing", "FFmpeg of PyAV has no encoder nothing", "OMP_NUM_THREADS is 100000",
        "devices: ", "torch", "install a C compiler", "model mini is part of the package", "make room there",
    ):  # fmt: skip
        assert words in problems
    assert "\n".join(problem for problem in found["problems"] if "dfc-170m" in problem) == ""


def test_the_home_folder_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "someone")
    assert doctor._short(tmp_path / "someone" / "x") == "~/x"
    assert doctor._short(Path("/opt/x")) == "/opt/x"
