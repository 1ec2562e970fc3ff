"""Protocol DFC-32: quality and size of `mini` and PCA-96 with 32 … 1 of 32 frames kept, and Bernoulli selection.

    python -m benchmarks.quality.dfc32 [--clips ../shared/clips/eval] [--qp 24]

The fill policy is `token`, without motion. Clips are encoded, decoded and rounded to 8 bits. Figures are the mean over
clips of the squared error on [0, 1], and the mean of the PSNR of each clip. Bits of `mini` are those of complete `.dfc`
files. Bits of PCA-96 are those of the coded latents; it is the PCA transform of `mini` with uniformly kept frames, the
same quantizer steps and the same coder. The second table repeats the published one for `mini`: 16 Bernoulli draws per
clip, with the probability of each frame and with a mean rate of 18.5 %, by motion class.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, motion_classes, mse, table, write_json
from benchmarks.quality.gain_over_pca import of_linear
from benchmarks.quality.selection import Clip
from dfccodec.codec.api import load_model
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Fill
from dfccodec.runtime.resources import available_cpus

BUDGETS = (32, 16, 8, 6, 4, 2, 1)
DRAWS = 16
PUBLISHED_BYTES = (
    1_575_265  # a .pt of all 32 slots in bf16, what the published format stores for any number of kept frames
)

Measured = tuple[float, int, int]
"""Squared error, bytes, kept frames."""


def of_mini(frames: np.ndarray, loaded: LoadedModel, budget: str, qp: int, **options: object) -> Measured:
    """Encode and decode one clip through a file."""
    coded = io.BytesIO()
    options = {"refine": 0} | options  # without refinement, which gain_over_pca.py and ablation.py measure
    report = dfc.encode(frames, coded, budget=budget, qp=qp, model=loaded, frame_rate=25, **options)  # type: ignore[arg-type]
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
    return mse(back, frames), len(coded.getvalue()), report.kept


def budgets(clips: list[np.ndarray], loaded: LoadedModel, qp: int) -> list[dict[str, object]]:
    """Return one row for each codec and number of kept frames."""
    rows: list[dict[str, object]] = []
    for code in ("mini", "PCA-96, lerp", "PCA-96, hold"):
        for kept in BUDGETS:
            fill = Fill.HOLD if "hold" in code else Fill.LERP
            if code == "mini":
                found = [of_mini(clip, loaded, str(kept), qp, fill="token")[:2] for clip in clips]
            else:
                points = [of_linear(clip, loaded, kept, qp, "inter", fill) for clip in clips]
                found = [(error, round(bits * FRAMES * SIDE * SIDE / 8)) for bits, _, error in points]
            errors, sizes = zip(*found, strict=True)
            rows.append({"code": code, "kept": kept, "errors": errors, "sizes": sizes})
    return rows


def bernoulli(clips: list[np.ndarray], classes: list[str], loaded: LoadedModel, qp: int) -> list[dict[str, object]]:
    """The published table: rows by budget and motion class.

    Latents are made once a clip; a file's bytes are those of the latents and of everything else in a file of that clip.
    """
    rows: list[dict[str, object]] = []
    coded = [Clip(frames, loaded, qp) for frames in clips]
    every = np.ones(FRAMES, bool)
    rest = [of_mini(clip.frames, loaded, "all", qp, fill="token")[1] - clip.code(every)[1] for clip in coded]
    for budget in ("bernoulli", "bernoulli:0.185"):
        found = [
            [_draw(clip, more, Budget.parse(budget), seed) for seed in range(DRAWS)]
            for clip, more in zip(coded, rest, strict=True)
        ]
        for group in ("all", *sorted(set(classes))):
            part = np.array([f for f, c in zip(found, classes, strict=True) if group in ("all", c)])
            error, size, kept = part[..., 0], part[..., 1], part[..., 2]
            rows.append({
                "budget": budget, "motion": group, "kept": kept.mean(), "kept_std": kept.std(),
                "rate": kept.mean() / FRAMES, "compression": PUBLISHED_BYTES / size.mean(), "mse": error.mean(),
            })  # fmt: skip
    return rows


def _draw(clip: Clip, more: int, budget: Budget, seed: int) -> Measured:
    kept = budget.choose(clip.importance, FRAMES, np.random.default_rng(seed))
    back, size = clip.decode(kept)
    return mse(back, clip.frames), size + more, int(kept.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="Protocol DFC-32.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--qp", type=int, default=24)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--no-bernoulli", action="store_true", help="leave out the table that takes longest")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    names, clips = zip(*dfc32_clips(args.clips), strict=True)
    first = budgets(list(clips), loaded, args.qp)
    printed = []
    for row in first:
        errors, sizes = np.array(row["errors"]), np.array(row["sizes"])
        psnr = np.mean(-10 * np.log10(np.maximum(errors, 1e-10)))
        bpp = sizes.mean() * 8 / (FRAMES * SIDE * SIDE)
        printed.append(
            (
                row["code"],
                row["kept"],
                f"{errors.mean():.5f}",
                f"{psnr:.2f}",
                f"{bpp:.4f}",
                f"{sizes.mean() / 1000:.1f}",
            )
        )
        row.update(mse=errors.mean(), psnr=psnr, bpp=bpp)
    print(table(("code", "kept of 32", "MSE", "PSNR dB", "bits/pixel", "kB a clip"), printed))
    eight = next(np.array(row["sizes"]) for row in first if (row["code"], row["kept"]) == ("mini", 8))
    print(
        f"\nat 8 kept: {PUBLISHED_BYTES / eight.mean():.1f} times smaller than the published format in the mean, "
        f"{PUBLISHED_BYTES / eight.max():.1f} times for the worst clip\n"
    )
    record = {"qp": args.qp, "clips": names, "budgets": first}
    if not args.no_bernoulli:
        motion = motion_classes(args.clips)
        drawn = bernoulli(list(clips), [motion[name] for name in names], loaded, args.qp)
        record["bernoulli"] = drawn
        print(
            table(
                ("budget", "motion", "kept", "rate", "compression", "MSE"),
                [
                    (r["budget"], r["motion"], f"{r['kept']:.1f} ± {r['kept_std']:.1f}", f"{r['rate']:.1%}",
                     f"{r['compression']:.1f}", f"{r['mse']:.5f}")
                    for r in drawn
                ],
            )
        )  # fmt: skip
    write_json("dfc32", record, args.model)


if __name__ == "__main__":
    main()
