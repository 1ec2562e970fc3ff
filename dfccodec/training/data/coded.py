"""Training data made by the encoder: kept frames and their decoded latents.

    python -m dfccodec.training.data.coded ../shared/clips/train runs/coded --variants 3

A second decoder of a latent space is trained on these clips (`training.tasks.sharp`). The latents are refined and
quantized as in real files, at no cost in the training step.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange

from dfccodec.codec.api import encode, load_model
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.edit.random_access import open_file
from dfccodec.errors import DfcError, InputError
from dfccodec.training.data.dataset import FRAMES_SUFFIX, Scene, load_scenes, source_name

FRAMES, SIDE = 32, 256
BUDGETS = {4: 0.2, 8: 0.6, 16: 0.2}
"""Kept frames of 32, and the share of clips with that budget."""

QP_RANGE = (8, 48)


@dataclass(frozen=True)
class CodedClip:
    """The kept frames of one clip.

    Args:
        source: name of the source video.
        qp: quantizer index.
        kept: (T,) bool, K kept frames.
        latents: (K, 96, h, w) float32, dequantized.
        frames: (K, 16 h, 16 w, 3) uint8, the source frames.
    """

    source: str
    qp: int
    kept: np.ndarray
    latents: np.ndarray
    frames: np.ndarray


def draw_clip(scene: Scene, rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """Draw a clip of up to 32 frames at a random time and position; half of the clips are mirrored.

    Raises:
        InputError: the scene is smaller than `side` pixels.
    """
    total, height, width = scene.frames.shape[:3]
    if min(height, width) < side:
        raise InputError(f"video of {width}×{height} is too small: give videos with sides of at least {side} pixels")
    t, y, x = (int(rng.integers(room + 1)) for room in (max(0, total - FRAMES), height - side, width - side))
    clip = scene.frames[t : t + FRAMES, y : y + side, x : x + side]
    return np.ascontiguousarray(clip[:, :, ::-1] if rng.random() < 0.5 else clip)


def encode_clip(scene: Scene, target: Path, model: LoadedModel, rng: np.random.Generator, side: int = SIDE) -> None:
    """Encode a random clip of a scene with default settings to `target` (.dfc); write its kept frames next to it.

    Dropped frames are not written: motion compensation reconstructs them from kept frames.
    """
    clip = draw_clip(scene, rng, side)
    budget = rng.choice(list(BUDGETS), p=list(BUDGETS.values()))
    qp = int(rng.integers(QP_RANGE[0], QP_RANGE[1] + 1))
    # Motion vectors of dropped frames take half of the time and do not change the latents of kept frames.
    encode(clip, target, budget=f"{100 * budget / FRAMES:g}%", qp=qp, fill="token", model=model)
    with open_file(target) as file:
        np.save(target.with_name(target.stem + FRAMES_SUFFIX), clip[file[0].kept])


def encode_footage(
    folder: Path, out: Path, variants: int, model: LoadedModel, max_frames: int = 96, side: int = SIDE
) -> int:
    """Encode every scene of a folder `variants` times, each time with another clip and QP.

    Existing files are kept, so an interrupted run can be continued.

    Returns:
        number of clips written.

    Raises:
        InputError: the folder has no video, or a video is too small.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for variant in range(variants):
        for number, scene in enumerate(load_scenes(folder, side, max_frames=max_frames, on_skip=lambda _: None)):
            target = out / f"{scene.source}_{number:03d}-{variant}.dfc"
            if not target.with_name(target.stem + FRAMES_SUFFIX).exists():
                target.unlink(missing_ok=True)
                encode_clip(scene, target, model, np.random.default_rng((number, variant)), side)
                count += 1
    return count


def load_coded_clips(folder: Path) -> Iterator[CodedClip]:
    """Yield the clips that :func:`encode_footage` wrote.

    Raises:
        InputError: the folder has none.
    """
    files = sorted(folder.glob("*.dfc")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"no coded clips in {folder}: make them with python -m dfccodec.training.data.coded VIDEOS OUT"
        )
    for path in files:
        frames = path.with_name(path.stem + FRAMES_SUFFIX)
        if not frames.exists():
            continue  # not complete yet
        with open_file(path) as file:
            clip = file[0]
            latents = rearrange(clip.dequantized(), "k 1 h w c -> k c h w")
            yield CodedClip(source_name(path.name), clip.record.qp, clip.kept, latents, np.load(frames))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Encode videos as training data for a second decoder.")
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", type=int, default=3, help="clips per scene")
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    try:
        encode_footage(args.folder, args.out, args.variants, load_model(args.model))
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
