"""Frames per second of encodes that work on one clip, and on as many as they choose, at the same time.

    python -m benchmarks.speed.parallel_clips [--sizes 256x256 512x288 1280x720]     about a minute

The video is the first 128 frames of an eval clip (64 at 720p), four clips of the format. Both files must be equal.
Nothing else should run.
"""

from __future__ import annotations

import argparse
import io
from time import perf_counter
from unittest import mock

import numpy as np

import dfccodec as dfc
from benchmarks.clips import table, write_json
from benchmarks.speed.compare import processor
from benchmarks.speed.speed import footage
from dfccodec.codec.clip import parallel
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime.resources import available_cpus


def seconds(frames: np.ndarray, loaded: LoadedModel) -> tuple[float, bytes]:
    """Encode frames (T, H, W, 3) uint8; return the seconds and the file."""
    out = io.BytesIO()
    begun = perf_counter()
    dfc.encode(frames, out, budget="8", qp=24, model=loaded)
    return perf_counter() - begun, out.getvalue()


def measure(width: int, height: int, loaded: LoadedModel) -> dict[str, object]:
    """Return one row. The faster of two runs counts."""
    frames = footage(width, height, 128 if height < 720 else 64)
    seconds(frames[:32], loaded)  # the first call prepares the network
    several = [seconds(frames, loaded) for _ in range(2)]
    with mock.patch.object(parallel, "parallel_clips", return_value=1):
        one = [seconds(frames, loaded) for _ in range(2)]
    assert len({file for _, file in (*several, *one)}) == 1, "the files differ"
    rates = [len(frames) / min(each for each, _ in runs) for runs in (one, several)]
    return {"size": f"{width}×{height}", "one": rates[0], "several": rates[1]}


def report(record: dict[str, list[dict[str, float]]]) -> str:
    """The table of docs/performance.md."""
    rows = [
        (r["size"], f"{r['one']:.1f}", f"{r['several']:.1f}", f"{r['several'] / r['one']:.2f}×") for r in record["rows"]
    ]
    return table(("size", "one clip at a time, frames/s", "several", "ratio"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x288", "1280x720"])
    sizes = [[int(side) for side in size.split("x")] for size in parser.parse_args().sizes]
    loaded = dfc.load_model()
    rows = [measure(width, height, loaded) for width, height in sizes]
    record = {"processor": processor(), "cpus": available_cpus(), "rows": rows}
    write_json("parallel_clips", record)
    print(report(record))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
