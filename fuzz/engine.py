"""Two fuzzing engines: atheris, which is coverage-guided, and plain random mutation, which needs no installation."""

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
"""Maximum number of inputs kept for mutation."""


def run_plain(
    watch: Watch,
    seconds: float,
    seed: int = 256,
    max_executions: int | None = None,
    note: Callable[[bytes], object] = id,
) -> None:
    """Mutate seeds at random. Inputs with a new outcome join the pool.

    Args:
        watch: runs the inputs.
        seconds: duration.
        seed: random seed.
        max_executions: maximum number of executions. With enough seconds, it makes a run reproducible.
        note: called with each input before it runs.
    """
    dice, pool = Random(seed), watch.target.seeds()
    end = time.monotonic() + seconds
    for data in list(pool):
        note(data)
        watch.run(data)
    while time.monotonic() < end and (max_executions is None or watch.executions < max_executions):
        data = watch.target.mutate(dice.choice(pool), dice, pool)
        note(data)
        if watch.run(data):
            pool.append(data)
            if len(pool) > POOL:
                del pool[dice.randrange(len(pool) // 2)]


def run_atheris(watch: Watch, seconds: float, seed: int, folder: Path, note: Callable[[bytes], object]) -> None:
    """Run atheris, which chooses inputs by coverage. Half of the mutations are by the target's mutator. Never
    returns."""
    import atheris

    pool = watch.target.seeds()
    corpus = folder / "corpus" / watch.target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(pool):
        (corpus / f"seed-{number:04}").write_bytes(data)

    def one(data: bytes) -> None:
        note(data)
        watch.run(data)

    def custom(data: bytes, max_size: int, seed: int) -> bytes:
        dice = Random(seed)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return watch.target.mutate(data, dice, pool)[:max_size]

    more = [f"-max_total_time={round(seconds)}", f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=120"]
    more += ["-rss_limit_mb=4096", f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *more, str(corpus)], one, custom_mutator=custom)
    atheris.Fuzz()


class Report:
    """Files through which a child process reports to its parent: counts once a second, and the current input."""

    def __init__(self, folder: Path, name: str) -> None:
        self.stats, self.input = folder / f"{name}.json", folder / f"{name}.input"

    def open(self, watch: Watch) -> Callable[[bytes], None]:
        """Open the report in the child. Call the returned function with each input before it runs."""
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
        """Write the counts for the parent."""
        record = {
            "executions": watch.executions, "seconds": round(seconds, 1), "cpu": round(time.process_time(), 1),
            "endings": len(watch.outcomes), "slowest_ms": round(watch.slowest_ms, 1),
            "findings": {key: finding.what for key, finding in watch.findings.items()},
        }  # fmt: skip
        temporary = self.stats.with_suffix(".tmp")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        temporary.replace(self.stats)

    def last_input(self) -> bytes:
        """Return the current input of a child that crashed, for the parent."""
        data = self.input.read_bytes()
        return data[8 : 8 + int.from_bytes(data[:8], "little")]
