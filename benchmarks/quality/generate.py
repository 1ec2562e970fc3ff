"""Clips of `mini-dit` against real ones: Fréchet distances, baselines, and the nearest training clips.

    python -m benchmarks.quality.generate runs/latents                    results/generate.json
    python -m benchmarks.quality.generate runs/latents --generator runs/dit/model.safetensors --out /tmp/x --count 24

`runs/latents` is the training data (`python -m dfccodec.training.data.latent_videos`). A clip is 8 kept frames of
256×256, decoded by `mini` from quantized latents, generated and real ones alike. The reference is real clips that no
weight has seen: the eval clips and the held-out sources of the training footage.

Appearance: features are the fifth layer of AlexNet (weights of LPIPS), averaged over the frame. Motion: mean and 90th
percentile of the absolute change between successive kept frames, and mean and 90th percentile of the length of block
vectors. The Fréchet distance is the one of FID (Heusel et al. 2017) between two normal distributions; of appearance,
over the 64 first principal components of training frames, because few clips cannot give a covariance of 256 features.

Baselines: normal latents with mean and covariance of single tokens; normal latents with mean and covariance of whole
clips (random mixtures of training clips). Floor: as many real training clips. For every generated clip the nearest
training clip is shown (`nearest.png`), and its distance is compared with that of held-out clips to theirs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from PIL import Image
from torch.nn import functional as F

from benchmarks.clips import EVAL, dfc32_clips, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import dequantize, quantize
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.models import registry
from dfccodec.models.flow_sampling import sample
from dfccodec.models.latent_dit import LatentDiT
from dfccodec.runtime.resources import available_cpus
from dfccodec.training.data.dataset import split_scenes
from dfccodec.training.data.latent_videos import load_latent_videos
from dfccodec.training.data.latent_windows import WindowSampler

KEPT, SIDE, QP = 8, 16, 16
COMPONENTS = 64
MIXED = 400
"""Training clips that whole-clip normal latents are mixtures of."""

Floats = npt.NDArray[np.float64]
Latents = npt.NDArray[np.float32]
"""(clips, K, C, h, w), in the units of the codec."""


@dataclass(frozen=True)
class Normal:
    """Mean (D,) and covariance (D, D) of features."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, rows: Floats) -> Normal:
        """Fit rows (N, D)."""
        return cls(rows.mean(axis=0), np.cov(rows, rowvar=False))


def frechet(a: Normal, b: Normal) -> float:
    """Fréchet distance |m_a − m_b|² + tr(A + B − 2 (A B)^½), FID's equation 6."""
    values, vectors = np.linalg.eigh(a.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ b.covariance @ root)
    both = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(np.square(a.mean - b.mean).sum() + both)


def decode(latents: Latents, loaded: LoadedModel) -> npt.NDArray[np.uint8]:
    """Decode quantized latents of clips to frames (clips, K, H, W, 3)."""
    steps = loaded.model.steps
    assert steps is not None
    out = []
    for clip in latents:
        slots = dequantize(quantize(rearrange(clip, "k c h w -> k (h w) c"), steps, QP), steps, QP)
        side = (clip.shape[2] * loaded.model.patch, clip.shape[3] * loaded.model.patch)
        frames = loaded.decode(slots, np.ones(len(clip), bool), *side, QP)
        out.append(np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8))
    return np.stack(out)


@torch.inference_mode()
def appearance(frames: npt.NDArray[np.uint8], network: Lpips) -> Floats:
    """Features (clips · K, 256) of frames (clips, K, H, W, 3)."""
    out = []
    for clip in frames:
        x = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
        x = (2 * x - 1 - network.get_buffer("shift")) / network.get_buffer("scale")
        for number, layer in enumerate(network.convolutions):
            x = F.relu(layer(F.max_pool2d(x, 3, 2) if number in network.backbone.pooled else x))
        out.append(x.mean(dim=(2, 3)).double().numpy())
    return np.concatenate(out)


def motion(frames: npt.NDArray[np.uint8]) -> Floats:
    """Statistics (clips, 4) of changes and of block vectors between successive frames, as logarithms."""
    grey = frames.mean(axis=4)
    small = F.avg_pool2d(torch.from_numpy(grey).float(), 4) / 255
    out = []
    for clip in small:
        change = (clip[1:] - clip[:-1]).abs()
        length = _vector_lengths(clip[1:], clip[:-1])
        each = [change.mean(), change.flatten().quantile(0.9), length.mean(), length.flatten().quantile(0.9)]
        out.append([float(torch.log(value + floor)) for value, floor in zip(each, (0.01, 0.01, 0.5, 0.5), strict=True)])
    return np.array(out)


def _vector_lengths(frames: torch.Tensor, before: torch.Tensor, block: int = 8, reach: int = 6) -> torch.Tensor:
    """Lengths (T, rows, columns) of the best integer vectors of blocks into the frames before."""
    edged = F.pad(before[:, None], (reach,) * 4, mode="replicate")[:, 0]
    height, width = frames.shape[1:]
    errors, lengths = [], []
    steps = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    for y, x in sorted(steps, key=lambda step: step[0] ** 2 + step[1] ** 2):  # the shortest of equals wins
        moved = edged[:, reach + y : reach + y + height, reach + x : reach + x + width]
        errors.append(F.avg_pool2d((frames - moved).abs()[:, None], block)[:, 0])
        lengths.append((y * y + x * x) ** 0.5)
    return torch.tensor(lengths)[torch.stack(errors).argmin(dim=0)]


def real_clips(sampler: WindowSampler, count: int) -> Latents:
    """Up to `count` real clips at uniform spacing over the videos."""
    windows = sampler.spaced(count, 8, KEPT, SIDE, SIDE)
    out: Latents = np.stack([window.latents for window in windows]).astype(np.float32)
    return out


def eval_clips(loaded: LoadedModel) -> Latents:
    """The eval clips, 8 of 32 frames chosen by importance."""
    out = []
    for _, frames in dfc32_clips(EVAL):
        latents, importance = loaded.encode(frames, QP, KEPT)
        kept = np.sort(np.argsort(-importance, kind="stable")[:KEPT])
        out.append(rearrange(latents[kept], "k (h w) c -> k c h w", h=SIDE))
    stacked: Latents = np.stack(out).astype(np.float32)
    return stacked


def token_normal(clips: Latents, count: int, rng: np.random.Generator) -> Latents:
    """Normal latents with mean and covariance of the channels of single tokens."""
    rows = rearrange(clips, "n k c h w -> (n k h w) c")
    factor = np.linalg.cholesky(np.cov(rows, rowvar=False) + 1e-9 * np.eye(rows.shape[1]))
    noise = rng.standard_normal((count, KEPT, SIDE, SIDE, rows.shape[1])) @ factor.T + rows.mean(axis=0)
    out: Latents = rearrange(noise, "n k h w c -> n k c h w").astype(np.float32)
    return out


def clip_normal(clips: Latents, count: int, rng: np.random.Generator) -> Latents:
    """Normal latents with mean and sample covariance of whole clips: mixtures with normal weights."""
    mean = clips.mean(axis=0)
    weights = rng.standard_normal((count, len(clips))) / np.sqrt(len(clips) - 1)
    mixed: Latents = (np.tensordot(weights, clips - mean, axes=1) + mean).astype(np.float32)
    return mixed


@torch.inference_mode()
def generated(dit: LatentDiT, count: int, steps: int, method: str, temperature: float) -> Latents:
    """Clips of the generator from seeds 0, 1, …"""
    out = []
    for seed in range(count):
        noise = torch.randn(1, KEPT, dit.config.channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
        with torch.autocast("cpu", torch.bfloat16):
            flow = sample(dit, noise * temperature, steps, method)
        found = dit.segments.remove(flow.velocity, dit.segments.find(flow.velocity))
        out.append(dit.denormalize(found)[0].numpy())
    return np.stack(out)


def nearest(clips: Latents, training: Latents) -> tuple[list[int], Floats]:
    """Nearest training clip of each clip, and its distance per pixel (squared error of latents)."""
    flat = training.reshape(len(training), -1)
    square = np.square(flat, dtype=np.float64).sum(axis=1)
    at, distance = [], []
    for clip in clips:
        row = clip.reshape(-1)
        apart = square - 2.0 * (flat @ row) + float(np.square(row, dtype=np.float64).sum())
        at.append(int(apart.argmin()))
        distance.append(apart.min() / (KEPT * SIDE * SIDE * 768))
    return at, np.array(distance)


def draw_nearest(made: npt.NDArray[np.uint8], found: npt.NDArray[np.uint8], target: Path) -> None:
    """Draw the middle frame of generated clips above those of their nearest training clips."""
    rows = [np.concatenate(list(frames[:12, KEPT // 2]), axis=1) for frames in (made, found)]
    Image.fromarray(np.concatenate(rows)).resize((12 * 128, 256)).save(target)


def measure(
    sets: dict[str, Latents], reference: Latents, training: Latents, loaded: LoadedModel
) -> tuple[dict[str, dict[str, float]], dict[str, npt.NDArray[np.uint8]]]:
    """Return the distances of every set of clips from the reference, and the decoded frames."""
    network = load_lpips()
    basis = np.linalg.svd(_centred(appearance(decode(training[:64], loaded), network)), full_matrices=False)[2]
    basis = basis[:COMPONENTS].T
    pictures = {name: decode(clips, loaded) for name, clips in {"reference": reference, **sets}.items()}
    features: dict[str, Callable[[npt.NDArray[np.uint8]], Floats]] = {
        "appearance": lambda frames: appearance(frames, network) @ basis,
        "motion": motion,
    }
    found: dict[str, dict[str, float]] = {name: {} for name in sets}
    for what, function in features.items():
        target = Normal.of(function(pictures["reference"]))
        for name in sets:
            found[name][what] = round(frechet(Normal.of(function(pictures[name])), target), 4)
    return found, pictures


def _centred(rows: Floats) -> Floats:
    out: Floats = rows - rows.mean(axis=0)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the generator.")
    parser.add_argument("latents", type=Path, help="folder of training latents")
    parser.add_argument("--generator", default="mini-dit")
    parser.add_argument("--count", type=int, default=48, help="clips per set")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--method", default="euler")
    parser.add_argument("--temperature", type=float, nargs="+", default=[1.0], help="one set of clips for each")
    parser.add_argument("--out", type=Path, help="folder for results and pictures; default benchmarks/results")
    args = parser.parse_args(arguments)
    torch.set_num_threads(available_cpus())
    run(args)


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the results."""
    loaded, rng = load_model("mini", "cpu", "auto"), np.random.default_rng(0)
    dit: Any = registry.load_generator(args.generator)[0]
    train, held_out = (WindowSampler(part) for part in split_scenes(list(load_latent_videos(args.latents))))
    training = real_clips(train, MIXED)
    reference = np.concatenate([eval_clips(loaded), real_clips(held_out, 24)])
    count = args.count
    made = {f"mini-dit, temperature {t:g}": generated(dit, count, args.steps, args.method, t) for t in args.temperature}
    sets = {
        **made,
        "normal, whole clips": clip_normal(training, count, rng),
        "normal, single tokens": token_normal(training, count, rng),
        "real training clips": training[rng.permutation(len(training))[:count]],
    }
    rows, pictures = measure(sets, reference, training, loaded)
    first = next(iter(made))
    at, distance = nearest(made[first], training)
    _, usual = nearest(reference, training)
    record: dict[str, Any] = {
        "generator": args.generator, "count": count, "steps": args.steps, "method": args.method,
        "reference": len(reference),
        "frechet": rows,
        "nearest": {"generated": round(float(np.median(distance)), 6), "held out": round(float(np.median(usual)), 6)},
    }  # fmt: skip
    print(table(["clips", "appearance", "motion"], [[name, *row.values()] for name, row in rows.items()]))
    print(f"\nnearest training clip, median squared error per sample: {record['nearest']}")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        draw_nearest(pictures[first], decode(training[at[:12]], loaded), args.out / "nearest.png")
    write_json("generate", record, folder=args.out)


if __name__ == "__main__":
    main()
