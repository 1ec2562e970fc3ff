"""Killed workers lose nothing: a short version of benchmarks/robustness/killed_workers.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import command
import pytest

from benchmarks.robustness import killed_workers as killing
from dfccodec.runtime.process_identity import identify


@pytest.mark.skipif(
    not identify()["machine"], reason="without /proc, claims of killed processes are stale after a minute"
)
def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    class Forked:
        def __init__(self, arguments: Sequence[str]) -> None:
            streams = [tmp_path / name for name in ("in", "stdout", "stderr")]
            for stream in streams:
                stream.touch()
            self.process = command.start(list(arguments), tmp_path, streams)

        def poll(self) -> int | None:
            return self.process.exitcode

    videos, whole, out = killing.make_list(tmp_path, 8, 24), tmp_path / "whole", tmp_path / "out"
    rng = random.Random(3)
    killing.run_list([killing.command(videos, whole)], whole, 0, rng, (1, 1), Forked)
    met = killing.run_list([killing.command(videos, out)] * 2, out, 4, rng, (0.05, 0.4), Forked)
    assert sum(met.values()) == 4
    killing.check(videos, out, whole)
