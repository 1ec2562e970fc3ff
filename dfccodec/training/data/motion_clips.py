"""Training data of the generator `mini-regen`: clips with decoded kept frames and fitted motion latents.

    python -m dfccodec.training.data.motion_clips ../shared/clips/train runs/motion --count 400

Kept frames are decoded from quantized latents at a random QP, so that the generator sees what a file gives.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import step_sizes
from dfccodec.codec.fill.generate.encoder import spans
from dfccodec.codec.fill.generate.fit import fit_motion
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import DfcError, InputError
from dfccodec.models.regen import RegenConfig
from dfccodec.training.data.dataset import Scene, load_scenes
from dfccodec.training.data.decoded import SIDE, draw_clip

KEPT_SHARES = {1: 0.7, 2: 0.2, 4: 0.1}
"""Number of kept frames, and the share of clips with it."""

QP_RANGE = (16, 40)
SUFFIX = ".motion.npz"


@dataclass(frozen=True)
class MotionClip:
    """A clip of T frames with K kept ones.

    Args:
        source: name of the source video.
        frames: (T, H, W, 3) uint8, the source.
        kept: (K,) numbers of the kept frames.
        pictures: (K, H, W, 3) uint8, decoded.
        content: (K, C, H/16, W/16) float16, their latents.
        motion: (K, 4 · waves, H/32, W/32) float32 in pixels.
    """

    source: str
    frames: np.ndarray
    kept: np.ndarray
    pictures: np.ndarray
    content: np.ndarray
    motion: np.ndarray


def draw_kept(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw kept frames: mostly one near the middle, or several at about equal distances."""
    count = int(rng.choice(list(KEPT_SHARES), p=list(KEPT_SHARES.values())))
    centres = (np.arange(count) + 0.5) * frames / count
    jitter = rng.integers(-frames // (6 * count), frames // (6 * count) + 1, count)
    return np.clip(centres.astype(int) + jitter, 0, frames - 1)


def decode_kept(clip: np.ndarray, kept: np.ndarray, qp: int, codec: LoadedModel) -> tuple[np.ndarray, np.ndarray]:
    """Code the kept frames of a clip: pictures (K, H, W, 3) float32 in 0…1 and latents (K, C, h, w)."""
    height, width = clip.shape[1:3]
    latents, _ = codec.encode(clip, qp)
    steps = codec.model.steps
    assert steps is not None
    scale = step_sizes(steps, qp)
    slots = np.rint(latents / scale) * scale
    known = np.zeros(len(clip), np.bool_)
    known[kept] = True
    slots[~known] = 0
    made: dict[int, np.ndarray] = {}
    codec.decode_frames(slots.astype(np.float32), known, height, width, qp, made.__setitem__, known)
    content = slots[kept].reshape(len(kept), height // 16, width // 16, -1).transpose(0, 3, 1, 2)
    return np.clip(np.stack([made[k] for k in kept.tolist()]), 0, 1), content


def make_clip(scene: Scene, rng: np.random.Generator, codec: LoadedModel, target: Path, side: int = SIDE) -> None:
    """Draw, code and fit one clip of `side` × `side` pixels; write it to `target`."""
    clip = draw_clip(scene, rng, side)
    kept = draw_kept(len(clip), rng)
    pictures, content = decode_kept(clip, kept, int(rng.integers(QP_RANGE[0], QP_RANGE[1] + 1)), codec)
    motion = [
        fit_motion(clip, int(k), span, RegenConfig.waves) for k, span in zip(kept, spans(kept, len(clip)), strict=True)
    ]
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file, source=np.array(scene.source), frames=clip, kept=kept, motion=np.stack(motion),
            pictures=np.rint(pictures * 255).astype(np.uint8), content=content.astype(np.float16),
        )  # fmt: skip
    os.replace(part, target)


def load_motion_clips(folder: Path) -> Iterator[MotionClip]:
    """Load all clips of a folder.

    Raises:
        InputError: the folder has none, or one is damaged.
    """
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise InputError(f"no motion clips in {folder}: make them with python -m dfccodec.training.data.motion_clips")
    for path in files:
        try:
            with np.load(path, allow_pickle=False) as file:
                values = dict(file)
            yield MotionClip(str(values.pop("source")), **values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"cannot read {path}: {error}") from None


def main() -> None:
    """Make motion clips of a folder of videos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--frames", type=int, default=96, help="frames of each video to draw from")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.target.mkdir(parents=True, exist_ok=True)
    codec = load_model("mini")
    scenes = [s for s in load_scenes(given.source, max_frames=given.frames) if len(s.frames) >= 12]
    for number in range(given.count):
        target = given.target / f"{number:05}{SUFFIX}"
        if target.exists():
            continue
        rng = np.random.default_rng([given.seed, number])
        scene = scenes[number % len(scenes)]
        try:
            make_clip(scene, rng, codec, target)
        except DfcError as error:
            print(f"{scene.source}: {error}", flush=True)


if __name__ == "__main__":
    main()
