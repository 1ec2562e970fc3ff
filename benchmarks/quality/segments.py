"""Ablation of the segment embedding (MTC-VAE, table 4): where it is added, and what that is worth.

    python -m benchmarks.quality.segments runs/{first,last,none}/model.safetensors

The weights are made with `dfc train --recipe segments`, with place = "first", "last" or "none" in the options of the
recipe. Three segments are made of the 32 frames of each eval clip, of 4, 8 and 16 kept frames at equal distances; their
latents are concatenated in a random order, with the embedding. As after a generation, segments are then found by the
predictor alone, the embedding is subtracted where the predictor says that a segment begins, latents are quantized at
QP 16, and every segment found is decoded by `mini`. Pictures are compared with the source. A rate is right if the
segment found is the one that was made.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange

from benchmarks.clips import EVAL, dfc32_clips, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import dequantize, quantize
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import load_lpips, lpips
from dfccodec.metrics.psnr import psnr
from dfccodec.metrics.ssim import ssim
from dfccodec.models import registry
from dfccodec.models.latent_dit import LatentDiT
from dfccodec.runtime.resources import available_cpus

STRIDES, QP, PATCH = (8, 4, 2), 16, 16
PLACES = ("first", "last", "none")


def make_segments(frames: npt.NDArray[np.uint8], rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Return the numbers of the kept frames of three segments, and the first index of each segment and the end."""
    parts = [np.arange(stride // 2, len(frames), stride) for stride in rng.permutation(STRIDES)]
    return np.concatenate(parts), [0, *np.cumsum([len(part) for part in parts]).tolist()]


@torch.inference_mode()
def measure(
    place: str, dit: LatentDiT, loaded: LoadedModel, clips: Sequence[tuple[str, npt.NDArray[np.uint8]]]
) -> dict[str, float]:
    """Return share of frames and of segments that are right, and the mean quality of all clips."""
    rng, network = np.random.default_rng(0), load_lpips()
    rows = []
    for _, frames in clips:
        kept, edges = make_segments(frames, rng)
        every, _ = loaded.encode(frames, QP)
        side = frames.shape[1] // PATCH
        latents = dit.normalize(torch.from_numpy(rearrange(every[kept], "k (h w) c -> k c h w", h=side)))
        starts, ends = torch.zeros(len(kept), dtype=torch.bool), torch.zeros(len(kept), dtype=torch.bool)
        starts[edges[:-1]], ends[[edge - 1 for edge in edges[1:]]] = True, True
        where = {"first": starts, "last": ends, "none": torch.zeros_like(starts)}[place]
        marked = dit.segments.add(latents, where)
        found = dit.segments.find(marked)
        made = decode(dit.denormalize(dit.segments.remove(marked, found)), found, frames.shape[1:3], loaded)
        segments = set(pairwise([*found.nonzero().flatten().tolist(), len(kept)])) & set(pairwise(edges))
        source = frames[kept]
        rows.append(
            [
                float((found == starts).float().mean()), len(segments) / (len(edges) - 1), psnr(source, made),
                ssim(source, made), lpips(source, made, network),
            ]
        )  # fmt: skip
    return dict(zip(("frames", "segments", "psnr", "ssim", "lpips"), np.mean(rows, axis=0).tolist(), strict=True))


def decode(
    latents: torch.Tensor, starts: torch.Tensor, size: tuple[int, ...], loaded: LoadedModel
) -> npt.NDArray[np.uint8]:
    """Decode the kept frames of each segment, quantized, to frames (K, H, W, 3)."""
    steps, out = loaded.model.steps, []
    assert steps is not None
    for begin, end in pairwise([*starts.nonzero().flatten().tolist(), len(starts)]):
        slots = rearrange(latents[begin:end].numpy(), "k c h w -> k (h w) c")
        slots = dequantize(quantize(slots, steps, QP), steps, QP)
        frames = loaded.decode(slots, np.ones(len(slots), bool), size[0], size[1], QP)
        out.append(np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8))
    return np.concatenate(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Ablation of the segment embedding.")
    parser.add_argument("weights", type=Path, nargs=len(PLACES), help="weights with place first, last and none")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--out", type=Path, help="folder for the results; default benchmarks/results")
    args = parser.parse_args(arguments)
    torch.set_num_threads(available_cpus())
    loaded, clips = load_model("mini", "cpu", "auto"), list(dfc32_clips(args.clips))
    record: dict[str, Any] = {}
    for place, path in zip(PLACES, args.weights, strict=True):
        dit: Any = registry.load_generator(str(path))[0]
        record[place] = {name: round(value, 5) for name, value in measure(place, dit, loaded, clips).items()}
    titles = ["embedding", "frames classified correctly", "segments found", "PSNR", "SSIM", "LPIPS"]
    print(table(titles, [[place, *row.values()] for place, row in record.items()]))
    write_json("segments", {"clips": len(clips), "qp": QP, "places": record}, folder=args.out)


if __name__ == "__main__":
    main()
