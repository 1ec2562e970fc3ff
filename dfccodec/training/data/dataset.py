"""Footage for training: decoded once to uint8, kept in memory on the device that trains, cropped there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from dfccodec.errors import InputError
from dfccodec.media.input.read_frames import read_scaled

SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm"})
PACKED = ".frames.npy"
"""Ending of footage that is decoded already (see `training.shards`): (T, H, W, 3) uint8."""


@dataclass(frozen=True)
class Scene:
    """One file of footage: `frames` is (T, H, W, 3) uint8; `source` names the video it was cut from."""

    source: str
    frames: np.ndarray


class _Sourced(Protocol):
    @property
    def source(self) -> str: ...


Cut = TypeVar("Cut", bound=_Sourced)
"""What was cut from a video and knows from which."""


def source_of(name: str) -> str:
    """The source of a clip's file: what stands before the last underscore (see the manifest's README)."""
    stem = Path(name).stem
    return stem.rsplit("_", 1)[0]


def is_held_out(source: str, share: float = 0.08) -> bool:
    """Whether a source is for validation: by a hash of its name, so that adding footage never moves one over."""
    value = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")
    return value / 2**32 < share


def load_scenes(
    folder: Path, short_side: int = 256, every: int = 1, most: int | None = None,
    on_skip: Callable[[str], None] | None = None,
) -> Iterator[Scene]:  # fmt: skip
    """Decode every video in a folder, scaled so that its short side is `short_side` pixels (Lanczos).

    Args:
        folder: where the videos are (*.mp4, *.mkv, *.mov, *.webm), or frames decoded before (*.frames.npy).
        short_side: pixels.
        every: keep one frame in so many.
        most: frames kept per file at the most.
        on_skip: told of each file that cannot be read; None to raise.

    Raises:
        InputError: the folder is none, or holds no video that can be read.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: --data names a folder of .mp4, .mkv, .mov or .webm files")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES or p.name.endswith(PACKED))
    if not files:
        raise InputError(f"no video in {folder}: name a folder of .mp4, .mkv, .mov or .webm files")
    found = False
    for path in files:
        try:
            scene = _scene(path, short_side, every, most)
        except InputError as error:
            if on_skip is None:
                raise
            on_skip(f"passed over: {error}")
            continue
        if len(scene.frames):
            found = True
            yield scene
    if not found:
        raise InputError(f"no video in {folder} can be read")


def _scene(path: Path, short_side: int, every: int, most: int | None) -> Scene:
    if path.name.endswith(PACKED):
        try:
            packed = np.load(path, allow_pickle=False)[::every][:most]
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {path}: {error}") from None
        return Scene(source_of(path.name.removesuffix(PACKED)), packed)
    frames = read_scaled(path, short_side, every=every, most=most)
    return Scene(source_of(path.name), np.stack(frames) if len(frames) else np.zeros((0, 0, 0, 3), np.uint8))


def split_scenes(scenes: Sequence[Cut]) -> tuple[list[Cut], list[Cut]]:
    """Scenes, or clips of coded footage, to train on and to hold out, by source; those of one source serve as both."""
    train = [s for s in scenes if not is_held_out(s.source)]
    held = [s for s in scenes if is_held_out(s.source)]
    return train or held, held or train


def held_out_clips(scenes: Sequence[Scene], frames: int, side: int, patch: int, count: int) -> list[Tensor]:
    """The middles of scenes to judge by: their first frames, (T, 3, H, W) uint8.

    Args:
        scenes: those of fewer than 8 frames are left out.
        frames: T at the most.
        side: H and W at the most, in pixels.
        patch: H and W are multiples of it.
        count: clips at the most.

    Raises:
        InputError: no scene is long enough, or one is smaller than a patch.
    """
    clips: list[Tensor] = []
    for scene in scenes:
        if len(scene.frames) < 8 or len(clips) == count:
            continue
        height, width = scene.frames.shape[1:3]
        h, w = (min(pixels, side) // patch * patch for pixels in (height, width))
        if not h or not w:
            raise InputError(f"footage of {width}×{height} is too small to judge by: {patch}×{patch} at the least")
        y, x = (height - h) // 2, (width - w) // 2
        middle = np.ascontiguousarray(scene.frames[:frames, y : y + h, x : x + w])
        clips.append(torch.from_numpy(middle).permute(0, 3, 1, 2))
    if not clips:
        raise InputError("no scene has 8 frames to judge by: give longer footage, or a larger --frames")
    return clips


class Clips:
    """Random clips from scenes: crops, flips, time reversal, strides in time, 2×2 reduction, brightness."""

    def __init__(self, scenes: Sequence[Scene], device: torch.device) -> None:
        self.scenes = [torch.from_numpy(scene.frames).to(device) for scene in scenes]
        self.sizes = np.array([len(scene) for scene in self.scenes], dtype=np.float64)

    def batch(self, rng: np.random.Generator, count: int, frames: int, crop: int) -> Tensor:
        """(count, frames, 3, crop, crop) float32 in [0, 1]; the same for the same state of `rng` on any device."""
        return torch.stack([self._one(rng, frames, crop) for _ in range(count)])

    def _one(self, rng: np.random.Generator, frames: int, crop: int) -> Tensor:
        # Long scenes have more to show; a scene of a thousand frames is still not thirty times one of thirty.
        scene = self.scenes[rng.choice(len(self.scenes), p=np.sqrt(self.sizes) / np.sqrt(self.sizes).sum())]
        total, height, width = scene.shape[:3]
        stride = int(rng.choice((1, 1, 1, 2, 3)))
        stride = max(1, min(stride, (total - 1) // max(frames - 1, 1)))
        span = min((frames - 1) * stride + 1, total)
        begin = int(rng.integers(total - span + 1))
        times = (np.arange(frames) * stride).clip(max=span - 1) + begin  # a short scene stands still at its end
        shrink = 2 if rng.random() < 0.15 and min(height, width) >= 2 * crop else 1
        side = crop * shrink
        if min(height, width) < side:
            raise InputError(f"footage of {width}×{height} is too small for crops of {crop} pixels")
        y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        if rng.random() < 0.5:
            times = times[::-1]
        pick = torch.from_numpy(times.copy()).to(scene.device)
        clip = scene[:, y : y + side, x : x + side].index_select(0, pick).permute(0, 3, 1, 2).float() / 255
        if shrink == 2:
            clip = torch.nn.functional.avg_pool2d(clip, 2)
        if rng.random() < 0.5:
            clip = clip.flip(-1)
        if rng.random() < 0.2:
            clip = (clip * float(rng.uniform(0.6, 1.3))).clamp(0, 1)
        return clip
