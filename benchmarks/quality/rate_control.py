"""Accuracy of rate control: each eval clip with a target size, quality and bitrate, protocol DFC-32.

    python -m benchmarks.quality.rate_control [--targets size psnr bitrate] [--clips N]    about 40 s a clip and target

A single clip of 32 frames is the hardest case: its operating points are coarse, and no other clip compensates for them.
Each clip is first coded at QP 28 with 8 kept frames. Targets are 0.8 of these bytes, 1.3 times their bitrate, and 0.7
dB less, so that no target is a point already coded. Only missing rows are measured; an interrupted run can be
continued.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, dfc32_clips, mse, read_json, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.runtime.resources import available_cpus

OPTIONS = {"size": "target_size", "psnr": "min_psnr", "bitrate": "bitrate"}
SECONDS = 32 / 25


def coded(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> tuple[bytes, float]:
    """Return a file and its PSNR after decoding."""
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, frame_rate=25, refine=0, **options)
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: loaded)])
    return out.getvalue(), -10 * math.log10(max(mse(back, frames), 1e-10))


def measure(frames: np.ndarray, loaded: LoadedModel, target: str, anchor: tuple[int, float]) -> dict[str, Any]:
    """Code one clip to one target. Returns target, result, deviation and seconds."""
    size, psnr = anchor
    # The target differs from the first encode, so that no coded point is the solution.
    wanted = {"size": size * 0.8, "bitrate": size * 8 / SECONDS * 1.3, "psnr": psnr - 0.7}[target]
    begun = time.perf_counter()
    data, reached_psnr = coded(frames, loaded, **{OPTIONS[target]: int(wanted) if target == "size" else wanted})
    seconds = time.perf_counter() - begun
    reached = {"size": len(data), "bitrate": len(data) * 8 / SECONDS, "psnr": reached_psnr}[target]
    off = reached - wanted if target == "psnr" else reached / wanted - 1
    return {
        "wanted": wanted, "reached": reached, "off": off, "bytes": len(data), "psnr": reached_psnr, "seconds": seconds,
    }  # fmt: skip


def good(target: str, off: float) -> bool:
    """Whether the deviation is within the documented tolerance."""
    return -1e-4 <= off <= 0.2 if target == "psnr" else abs(off) <= 0.03


def report(rows: dict[str, dict[str, Any]], targets: list[str]) -> None:
    """Print means and extremes over clips."""
    lines = []
    for target in targets:
        found = [row[target]["off"] for row in rows.values() if target in row]
        if found:
            scale, unit = (1, "dB") if target == "psnr" else (100, "%")
            hits = sum(good(target, off) for off in found)
            numbers = (min(found), max(found), float(np.mean(np.abs(found))))
            took = np.mean([row[target]["seconds"] for row in rows.values() if target in row])
            printed = [f"{n * scale:+.2f} {unit}" for n in numbers]
            lines.append((target, f"{hits} of {len(found)}", *printed, f"{took:.0f}"))
    print(table(("target", "hit", "lowest", "highest", "mean |off|", "s a clip"), lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="Rate control on every eval clip.")
    parser.add_argument("--targets", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--clips", type=int, default=-1, help="the first so many only")
    parser.add_argument("--folder", type=Path, default=EVAL)
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model("mini")
    rows: dict[str, dict[str, Any]] = {} if args.again else read_json("rate_control").get("clips", {})
    for number, (name, frames) in enumerate(dfc32_clips(args.folder)):
        if number == args.clips:
            break
        row = rows.setdefault(name, {})
        for target in args.targets:
            if target not in row:
                if "anchor" not in row:
                    data, psnr = coded(frames, loaded, budget="8", qp=28)
                    row["anchor"] = [len(data), psnr]
                row[target] = measure(frames, loaded, target, row["anchor"])
                write_json("rate_control", {"clips": rows})
                print(f"{name}: {target} {row[target]['off']:+.4f}, {row[target]['seconds']:.0f} s", flush=True)
    report(rows, args.targets)


if __name__ == "__main__":
    main()
