"""Speed of encode and decode while another program keeps one core busy, by the spin count of OpenMP threads.

    python -m benchmarks.speed.cpu_contention

Complete processes on the bundled clip are timed. The default GOMP_SPINCOUNT of libgomp is 300 000; `dfc` sets another
one (`cli/main.py`). The other program runs in its own session, as programs usually do. Linux then gives it as much CPU
time as all threads of `dfc` together. A run is stopped after one minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.clips import table, write_json
from dfccodec.cli.main import GOMP_SPINCOUNT

CLIP = Path(__file__).resolve().parents[2] / "examples" / "flower.mp4"
MOST = 60.0
RUNS = 3
BUSY = [sys.executable, "-c", "while True: pass"]


def seconds(arguments: list[str], spin: int) -> float:
    """Return the minimum time in seconds of several runs of a `dfc` command."""
    best = MOST
    for _ in range(RUNS):
        begun = perf_counter()
        try:
            subprocess.run(
                [sys.executable, "-m", "dfccodec", *arguments, "-y", "-q"], check=True, timeout=MOST,
                env={**os.environ, "GOMP_SPINCOUNT": str(spin)},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            break
        best = min(best, perf_counter() - begun)
    return best


def report(rows: list[dict[str, Any]]) -> str:
    """Return the table of docs/performance.md."""

    def cell(value: float) -> str:
        return f"{value:.1f}" if value < MOST else f"over {MOST:.0f}"

    head = ["GOMP_SPINCOUNT", "verb", "alone, s", "beside one busy core, s"]
    return table(head, [[r["spin"], r["verb"], cell(r["alone"]), cell(r["beside"])] for r in rows])


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        coded, back = str(Path(folder) / "a.dfc"), str(Path(folder) / "a.mp4")
        commands = {
            "encode": ["encode", str(CLIP), "-o", coded, "--end", "#32"],
            "decode": ["decode", coded, "-o", back],
        }
        for spin in (GOMP_SPINCOUNT, 300_000):
            for verb, command in commands.items():
                alone = seconds(command, spin)
                with subprocess.Popen(BUSY, start_new_session=True) as other:
                    beside = seconds(command, spin)
                    other.kill()
                rows.append({"spin": spin, "verb": verb, "alone": alone, "beside": beside})
    print(report(rows))
    write_json("busy", {"cores": os.cpu_count(), "rows": rows})


if __name__ == "__main__":
    main()
