"""Training data of a look: pairs of consecutive decoded pictures and their source pictures.

    python -m dfccodec.training.data.decoded ../shared/clips/train runs/decoded --variants 2

Clips are encoded and decoded with default settings at a random QP and number of kept frames, so that a look
(`training.tasks.sharp`) sees what it will be given: intra, predicted and dropped frames.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfccodec.codec.api import encode, load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import DfcError, InputError
from dfccodec.training.data.dataset import Scene, load_scenes, source_name

FRAMES, SIDE = 32, 256
PAIRS, CROP = 4, 192
"""Pairs of pictures that are stored of each clip, and their side in pixels."""

BUDGETS = {4: 0.2, 8: 0.5, 16: 0.2, 32: 0.1}
"""Kept frames of 32, and the share of clips with that budget."""

QP_RANGE = (14, 44)


@dataclass(frozen=True)
class DecodedClip:
    """Pairs of consecutive pictures of one clip.

    Args:
        source: name of the source video.
        qp: quantizer index.
        decoded, frames: (N, 2, H, W, 3) uint8, decoded and source pictures.
    """

    source: str
    qp: int
    decoded: np.ndarray
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


def decode_clip(clip: np.ndarray, model: LoadedModel, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Encode and decode a clip (T, H, W, 3) uint8 with random settings; return QP and pictures of the same shape."""
    budget = int(rng.choice(list(BUDGETS), p=list(BUDGETS.values())))
    qp = int(rng.integers(QP_RANGE[0], QP_RANGE[1] + 1))
    file = io.BytesIO()
    encode(clip, file, budget=f"{100 * budget / FRAMES:g}%", qp=qp, model=model)
    file.seek(0)
    return qp, np.stack([picture.rgb for picture in Decoder(file, lambda _: model)])


def write_pairs(scene: Scene, target: Path, model: LoadedModel, rng: np.random.Generator, side: int = SIDE) -> None:
    """Write pairs of pictures of a random clip of a scene to `target` (.npz)."""
    clip = draw_clip(scene, rng, side)
    if len(clip) < 2:
        return
    qp, decoded = decode_clip(clip, model, rng)
    crop = min(CROP, side)
    first = rng.permutation(len(clip) - 1)[:PAIRS]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for t in first:
        y, x = rng.integers(side - crop + 1, size=2)
        at = np.s_[t : t + 2, y : y + crop, x : x + crop]
        found.append((decoded[at], clip[at]))
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, qp=qp, decoded=np.stack([d for d, _ in found]), frames=np.stack([f for _, f in found]))
    os.replace(part, target)


def decode_footage(
    folder: Path, out: Path, variants: int, model: LoadedModel, max_frames: int = 96, side: int = SIDE
) -> int:
    """Write pairs of every scene of a folder `variants` times, each time of another clip, QP and number of kept frames.

    Existing files are kept, so an interrupted run can be continued.

    Returns:
        number of clips written.

    Raises:
        InputError: the folder has no video, or a video is too small.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for number, scene in enumerate(load_scenes(folder, side, max_frames=max_frames, on_skip=lambda _: None)):
        for variant in range(variants):
            target = out / f"{scene.source}_{number:03d}-{variant}.npz"
            if not target.exists():
                write_pairs(scene, target, model, np.random.default_rng((number, variant)), side)
                count += 1
    return count


def load_decoded_clips(folder: Path) -> Iterator[DecodedClip]:
    """Yield the clips that :func:`decode_footage` wrote.

    Raises:
        InputError: the folder has none.
    """
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"no decoded clips in {folder}: make them with python -m dfccodec.training.data.decoded VIDEOS OUT"
        )
    for path in files:
        with np.load(path) as data:
            yield DecodedClip(source_name(path.name), int(data["qp"]), data["decoded"], data["frames"])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Encode and decode videos as training data for a look.")
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", type=int, default=2, help="clips per scene")
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    try:
        decode_footage(args.folder, args.out, args.variants, load_model(args.model))
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
