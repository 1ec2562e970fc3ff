"""Two ways to find inputs: atheris, which sees what code they reach, and plain dice, which run everywhere."""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from mutate import MAX_BYTES
from watch import Watch

POOL = 4096
"""Inputs kept to make others of."""


def plain(
    watch: Watch, seconds: float, seed: int = 256, most: int | None = None, note: Callable[[bytes], object] = id
) -> None:
    """Mutate seeds at random; inputs that end in a new way join them.

    Args:
        watch: runs the inputs.
        seconds: how long.
        seed: of the dice.
        most: executions at the most; with it and enough seconds a run can be repeated exactly.
        note: told each input before it runs.
    """
    dice, pool = Random(seed), watch.target.seeds()
    end = time.monotonic() + seconds
    for data in list(pool):
        note(data)
        watch.run(data)
    while time.monotonic() < end and (most is None or watch.executions < most):
        data = watch.target.mutate(dice.choice(pool), dice, pool)
        note(data)
        if watch.run(data):
            pool.append(data)
            if len(pool) > POOL:
                del pool[dice.randrange(len(pool) // 2)]


def guided(watch: Watch, seconds: float, seed: int, folder: Path, note: Callable[[bytes], object]) -> None:
    """Let atheris choose by coverage; does not return. Half of its inputs are made by the target's own mutator."""
    import atheris

    pool = watch.target.seeds()
    corpus = folder / "corpus" / watch.target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(pool):
        (corpus / f"seed-{number:04}").write_bytes(data)

    def one(data: bytes) -> None:
        note(data)
        watch.run(data)

    def custom(data: bytes, most: int, seed: int) -> bytes:
        dice = Random(seed)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return watch.target.mutate(data, dice, pool)[:most]

    more = [f"-max_total_time={round(seconds)}", f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=120"]
    more += ["-rss_limit_mb=4096", f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *more, str(corpus)], one, custom_mutator=custom)
    atheris.Fuzz()


class Report:
    """What a run in a process of its own tells its parent: counts now and then, and the input it is about to run."""

    def __init__(self, folder: Path, name: str) -> None:
        self.stats, self.input = folder / f"{name}.json", folder / f"{name}.input"

    def open(self, watch: Watch) -> Callable[[bytes], None]:
        """For the child: call the function with every input."""
        size = MAX_BYTES + 8
        self.input.write_bytes(bytes(size))
        handle = os.open(self.input, os.O_RDWR)
        shared = mmap.mmap(handle, size)
        os.close(handle)
        told = begun = time.monotonic()

        def note(data: bytes) -> None:
            nonlocal told
            shared[: 8 + len(data)] = len(data).to_bytes(8, "little") + data
            if (now := time.monotonic()) - told > 1:
                told = now
                self.write(watch, now - begun)

        return note

    def write(self, watch: Watch, seconds: float) -> None:
        """Put the counts where the parent reads them."""
        record = {
            "executions": watch.executions, "seconds": round(seconds, 1), "cpu": round(time.process_time(), 1),
            "endings": len(watch.outcomes), "slowest_ms": round(watch.slowest_ms, 1),
            "findings": {key: finding.what for key, finding in watch.findings.items()},
        }  # fmt: skip
        temporary = self.stats.with_suffix(".tmp")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(self.stats)

    def last_input(self) -> bytes:
        """For the parent of a child that died: what it was about to run."""
        data = self.input.read_bytes()
        return data[8 : 8 + int.from_bytes(data[:8], "little")]
