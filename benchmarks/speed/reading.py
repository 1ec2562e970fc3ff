"""Windows of latents per second that training can read from `.dfc` files.

    python -m benchmarks.speed.reading [--workers 2] [--seconds 5]        half a minute

A window is one clip of 32 frames of 128×128 pixels with 8 kept frames at QP 24. Workers are processes with all files
open; each reads clips at random and decodes their latents. Files are made from the bundled example, in each coding.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import dfccodec as dfc
from benchmarks.clips import table, write_json
from dfccodec.media.input.read_frames import read_scaled

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flower.mp4"
CODINGS = ("inter", "range", "zstd")
FILES, SIDE = 8, 128


def make_files(folder: Path) -> None:
    """Encode crops of the example at several positions."""
    loaded = dfc.load_model()
    frames = np.stack(read_scaled(EXAMPLE, 256, max_frames=32))
    for number in range(FILES):
        y, x = (number // 4) * 64, (number % 4) * 32
        crop = np.ascontiguousarray(frames[:, y : y + SIDE, x : x + SIDE])
        for coding in CODINGS:
            path = folder / f"{coding}-{number}.dfc"
            dfc.encode(crop, path, budget="8", qp=24, fill="token", refine=0, coding=coding, model=loaded)


def work(folder: Path, coding: str, seconds: float, seed: int) -> float:
    """Read windows for a while; return how many per second."""
    rng = random.Random(seed)
    files = [dfc.open(folder / f"{coding}-{number}.dfc") for number in range(FILES)]
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if rng.choice(files)[0].latents.shape[0] != 8:
            raise SystemExit("a window has not 8 kept frames")
        count += 1
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        make_files(Path(name))
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            for coding in CODINGS:
                jobs = [(Path(name), coding, options.seconds, seed) for seed in range(options.workers)]
                found[coding] = sum(pool.starmap(work, jobs))
    write_json("reading", {"workers": options.workers, "windows_per_second": found})
    print(report({"windows_per_second": found}))


def report(record: dict[str, Any]) -> str:
    """The table of docs/performance.md."""
    return table(
        ("coding", "windows/s"),
        [(f"`{coding}`", f"{rate:.0f}") for coding, rate in record["windows_per_second"].items()],
    )


if __name__ == "__main__":
    main()
