"""Footage as files hold it: kept frames and the latents that `dfc encode` gives them.

    python -m dfccodec.training.data.coded ../shared/clips/train runs/coded --variants 3

A second decoder of a latent space learns from these (`training.sharp`): the latents are refined, snapped and rounded as
in use, and a step of training pays for none of it.
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
from dfccodec.training.data.dataset import PACKED, Scene, load_scenes, source_of

FRAMES, SIDE = 32, 256
BUDGETS = {4: 0.2, 8: 0.6, 16: 0.2}
"""Kept frames of 32, and the share of clips coded with so many."""

QPS = (8, 48)


@dataclass(frozen=True)
class CodedClip:
    """The kept frames of one clip.

    Args:
        source: the video it was cut from.
        qp: quantizer index.
        kept: (T,) bool, which frames of the clip are kept, K of them.
        latents: (K, 96, h, w) float32, as a decoder gets them.
        frames: (K, 16 h, 16 w, 3) uint8, what they should look like.
    """

    source: str
    qp: int
    kept: np.ndarray
    latents: np.ndarray
    frames: np.ndarray


def draw_clip(scene: Scene, rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """A clip of at most 32 frames, a random place of the scene in time and space, flipped half of the time.

    Raises:
        InputError: the scene is smaller than `side` pixels.
    """
    total, height, width = scene.frames.shape[:3]
    if min(height, width) < side:
        raise InputError(f"footage of {width}×{height} is too small for clips of {side} pixels")
    t, y, x = (int(rng.integers(room + 1)) for room in (max(0, total - FRAMES), height - side, width - side))
    clip = scene.frames[t : t + FRAMES, y : y + side, x : x + side]
    return np.ascontiguousarray(clip[:, :, ::-1] if rng.random() < 0.5 else clip)


def write_coded(scene: Scene, target: Path, loaded: LoadedModel, rng: np.random.Generator, side: int = SIDE) -> None:
    """Encode a clip of a scene by default settings: `target` with ending .dfc, its kept frames beside it.

    Dropped frames have nothing to teach: motion paints them from kept ones.
    """
    clip = draw_clip(scene, rng, side)
    budget = rng.choice(list(BUDGETS), p=list(BUDGETS.values()))
    qp = int(rng.integers(QPS[0], QPS[1] + 1))
    # Vectors of dropped frames do not change the latents of kept ones, and take half of the time.
    encode(clip, target, budget=f"{100 * budget / FRAMES:g}%", qp=qp, fill="token", model=loaded)
    with open_file(target) as file:
        np.save(target.with_name(target.stem + PACKED), clip[file[0].kept])


def code_footage(folder: Path, out: Path, variants: int, loaded: LoadedModel, most: int = 96, side: int = SIDE) -> int:
    """Encode every scene of a folder `variants` times, each time another clip at another QP; the number written.

    What is there already is left as it is: an interrupted run goes on.

    Raises:
        InputError: no video in the folder, or one that is too small.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for variant in range(variants):
        for number, scene in enumerate(load_scenes(folder, side, most=most, on_skip=lambda _: None)):
            target = out / f"{scene.source}_{number:03d}-{variant}.dfc"
            if not target.with_name(target.stem + PACKED).exists():
                target.unlink(missing_ok=True)
                write_coded(scene, target, loaded, np.random.default_rng((number, variant)), side)
                count += 1
    return count


def load_coded(folder: Path) -> Iterator[CodedClip]:
    """Clips that :func:`code_footage` wrote.

    Raises:
        InputError: the folder holds none.
    """
    files = sorted(folder.glob("*.dfc")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"no coded clips in {folder}: make them with python -m dfccodec.training.data.coded VIDEOS OUT"
        )
    for path in files:
        frames = path.with_name(path.stem + PACKED)
        if not frames.exists():
            continue  # still being written
        with open_file(path) as file:
            clip = file[0]
            latents = rearrange(clip.dequantized(), "k 1 h w c -> k c h w")
            yield CodedClip(source_of(path.name), clip.record.qp, clip.kept, latents, np.load(frames))


def main() -> None:
    """The script: see the top of this file."""
    parser = argparse.ArgumentParser(description="Encode footage for the training of a second decoder.")
    parser.add_argument("folder", type=Path, help="of videos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", type=int, default=3, help="clips of each scene")
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    try:
        code_footage(args.folder, args.out, args.variants, load_model(args.model))
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
