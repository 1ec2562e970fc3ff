"""Run time of complete processes that need no model, including failing ones, compared with an empty Python process.

    python -m benchmarks.speed.startup [FILE.dfc]

Without a file, one minute of noise-free video is encoded first. Figures are medians of nine alternating runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import dfccodec as dfc
from benchmarks.clips import table, write_json

RUNS = 9
DFC = ["-m", "dfccodec"]


def sample(folder: Path) -> Path:
    """Encode one minute of moving gradients to a `.dfc` file."""
    ground = np.mgrid[:128, :192].sum(axis=0).astype(np.uint8)
    frames = (np.repeat(np.roll(ground, t, axis=1)[..., None], 3, axis=2) for t in range(1500))
    dfc.encode(frames, folder / "minute.dfc", frame_rate=25)
    return folder / "minute.dfc"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else sample(Path(folder))
        commands = {
            "python -c pass": ["-c", "pass"],
            "dfc inspect": [*DFC, "inspect", str(path)],
            "dfc inspect --json": [*DFC, "inspect", "--json", str(path)],
            "dfc verify": [*DFC, "verify", str(path)],
            "dfc encode, no such file": [*DFC, "encode", "none.mp4", "-o", "none.dfc"],
            "dfc encode, no such QP": [*DFC, "encode", __file__, "-o", "none.dfc", "--qp", "64"],
            "dfc decode, no .dfc file": [*DFC, "decode", __file__, "-o", "none.mp4"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                begun = perf_counter()
                done = subprocess.run([sys.executable, *command], capture_output=True)
                times[name].append(perf_counter() - begun)
                if done.returncode != (0 if ", no" not in name else 2 if "QP" in name else 3):
                    raise RuntimeError(f"{name}: {done.stderr.decode()}")
        size = path.stat().st_size
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"file of {size} bytes")
    print(table(("command", "median s"), [(name, f"{value:.3f}") for name, value in medians.items()]))
    write_json("startup", {"bytes": size, "medians": medians})


if __name__ == "__main__":
    main()
