"""`dfc recover` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import run, run_and_list_imports
from support import flat_model, moving_square

import dfccodec as dfc


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a file of three clips without its index; the second clip is damaged."""
    dfc.encode(moving_square(96, 16, 32), tmp_path / "in.dfc", model=flat_model(), budget="4", fill="token")
    with dfc.open(tmp_path / "in.dfc") as file:
        offset = file.summary.clips[1].offset + 30
    data = bytearray((tmp_path / "in.dfc").read_bytes()[:-30])
    data[offset : offset + 20] = bytes(20)
    (tmp_path / "cut.dfc").write_bytes(data)
    return tmp_path / "cut.dfc"


def test_intact_clips_are_recovered_and_losses_are_reported(damaged: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.dfc"
    result = run("recover", damaged, "-o", out, "--json")
    assert result.returncode == 0, result.stderr
    text = result.stderr.decode()
    assert "note: frames 32 to 63 are lost, a gap in time from 1.280 s to 2.560 s" in text
    assert "ends without its index" in text
    record = json.loads(result.stdout)
    assert record["lost"] == [{"first": 32, "count": 32, "start": 1.28, "end": 2.56}]
    assert (record["frames"], record["clips"], record["bytes"]) == (64, 2, out.stat().st_size)
    assert record["faults"][0]["class"] == "damaged"
    assert run("verify", out).returncode == 0
    assert run("recover", damaged, "-o", out).returncode == 6


def test_recover_is_a_filter_that_does_not_import_torch(damaged: Path) -> None:
    result, imported = run_and_list_imports("recover", "-", "-o", "-", input=damaged.read_bytes())
    assert result.returncode == 0
    assert not imported & {"torch", "av"}
    assert run("verify", "-", input=result.stdout).returncode == 0


def test_nothing_is_written_if_no_clip_is_intact(damaged: Path, tmp_path: Path) -> None:
    (tmp_path / "short.dfc").write_bytes(damaged.read_bytes()[:300])
    result = run("recover", tmp_path / "short.dfc", "-o", tmp_path / "x.dfc")
    assert result.returncode == 4
    assert b"no clip of the file is intact" in result.stderr
    assert not (tmp_path / "x.dfc").exists()
