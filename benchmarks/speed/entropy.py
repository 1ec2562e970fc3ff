"""Speed of the range and inter coding of two checkouts in one run, with ratios.

    python -m benchmarks.speed.entropy ../before . [--rounds 5] [--sizes 256x256 512x288 1280x720]

The integers are the kept latents of the first clip of an eval video, at defaults. Each measurement is a process of its
own that imports `dfccodec` from one checkout, loads the default model, as any encode does, and codes them several
times; processes alternate between the two. Times are CPU time, medians. Inter coding is measured without its motion
search, which is part of `dfc encode` in `benchmarks.speed.compare`, and written with the vectors of this checkout.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clips import table, write_json
from benchmarks.speed.compare import heads, processor
from benchmarks.speed.speed import footage
from dfccodec.codec.api import encode, load_model
from dfccodec.edit.random_access import open_file
from dfccodec.entropy.inter.motion_estimation import estimate_motion

KEPT, QP = 8, 24

CHILD = """
import json, statistics, sys, time
import numpy as np
import dfccodec as dfc
from dfccodec.entropy.inter.coding import decode_inter, encode_inter
try:
    from dfccodec.entropy.rans import decode_range, encode_range
except ImportError:  # checkouts before the renaming
    from dfccodec.entropy.range_coding import decode_range, encode_range
values, mvs = (np.load(path) for path in sys.argv[1:3])
dfc.load_model()
kept, *grid, channels = values.shape
ranged, inter = encode_range(values), encode_inter(values, mvs)
assert decode_range(ranged, kept, tuple(grid), channels).tobytes() == values.tobytes()
tasks = {
    "range, write": lambda: encode_range(values),
    "range, read": lambda: decode_range(ranged, kept, tuple(grid), channels),
    "inter, write": lambda: encode_inter(values, mvs),
    "inter, read": lambda: decode_inter(inter, kept, tuple(grid), channels),
}
found = {}
for name, work in tasks.items():
    times = []
    for _ in range(7):
        start = time.process_time()
        work()
        times.append(1000 * (time.process_time() - start))
    found[name] = statistics.median(times)
print(json.dumps([found, len(ranged), len(inter)]))
"""


def integers(size: tuple[int, int]) -> np.ndarray:
    """Integers (K, 1, rows, columns, 96) of the kept frames of the first clip."""
    out = io.BytesIO()
    encode(footage(*size, 32), out, budget=str(KEPT), qp=QP, coding="range", model=load_model())
    with open_file(io.BytesIO(out.getvalue())) as file:
        return file[0].latents


def measure(checkout: Path, paths: list[str]) -> tuple[dict[str, float], int, int]:
    """Run one process; return milliseconds of each task, and the sizes of both streams in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, ranged, inter = json.loads(done.stdout.splitlines()[-1])
    return found, ranged, inter


def rows(checkouts: list[Path], sizes: list[tuple[int, int]], rounds: int) -> Iterator[dict[str, Any]]:
    """Measure all sizes; one row for each size and task."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("values.npy", "mvs.npy")]
        for size in sizes:
            values = integers(size)
            np.save(paths[0], values)
            np.save(paths[1], estimate_motion(values))
            rounds_found = [[measure(checkout, paths) for checkout in checkouts] for _ in range(rounds)]
            if len({found[1:] for each in rounds_found for found in each}) != 1:
                raise SystemExit("the two checkouts do not code the same bytes")
            for task in rounds_found[0][0][0]:
                times = [statistics.median(each[side][0][task] for each in rounds_found) for side in (0, 1)]
                yield {"size": f"{size[0]}×{size[1]}", "task": task, "milliseconds": times}


def report(record: dict[str, Any]) -> str:
    """The table of docs/performance.md."""
    lines = [
        (row["size"], row["task"], *(f"{ms:.2f} ms" for ms in row["milliseconds"]),
         f"{row['milliseconds'][0] / row['milliseconds'][1]:.1f}×")
        for row in record["rows"]
    ]  # fmt: skip
    return table(("size", "task", "before", "now", "ratio"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x288", "1280x720"])
    options = parser.parse_args()
    checkouts = [options.before.resolve(), options.after.resolve()]
    sizes = [(int(size.split("x")[0]), int(size.split("x")[1])) for size in options.sizes]
    found = list(rows(checkouts, sizes, options.rounds))
    record = {"checkouts": heads(checkouts), "processor": processor(), "rows": found}
    write_json("entropy", record)
    print(report(record))


if __name__ == "__main__":
    main()
