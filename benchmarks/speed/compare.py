"""Speed of two checkouts in one run: encode, decode, verify and trim, with ratios.

    python -m benchmarks.speed.compare ../before . [--rounds 3] [--sizes 256x256 512x288 1280x720 1920x1080]

Each measurement is a process of its own that imports `dfccodec` from one checkout; processes alternate between the two.
A process works once for warm-up and once timed; at 1080p, encodes and decodes only once. Times are wall clock, medians
over rounds, with all available cores. The video is the first 64 frames of an eval clip, two clips of the format: this
checkout may code them at the same time, as it does in any video of more than a second. Peak memory is that of the
process. About half an hour for all sizes; nothing else should run. Rows of sizes and tasks that were not measured stay
in benchmarks/results/compare.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clips import read_json, table, write_json
from benchmarks.speed.speed import CLIP, footage
from dfccodec.runtime.resources import available_cpus

TASKS = {
    "encode": {},
    "encode --preset fast": {"preset": "fast"},
    "encode --fill token --refine 0": {"fill": "token", "refine": 0},
    "decode": {},
    "verify": {},
    "trim": {},
}

VIDEO_FRAMES = 64

CHILD = """
import io, json, resource, sys, time
import numpy as np
import dfccodec as dfc
job = json.loads(sys.argv[1])
frames, path = np.load(job["frames"]), job["file"]
loaded = dfc.load_model() if job["task"] not in ("verify", "trim") else None
def work():
    if job["task"].startswith("encode"):
        out = io.BytesIO()
        dfc.encode(frames, out, budget="8", qp=24, model=loaded, **job["options"])
        open(path, "wb").write(out.getvalue()) if not job["options"] else None
        return len(out.getvalue())
    if job["task"] == "decode":
        return sum(1 for _ in dfc.decode(path, model=loaded))
    return str(dfc.verify(path) if job["task"] == "verify" else dfc.trim(path, path + ".trim", budget="4"))[:0]
if job["warm"]:
    work()
start = time.perf_counter()
work()
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measure(checkout: Path, job: dict[str, Any]) -> tuple[float, float]:
    """Run one process; return seconds and peak memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(job)], cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def rows(
    checkouts: list[Path], sizes: list[tuple[int, int]], rounds: int, folder: Path, tasks: list[str], clip: str
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield one record per size and task."""
    for width, height in sizes:
        frames = folder / f"{width}.npy"
        large = height >= 1080
        np.save(frames, footage(width, height, VIDEO_FRAMES, clip))
        for task in tasks:
            options = TASKS[task]
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(1 if large else rounds):
                for number, checkout in enumerate(checkouts):
                    job = {
                        "task": task, "options": options, "frames": str(frames),
                        "warm": not large or task in ("verify", "trim"),
                        "file": str(folder / f"{number}-{width}.dfc"),
                    }  # fmt: skip
                    found[number].append(measure(checkout, job))
            seconds = [statistics.median(second for second, _ in side) for side in found]
            memory = [max(peak for _, peak in side) for side in found]
            row: dict[str, Any] = {"size": f"{width}×{height}", "task": task, "seconds": seconds, "memory": memory}
            print(row, flush=True)
            yield row


def with_others(found: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows found, in place of those of the same size and task, with the others of an earlier run."""
    new = {(row["size"], row["task"]): row for row in found}
    old = {(row["size"], row["task"]): row for row in before}
    return [*(new.pop(key, row) for key, row in old.items()), *new.values()]


def report(record: dict[str, Any]) -> str:
    """The table of docs/performance.md."""
    lines = [
        (
            row["size"], row["task"], *(f"{value:.2f} s" for value in row["seconds"]),
            f"{row['seconds'][0] / row['seconds'][1]:.1f}×", *(f"{value:.0f}" for value in row["memory"]),
        )
        for row in record["rows"]
    ]  # fmt: skip
    return table(("size", "task", "before", "now", "ratio", "peak MiB before", "now"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x288", "1280x720", "1920x1080"])
    parser.add_argument(
        "--tasks", nargs="+", default=list(TASKS), help="only these; decode, verify and trim need encode"
    )
    parser.add_argument("--clip", default=CLIP, help="name of the eval clip")
    parser.add_argument("--keep", action="store_true", help="do not write benchmarks/results/compare.json")
    options = parser.parse_args()
    checkouts = [options.before.resolve(), options.after.resolve()]
    sizes = [(int(size.split("x")[0]), int(size.split("x")[1])) for size in options.sizes]
    with tempfile.TemporaryDirectory() as folder:
        found = list(rows(checkouts, sizes, options.rounds, Path(folder), options.tasks, options.clip))
    if not options.keep:
        found = with_others(found, read_json("compare").get("rows", []))
    record = {"checkouts": heads(checkouts), "cpus": available_cpus(), "processor": processor(), "rows": found}
    if not options.keep:
        write_json("compare", record)
    print(report(record))


def heads(checkouts: list[Path]) -> list[str]:
    """Their commits."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return [subprocess.run(command, cwd=c, capture_output=True, text=True).stdout.strip() for c in checkouts]


def processor() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
