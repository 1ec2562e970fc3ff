"""What a million videos cost: CPU time and bytes per frame of `dfc encode --manifest`, and the overhead of the list.

    python -m benchmarks.speed.many_videos

Eight eval clips, two seconds of each, are encoded by one process with one thread. CPU time does not depend on what else
the machine does, as time does. The start of a process and the load of the model are measured by themselves, with one
frame. The overhead of claims and records is that of a list of files that need no work.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.clips import EVAL, table, write_json
from dfccodec.manifest.items import Item
from dfccodec.manifest.run import write_results
from dfccodec.manifest.worker import Folders, Worker

ROWS = {
    "latents for training, 256×256": ["--preset", "latents", "--size", "256", "--crop", "256"],
    "default, 256×256": ["--size", "256", "--crop", "256"],
    "default, short side 480": ["--size", "480"],
}
ITEMS = 5000
VIDEOS, SECONDS, RATE, CORES = 1_000_000, 10, 25, 64
"""The plan: videos, their length and frame rate, and the cores of a machine."""


class Nothing:
    """A task without work."""

    def encode(self, item: Item, output: Path) -> dict[str, Any]:
        output.touch()
        return {"frames": 250, "kept": 64, "clips": 8, "bytes": 123456, "bits_per_pixel": 0.0123, "seconds": 1.5}

    def find(self, item: Item, output: Path) -> dict[str, Any] | None:
        return None


def cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def encode(videos: Path, out: Path, options: list[str]) -> tuple[float, list[dict[str, Any]]]:
    """Encode a list; returns the CPU time of the process and the results."""
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "dfccodec", "encode", "--manifest", str(videos), "--output-dir", str(out), "-q"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--no-audio", *options], check=True, env=env)
    seconds = cpu_seconds(resource.RUSAGE_CHILDREN) - before
    return seconds, [json.loads(line) for line in (out / f"{videos.stem}.results.jsonl").read_text().splitlines()]


def overhead(folder: Path) -> dict[str, float]:
    """Time, CPU time and bytes of claims and records, per file."""
    folders = Folders.of(folder / "nothing.jsonl", folder / "nothing")
    name = str(folder)
    items = [Item(n, f"videos/{n:07}.mp4", name, f"{n % 100:02}/{n:07}.dfc") for n in range(ITEMS)]
    wall, cpu = time.perf_counter(), cpu_seconds(resource.RUSAGE_SELF)
    worker = Worker(folders, items, Nothing())
    worker.run()
    wall, cpu = time.perf_counter() - wall, cpu_seconds(resource.RUSAGE_SELF) - cpu
    write_results(folders, items, worker.records)
    records = sum(path.stat().st_size for path in (folders.state / "records").iterdir())
    return {"ms": 1000 * wall / ITEMS, "cpu_ms": 1000 * cpu / ITEMS, "bytes": records / ITEMS}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name), []
        videos = folder / "list.jsonl"
        videos.write_text("".join(json.dumps({"input": str(path)}) + "\n" for path in sorted(EVAL.glob("*.mp4"))[::3]))
        one = folder / "one.jsonl"
        one.write_text(videos.read_text().splitlines()[0])
        start, _ = encode(one, folder / "one", ["--duration", "#1", "--size", "256", "--crop", "256"])
        for number, (what, options) in enumerate(ROWS.items()):
            seconds, results = encode(videos, folder / str(number), [*options, "--duration", "2"])
            frames = sum(row["frames"] for row in results)
            rows.append(
                {
                    "what": what, "options": " ".join(options), "frames": frames,
                    "cpu_ms": 1000 * (seconds - start) / frames, "bytes": sum(row["bytes"] for row in results) / frames,
                }
            )  # fmt: skip
        found = {"start_cpu_seconds": start, "rows": rows, "overhead": overhead(folder), "files": ITEMS}
    write_json("many_videos", found)
    print(report(found))


def report(found: dict[str, Any]) -> str:
    """The tables of docs/many.md."""
    frames = VIDEOS * SECONDS * RATE
    rows = []
    for row in found["rows"]:
        hours = frames * row["cpu_ms"] / 3.6e6
        rows.append(
            (
                row["what"], f"{row['cpu_ms']:.1f} ms", f"{row['bytes'] / 1000:.2f} kB", f"{hours:,.0f}",
                f"{hours / 24 / CORES:.1f}", f"{frames * row['bytes'] / 1e12:.2f} TB",
            )
        )  # fmt: skip
    head = (
        "files", "CPU time a frame", "bytes a frame", "CPU hours of all", f"days of {CORES} cores", "storage",
    )  # fmt: skip
    over = found["overhead"]
    return (
        table(head, rows)
        + f"\n\nThe list adds {over['ms']:.1f} ms a file ({over['cpu_ms']:.1f} ms of CPU time, the rest waits), "
        f"{VIDEOS * over['ms'] / 3.6e6:.1f} hours for all, divided among the processes; and {over['bytes']:.0f} bytes "
        f"a file in the records, {VIDEOS * over['bytes'] / 1e9:.2f} GB. A process takes "
        f"{found['start_cpu_seconds']:.1f} s of CPU time to start and to load the model, once."
    )


if __name__ == "__main__":
    main()
