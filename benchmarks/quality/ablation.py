"""Ablation of the encoder: BD-rate of each option, at equal RGB-PSNR, protocol DFC-32.

    python -m benchmarks.quality.ablation [--clips ../shared/clips/eval] [--kept 8] [--every 1]

The baseline is the default of `dfc encode` with a fixed number of kept frames. Each row changes one option. Its figure
is the mean over clips of the BD-rate between both curves over QP; positive means more bits.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, read_json, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.bdrate import bd_rate, pareto_front
from dfccodec.runtime.resources import available_cpus

QPS = (20, 26, 32, 38)
BASE = "defaults"
ROWS: dict[str, dict[str, Any]] = {
    BASE: {},
    "--preset fast": {"preset": "fast"},
    "--preset best": {"preset": "best"},
    "--preset archive": {"preset": "archive"},
    "--refine 0": {"refine": 0},
    "--refine 2": {"refine": 2},
    "--refine 4": {"refine": 4},
    "--refine 8": {"refine": 8},
    "--coding inter": {"coding": "inter"},
    "--coding inter --refine 0": {"coding": "inter", "refine": 0},
    "--coding range": {"coding": "range"},
    "--coding zstd": {"coding": "zstd"},
    "--fill token": {"fill": "token"},
    "--fill lerp": {"fill": "lerp"},
    "--fill motion": {"fill": "motion"},
    "--deadzone 0": {"deadzone": 0.0},
    "--effort fast": {"effort": "fast"},
    "--frame-selection dp": {"frame_selection": "dp"},
    "--frame-selection greedy": {"frame_selection": "greedy"},
}
PRESETS = {
    BASE: "balanced", "--preset fast": "fast", "--preset best": "best", "--preset archive": "archive",
}  # fmt: skip
"""Rows that are a preset."""

MOST = 45.0
"""Bits in percent above the baseline up to which a row is in the plot."""

PLOT = Path(__file__).resolve().parents[2] / "docs" / "figures" / "presets.png"


def measure(frames: np.ndarray, loaded: LoadedModel, kept: int, options: dict[str, Any]) -> list[list[float]]:
    """Return (bits per pixel, PSNR, CPU seconds of encoding) at each QP."""
    out = []
    for qp in QPS:
        coded = io.BytesIO()
        begun = process_time()
        dfc.encode(frames, coded, budget=str(kept), qp=qp, model=loaded, frame_rate=25, **options)
        seconds = process_time() - begun
        back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
        bits = len(coded.getvalue()) * 8 / (FRAMES * SIDE * SIDE)
        out.append([bits, -10 * math.log10(max(mse(back, frames), 1e-10)), seconds])
    return out


def compared(base: list[list[float]], other: list[list[float]]) -> float:
    """BD-rate in percent; not a number where the curves do not overlap."""
    a, b = (pareto_front([(bits, psnr) for bits, psnr, _ in curve]) for curve in (base, other))
    found = bd_rate(a, b)
    return math.nan if found.reason else found.percent


def main() -> None:
    parser = argparse.ArgumentParser(description="What each part of the encoder is worth.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--kept", type=int, default=8)
    parser.add_argument("--every", type=int, default=1, help="only every so manyth clip")
    parser.add_argument(
        "--rows", nargs="*", default=list(ROWS), help="only these; in the JSON others stay, on the same clips"
    )
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model("mini")
    clips = list(dfc32_clips(args.clips))[:: args.every]
    curves: dict[str, list[list[list[float]]]] = {name: [] for name in {BASE: 0} | dict.fromkeys(args.rows)}
    for name, frames in clips:
        for row, found in curves.items():
            found.append(measure(frames, loaded, args.kept, ROWS[row]))
        print(name, flush=True)
    rows = []
    for name, found in curves.items():
        rates = [compared(a, b) for a, b in zip(curves[BASE], found, strict=True)]
        good = [rate for rate in rates if not math.isnan(rate)]
        seconds = float(np.mean([point[2] for curve in found for point in curve]))
        rows.append({
            "change": name, "bd_rate": float(np.mean(good)) if good else None, "clips": len(good), "seconds": seconds,
        })  # fmt: skip
    head = (f"{args.kept} of 32 kept", "bits at equal PSNR", "clips", "encode, CPU seconds per clip")
    print(table(head, [
        (r["change"], "–" if r["bd_rate"] is None else f"{r['bd_rate']:+.1f} %", r["clips"], f"{r['seconds']:.1f}")
        for r in rows
    ]))  # fmt: skip
    record = {"kept": args.kept, "qps": list(QPS), "clips": [name for name, _ in clips]}
    rows += _others(record, set(args.rows) | {BASE})
    write_json("ablation", {**record, "rows": sorted(rows, key=lambda r: list(ROWS).index(r["change"]))})
    plot(rows, PLOT)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the bits of all rows over their encode times; the line is the lower convex hull, presets are named."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = {r["change"]: (r["seconds"], r["bd_rate"] or 0.0) for r in rows if r["bd_rate"] is not None}
    points = {name: at for name, at in points.items() if at[1] < MOST}  # lerp, zstd and token are far off
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    hull = _hull(list(points.values()))
    axes.plot(*zip(*hull, strict=True), color="tab:blue", linewidth=1, alpha=0.6)
    for name, (seconds, rate) in points.items():
        preset = PRESETS.get(name)
        axes.plot(seconds, rate, "o", color="tab:red" if preset else "tab:gray")
        label = preset or name
        axes.annotate(label, (seconds, rate), xytext=(5, 4), textcoords="offset points", fontsize=7)
    axes.set(
        xscale="log", xlabel="encode, CPU seconds per clip of 32 frames at 256×256", ylabel="bits at equal PSNR, %"
    )
    axes.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
    axes.minorticks_off()
    axes.set_xlim(right=40)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Lower convex hull over the logarithm of the time, up to the smallest rate."""
    out: list[tuple[float, float]] = []
    for x, y in sorted(points):
        while len(out) > 1 and _turns_up(out[-2], out[-1], (x, y)):
            out.pop()
        out.append((x, y))
    lowest = min(range(len(out)), key=lambda i: out[i][1])
    return out[: lowest + 1]


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    (x0, y0), (x1, y1), (x2, y2) = ((math.log(x), y) for x, y in (a, b, c))
    return (y1 - y0) * (x2 - x0) >= (y2 - y0) * (x1 - x0)


def _others(record: dict[str, Any], measured: set[str]) -> list[dict[str, Any]]:
    """Return rows of an earlier run on the same clips that this run has not measured."""
    found = read_json("ablation")
    same = all(found.get(key) == value for key, value in record.items())
    return [row for row in found.get("rows", ()) if same and row["change"] in ROWS and row["change"] not in measured]


if __name__ == "__main__":
    main()
