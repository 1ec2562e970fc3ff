"""Workers of a list on a Ray cluster of two, one of which is killed."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

from benchmarks.robustness import killed_workers as killing
from dfccodec.cli.main import main

needs_ray = pytest.mark.skipif(
    not importlib.util.find_spec("ray"), reason="ray is not installed (pip install 'dfccodec[ray]')"
)


@needs_ray
def test_killed_ray_workers_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    videos, whole, out = killing.make_list(tmp_path, 6, 40), tmp_path / "whole", tmp_path / "out"
    rng = random.Random(3)
    killing.run_list([killing.command(videos, whole)], whole, 0, rng, (1, 1), killing.start_dfc)
    command = [*killing.command(videos, out), "--jobs", "2", "--ray", "local"]
    met = killing.run_list([command], out, 2, rng, (0.1, 0.5), killing.start_dfc)
    assert sum(met.values()) == 2
    killing.check(videos, out, whole)


@needs_ray
def test_a_cluster_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.jsonl").write_text('{"input": "a.mp4"}')
    command = ["encode", "--manifest", str(tmp_path / "list.jsonl"), "--output-dir", str(tmp_path / "out")]
    assert main([*command, "--ray", "auto"]) == 1
    assert "dfc: error: no Ray cluster at auto (" in capfd.readouterr().err


def test_messages_without_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "list.jsonl").write_text('{"input": "a.mp4"}')
    command = ["encode", "--manifest", str(tmp_path / "list.jsonl"), "--output-dir", str(tmp_path / "out")]
    assert main([*command, "--ray", "auto"]) == 2
    assert "--ray needs Ray, which is not installed: pip install 'dfccodec[ray]'" in capsys.readouterr().err
    assert main(["encode", "a.mp4", "-o", "a.dfc", "--ray", "auto"]) == 2
    assert "--ray auto needs a list: give --manifest LIST" in capsys.readouterr().err
