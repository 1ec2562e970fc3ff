"""Gain of `mini` over the PCA baseline: PSNR at equal bits, for each budget and QP, protocol DFC-32.

    python -m benchmarks.quality.gain_over_pca [--clips ../shared/clips/eval] [--coding range|zstd|order0]
                                               [--model mini] [--refine 2]

The baseline is PCA-96, the PCA transform of `mini`: uniformly kept frames, dropped frames by linear interpolation of
latents, the same quantizer steps and entropy coder; only the coded latents count. `mini` is coded with its own fill and
`--budget K`; all bytes of the file count. Curves are means over clips (bits and PSNR), interpolated with monotone
cubics over the logarithm of bits, as for BD-rates. With `order0`, the order-0 entropy of each channel is counted
instead of bytes, as in `shared/floor.md`. This compares only the transforms, without a context model.
"""

from __future__ import annotations

import argparse
import io
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, read_json, steps_of, table, uniform, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import dequantize, quantize
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.fill import POLICIES
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Fill
from dfccodec.entropy.latent_coding import decode_latents, encode_latents, parse_coding
from dfccodec.metrics.bdrate import pchip
from dfccodec.models.mini import Mini
from dfccodec.runtime.resources import available_cpus

BUDGETS = (32, 16, 8, 6, 4)
MINI_QPS = (8, 16, 24, 32, 40)
LINEAR_QPS = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48)

ORDER0 = "order0"

Point = tuple[float, float, float]
"""Bits per pixel, PSNR in dB, squared error; of one clip or the mean over clips."""


def of_mini(frames: np.ndarray, loaded: LoadedModel, kept: int, qp: int, coding: str, refine: int = 0) -> Point:
    """Encode and decode one clip through a file."""
    coded = io.BytesIO()
    dfc.encode(
        frames,
        coded,
        fill="token",
        budget=str(kept),
        qp=qp,
        coding="range" if coding == ORDER0 else coding,
        model=loaded,
        frame_rate=25,
        refine=refine,
    )
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
    size: float = len(coded.getvalue())
    if coding == ORDER0:
        reader = StreamReader(io.BytesIO(coded.getvalue()))
        clip = next(item.clip for item in reader if isinstance(item, ClipAt))
        size = _entropy(decode_latents(clip, reader.preamble.header))
    return _point(size, mse(back, frames))


@torch.inference_mode()
def through_linear(
    frames: np.ndarray, loaded: LoadedModel, mask: np.ndarray, qp: int, fill: Fill
) -> tuple[np.ndarray, np.ndarray]:
    """A clip through the linear code, frames `mask` (T,) bool kept: integers (K, 1, rows, columns, 96) and
    (T, H, W, 3) uint8 frames.
    """
    assert isinstance(loaded.model, Mini)
    linear, steps = loaded.model.linear, steps_of(loaded)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    z = linear.analyse(pixels[torch.from_numpy(mask)]).permute(0, 2, 3, 1).numpy()
    values = quantize(z[:, None], steps, qp)
    tokens = dequantize(values, steps, qp).reshape(len(values), -1, z.shape[-1])
    slots, _ = POLICIES[fill].fill(tokens, mask, b"")
    back = linear.synthesise(torch.from_numpy(slots.reshape(FRAMES, *z.shape[1:])).permute(0, 3, 1, 2))
    return values, (back.clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()


def of_linear(
    frames: np.ndarray, loaded: LoadedModel, kept: int, qp: int, coding: str, fill: Fill = Fill.LERP
) -> Point:
    """Code one clip with PCA-96: uniformly kept frames, dropped frames interpolated or held."""
    values, back = through_linear(frames, loaded, uniform(kept), qp, fill)
    size = _entropy(values) if coding == ORDER0 else len(encode_latents(values, parse_coding(coding))[0])
    return _point(size, mse(back, frames))


def _entropy(values: np.ndarray) -> float:
    """Return the bytes of integers (…, C) at the order-0 entropy of each channel."""
    bits = 0.0
    for channel in np.moveaxis(values, -1, 0):
        _, counts = np.unique(channel, return_counts=True)
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def _point(size: float, error: float) -> Point:
    return size * 8 / (FRAMES * SIDE * SIDE), -10 * math.log10(max(error, 1e-10)), error


def read_at(curve: list[Point], bits: float) -> float:
    """Return the PSNR of a curve at `bits` per pixel, interpolated as for BD-rates; NaN outside the curve."""
    x, y = (np.array(v) for v in zip(*[(math.log(b), p) for b, p, _ in sorted(curve)], strict=True))
    at = math.log(bits)
    return float(pchip(x, y, np.array([at]))[0]) if x[0] <= at <= x[-1] else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description="mini against its linear code at equal bits.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--coding", default="range")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="kept frames of 32")
    parser.add_argument("--refine", type=int, default=0, help="steps of mini's latents; dfc takes 2")
    parser.add_argument("--qps", type=int, nargs="+", default=list(MINI_QPS), help="of mini")
    parser.add_argument("--every", type=int, default=1, help="only every so manyth clip, for a quick look")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    mini = partial(of_mini, refine=args.refine)
    clips = [frames for _, frames in dfc32_clips(args.clips)][:: args.every]
    rows, record, everywhere = [], [], []
    for kept in args.budgets:
        ours, floor = (
            [(qp, np.mean([f(c, loaded, kept, qp, args.coding) for c in clips], axis=0)) for qp in qps]
            for f, qps in ((mini, args.qps), (of_linear, LINEAR_QPS))
        )
        line = [tuple(p) for _, p in floor]
        for qp, (bits, psnr, error) in ours:
            over = psnr - read_at(line, bits)
            rows.append((kept, qp, f"{bits:.4f}", f"{psnr:.2f}", f"{error:.5f}", f"{over:+.2f}"))
            record.append({"kept": kept, "qp": qp, "bpp": bits, "psnr": psnr, "mse": error, "over_linear_db": over})
            everywhere.append(over)
        for qp, (bits, psnr, error) in floor:
            record.append({"code": "linear", "kept": kept, "qp": qp, "bpp": bits, "psnr": psnr, "mse": error})
        if kept == FRAMES:
            grid = np.arange(0.2, 0.601, 0.05)
            own = [tuple(p) for _, p in ours]
            gains = [read_at(own, b) - read_at(line, b) for b in grid]
            print(f"all kept, 0.2 to 0.6 bits/pixel: {np.mean(gains):+.2f} dB in the mean, {min(gains):+.2f} at least")
            record.append({"kept": kept, "all_kept_gains": dict(zip(grid.round(2).tolist(), gains, strict=True))})
    print(table(("kept", "QP", "bits/pixel", "PSNR dB", "MSE", "over linear dB"), rows))
    print(f"least of all: {np.nanmin(everywhere):+.2f} dB")
    if args.every == 1:
        name = f"floor_{args.coding}" + (f"_refine{args.refine}" if args.refine else "")
        others = [row for row in read_json(name).get("rows", []) if row["kept"] not in args.budgets]
        write_json(name, {"clips": len(clips), "coding": args.coding, "rows": others + record}, args.model)


if __name__ == "__main__":
    main()
