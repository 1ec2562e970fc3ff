"""Protocol DFC-32: quality and size of `mini` at 32 … 1 kept of 32, beside PCA-96 with hold and lerp.

    python benchmarks/dfc32.py [--clips ../shared/clips/eval] [--qp 24]

Encode, decode, round to 8 bit; squared error on [0, 1] per clip; the mean of it over clips and the mean of per-clip
PSNR. Bits are those of whole `.dfc` files for `mini`, of the coded integers alone for PCA-96, which is the linear code
inside `mini` with frames kept uniformly and the same quantizer steps.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
from clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, table, uniform, write_json

import dfccodec as dfc
from dfccodec.codec.api import load_model
from dfccodec.codec.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.fill import POLICIES
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.quantizer import dequantize, quantize
from dfccodec.codec.runtime import free_threads
from dfccodec.container.records import Fill
from dfccodec.entropy.latents import encode_latents

BUDGETS = (32, 16, 8, 6, 4, 2, 1)
PUBLISHED_BYTES = 1_575_265  # a .pt of all 32 slots in bf16, what the published format stores whatever is kept


def of_mini(frames: np.ndarray, loaded: Loaded, qp: int, fill: str) -> dict[int, tuple[float, int]]:
    """Squared error and bytes of the file at each budget; smaller budgets are trimmed from the whole: same files."""
    whole = io.BytesIO()
    dfc.encode(frames, whole, budget="all", qp=qp, fill=fill, model=loaded, rate=25)
    out = {}
    for kept in BUDGETS:
        coded = io.BytesIO()
        dfc.trim(io.BytesIO(whole.getvalue()), coded, Budget("top", kept))
        back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
        out[kept] = (mse(back, frames), len(coded.getvalue()))
    return out


@torch.inference_mode()
def of_pca(frames: np.ndarray, loaded: Loaded, qp: int, fill: Fill) -> dict[int, tuple[float, int]]:
    """The same for the linear code alone."""
    linear, steps = loaded.model.linear, loaded.model.steps
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    z = linear.analyse(pixels).permute(0, 2, 3, 1).numpy()
    out = {}
    for kept in BUDGETS:
        mask = uniform(kept)
        values = quantize(z[mask][:, None], steps, qp)
        tokens = dequantize(values, steps, qp).reshape(kept, -1, z.shape[-1])
        slots, _ = POLICIES[fill].fill(tokens, mask, b"")
        back = linear.synthesise(torch.from_numpy(slots.reshape(z.shape)).permute(0, 3, 1, 2))
        rounded = (back.clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()
        out[kept] = (mse(rounded, frames), len(encode_latents(values)[0]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Protocol DFC-32.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--qp", type=int, default=24)
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    torch.set_num_threads(free_threads())
    loaded = load_model(args.model)
    results: dict[str, dict[int, list[tuple[float, int]]]] = {}
    for _, frames in dfc32_clips(args.clips):
        for name, measured in (
            ("mini", of_mini(frames, loaded, args.qp, "token")),
            ("mini, lerp", of_mini(frames, loaded, args.qp, "lerp")),
            ("PCA-96, lerp", of_pca(frames, loaded, args.qp, Fill.LERP)),
            ("PCA-96, hold", of_pca(frames, loaded, args.qp, Fill.HOLD)),
        ):
            for kept, value in measured.items():
                results.setdefault(name, {}).setdefault(kept, []).append(value)
    rows, record = [], []
    for name, budgets in results.items():
        for kept, values in budgets.items():
            errors, sizes = zip(*values, strict=True)
            psnr = np.mean([-10 * math.log10(max(e, 1e-10)) for e in errors])
            bpp = np.mean(sizes) * 8 / (FRAMES * SIDE * SIDE)
            rows.append(
                (name, kept, f"{np.mean(errors):.5f}", f"{psnr:.2f}", f"{bpp:.4f}", f"{np.mean(sizes) / 1000:.1f}")
            )
            record.append(
                {"code": name, "kept": kept, "mse": np.mean(errors), "psnr": psnr, "bpp": bpp, "sizes": sizes}
            )
    print(table(("code", "kept of 32", "MSE", "PSNR dB", "bits/pixel", "kB a clip"), rows))
    eight = [size for _, size in results["mini"][8]]
    print(
        f"\nat 8 kept: {PUBLISHED_BYTES / np.mean(eight):.1f} times smaller than the published format in the mean, "
        f"{PUBLISHED_BYTES / max(eight):.1f} times for the worst clip"
    )
    write_json("dfc32", {"qp": args.qp, "clips": len(eight), "rows": record})


if __name__ == "__main__":
    main()
