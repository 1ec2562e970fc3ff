"""Content-adaptive budgets compared with fixed ones: the tables of MTC-VAE, for dfc (protocol DFC-32).

    python -m benchmarks.quality.temporal_rate [--qp 24]   12 minutes at first, then seconds (cache in runs/)
    python -m benchmarks.quality.temporal_rate --quick     only PSNR and bytes, which decide the selection

The eval set is treated as one video of 24 segments. VCPR is the volume compression ratio T/t · H/h · W/w: frames
divided by kept frames, times 16 · 16 pixels per token. It counts positions, not channels or bits. PSNR is the mean over
segments of RGB-PSNR in dB; "of MSE" is the PSNR of the mean squared error. SSIM and LPIPS use every third frame. Rates
are frames per kept frame.

"gain" is the PSNR gain over one fixed number of kept frames for all segments, at the same mean number of kept frames
(linearly interpolated); "gain by bytes" is the same at the same mean bytes. "even" is the rule with α = ½ for all
segments, independent of their quality: (Q + w · log2 c) / 2. Selection by H.264 size and random selection use each rate
for as many segments as the rule with w = 1.5. They assign rates by bytes of x264 (more bytes, lower rate), or at random
(100 draws). "best dB" and "best MSE" select for each segment the rate with the largest Q − λ · kept, or the smallest
error + λ · kept, with one λ for all segments.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, dfc32_clips, mse, table, weights_id, write_json
from benchmarks.quality.anchors import ANCHORS, code
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.rate_control.temporal_rate import best_rates
from dfccodec.metrics.lpips import load_lpips, lpips
from dfccodec.metrics.ssim import ssim
from dfccodec.runtime.resources import available_cpus

POINTS = Path(__file__).resolve().parents[1] / "runs" / f"mtc_points_{weights_id()}.json"
KEPT = (2, 3, 4, 6, 8, 12, 16)
"""Measured numbers of kept frames. All quality metrics are computed for numbers of the form 32 / rate."""
RATES, ALL_RATES = (4, 8, 16), (2, 4, 8, 16)
SAMPLED = slice(1, None, 3)
Row = dict[str, float]
METRICS = ("psnr", "mse", "ssim", "lpips", "bytes")


def point(frames: np.ndarray, kept: int, qp: int, loaded: LoadedModel, network: Any) -> Row:
    """Measure one segment at one number of kept frames; without a network, only PSNR and bytes."""
    out = io.BytesIO()
    dfc.encode(frames, out, budget=str(kept), qp=qp, model=loaded, frame_rate=25, refine=0)
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: loaded)])
    error = mse(back, frames)
    row = {"bytes": len(out.getvalue()), "mse": error, "psnr": -10 * math.log10(max(error, 1e-10))}
    if network is not None:
        row["ssim"] = ssim(frames[SAMPLED], back[SAMPLED])
        row["lpips"] = lpips(frames[SAMPLED], back[SAMPLED], network)
    return row


def measure(folder: Path, qp: int, kept: tuple[int, ...], quick: bool) -> dict[str, dict[str, Row]]:
    """Return segment -> number of kept frames -> row, and the bytes of x264 as "x264". Cached rows are reused."""
    found = json.loads(POINTS.read_text()) if POINTS.is_file() else {}
    rows: dict[str, dict[str, Row]] = found.setdefault(str(qp), {})
    loaded, network = load_model("mini"), None if quick else load_lpips()
    for name, frames in dfc32_clips(folder):
        row = rows.setdefault(name, {})
        if "x264" not in row:
            anchor = ANCHORS["x264"]
            row["x264"] = {"bytes": code(anchor, frames, anchor.points[len(anchor.points) // 2])[0]}
        for k in kept:
            judged = not quick and FRAMES % k == 0 and FRAMES // k in ALL_RATES
            if str(k) not in row or (judged and "ssim" not in row[str(k)]):
                row[str(k)] = point(frames, k, qp, loaded, network if judged else None)
        POINTS.parent.mkdir(exist_ok=True)
        POINTS.write_text(json.dumps(found))
    return rows


class Segments:
    """All points of all segments."""

    def __init__(self, rows: dict[str, dict[str, Row]]) -> None:
        self.rows = list(rows.values())
        self.fixed = [k for k in KEPT if all(str(k) in row for row in self.rows)]
        self.x264 = np.array([row["x264"]["bytes"] for row in self.rows])

    def quality(self, rates: tuple[int, ...], metric: str = "psnr") -> np.ndarray:
        """(N, rates)."""
        return np.array([[row[str(FRAMES // c)][metric] for c in rates] for row in self.rows])

    def result(self, chosen: list[int]) -> Row:
        """Return means over segments, each at its own rate, and the gain over a fixed number of kept frames."""
        found = [row[str(FRAMES // c)] for row, c in zip(self.rows, chosen, strict=True)]
        out = {m: float(np.mean([f[m] for f in found])) for m in METRICS if all(m in f for f in found)}
        kept = float(np.mean([FRAMES // c for c in chosen]))
        curve = [np.mean([row[str(k)]["psnr"] for row in self.rows]) for k in self.fixed]
        errors = [np.mean([row[str(k)]["mse"] for row in self.rows]) for k in self.fixed]
        sizes = [np.mean([row[str(k)]["bytes"] for row in self.rows]) for k in self.fixed]
        out["gain_by_bytes"] = out["psnr"] - float(np.interp(out["bytes"], sizes, curve))
        out |= {"kept": kept, "vcpr": FRAMES / kept * 256, "psnr_of_mse": -10 * math.log10(out["mse"])}
        out["gain"] = out["psnr"] - float(np.interp(kept, self.fixed, curve))
        out["gain_of_mse"] = out["psnr_of_mse"] + 10 * math.log10(np.interp(kept, self.fixed, errors))
        return out

    def priced(self, rates: tuple[int, ...], kept: float, metric: str) -> list[int]:
        """Return the rate of each segment for one λ per kept frame, with a mean of about `kept` frames."""
        gain = self.quality(rates, metric) * (-1 if metric == "mse" else 1)
        count = FRAMES // np.array(rates)
        best: tuple[float, np.ndarray] = (math.inf, np.zeros(0))
        for price in np.geomspace(1e-7, 10, 2000):
            chosen = np.argmax(gain - price * count, axis=1)
            best = min(best, (abs(float(count[chosen].mean()) - kept), chosen), key=lambda found: found[0])
        return [rates[n] for n in best[1]]


def selections(segments: Segments, rates: tuple[int, ...], label: str) -> dict[str, Row]:
    """Return the rows of the tables."""
    out: dict[str, Row] = {}
    quality = segments.quality(rates)
    ruled: dict[float, list[int]] = {}
    for w in (0.5, 1.0, 1.5, 2.0, 2.5):
        ruled[w] = [rates[n] for n in best_rates(quality, rates, w)]
        out[f"rule w = {w:g}{label}"] = segments.result(ruled[w])
    for w in (0.5, 1.0, 1.5):
        even = np.argmax(quality + w * np.log2(rates), axis=1)
        out[f"even, w = {w:g}{label}"] = segments.result([rates[n] for n in even])
    middle = sorted(ruled[1.5])
    by_size = np.argsort(-segments.x264, kind="stable")
    sized = [0] * len(middle)
    for c, n in zip(middle, by_size.tolist(), strict=True):
        sized[n] = c
    out[f"H.264 size{label}"] = segments.result(sized)
    rng = np.random.default_rng(256)
    drawn = [segments.result(rng.permutation(middle).tolist()) for _ in range(100)]
    out[f"random{label}"] = {m: float(np.mean([d[m] for d in drawn])) for m in drawn[0]}
    mean = float(np.mean([FRAMES // c for c in middle]))
    for metric, name in (("psnr", "best dB"), ("mse", "best MSE")):
        out[name + label] = segments.result(segments.priced(rates, mean, metric))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Budgets by content.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--qp", type=int, default=24)
    parser.add_argument("--kept", type=int, nargs="+", default=list(KEPT))
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    segments = Segments(measure(args.clips, args.qp, tuple(args.kept), args.quick))
    found = {f"fixed {c}": segments.result([c] * len(segments.rows)) for c in ALL_RATES}
    found |= selections(segments, RATES, "") | selections(segments, ALL_RATES, ", 2 to 16")
    head = ("kept", "vcpr", "psnr", "gain", "psnr_of_mse", "gain_of_mse", "gain_by_bytes", "ssim", "lpips", "bytes")
    digits = (2, 0, 2, 2, 2, 2, 2, 4, 4, 0)
    lines = [
        [n, *(f"{row[k]:.{d}f}" if k in row else "" for k, d in zip(head, digits, strict=True))]
        for n, row in found.items()
    ]
    printed = (
        "rates",
        "kept of 32",
        "VCPR",
        "PSNR",
        "gain",
        "of MSE",
        "gain of it",
        "gain by bytes",
        "SSIM",
        "LPIPS",
        "bytes",
    )
    print(table(printed, lines))
    write_json("mtc", {"qp": args.qp, "rates": found, "segments": segments.rows})


if __name__ == "__main__":
    main()
