"""Gain of the dead zone around the prediction: bits saved at equal PSNR, protocol DFC-32.

    python -m benchmarks.quality.deadzone [--clips ../shared/clips/eval] [--kept 32 8]

For each dead zone: mean bits and mean PSNR over clips at three QPs. The gain in dB is read from the curve without dead
zone.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.runtime.resources import available_cpus

SLACKS = (0.0, 0.1, 0.15, 0.2, 0.3)
QPS = (20, 24, 28)


def main() -> None:
    parser = argparse.ArgumentParser(description="What snapping is worth.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--kept", type=int, nargs="+", default=[32, 8])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--every", type=int, default=1, help="only every so manyth clip")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    clips = [frames for _, frames in dfc32_clips(args.clips)][:: args.every]
    rows, record = [], []
    for kept in args.kept:
        plain: list[tuple[float, float]] = []
        for slack in SLACKS:
            for qp in QPS if slack == 0 else (24,):
                points = []
                for frames in clips:
                    coded = io.BytesIO()
                    dfc.encode(
                        frames, coded, budget=str(kept), qp=qp, deadzone=slack, model=loaded, frame_rate=25, refine=0
                    )
                    back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
                    bits = len(coded.getvalue()) * 8 / (FRAMES * SIDE * SIDE)
                    points.append((bits, -10 * math.log10(max(mse(back, frames), 1e-10))))
                bits, psnr = np.mean(points, axis=0)
                if slack == 0:
                    plain.append((bits, psnr))
                curve = sorted(plain)
                over = psnr - np.interp(math.log(bits), [math.log(b) for b, _ in curve], [p for _, p in curve])
                inside = len(plain) == len(QPS) and slack > 0
                rows.append((kept, slack, qp, f"{bits:.4f}", f"{psnr:.2f}", f"{over:+.2f}" if inside else ""))
                record.append({"kept": kept, "slack": slack, "qp": qp, "bpp": bits, "psnr": psnr})
    print(table(("kept of 32", "slack", "QP", "bits/pixel", "PSNR dB", "gain dB"), rows))
    write_json("snap", {"clips": len(clips), "rows": record}, args.model)


if __name__ == "__main__":
    main()
