"""Training videos: decoded once to uint8 and kept in memory on the training device, where they are cropped."""

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

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".webm"})
FRAMES_SUFFIX = ".frames.npy"
"""Suffix of decoded videos (see `training.data.shards`): (T, H, W, 3) uint8."""


@dataclass(frozen=True)
class Scene:
    """A decoded video file: `frames` is (T, H, W, 3) uint8; `source` is the name of the video it was cut from."""

    source: str
    frames: np.ndarray


class _HasSource(Protocol):
    @property
    def source(self) -> str: ...


Sample = TypeVar("Sample", bound=_HasSource)
"""A training sample with the name of its source video."""


def source_name(name: str) -> str:
    """Return the name of a file's source video: the stem up to the last underscore (see the manifest's README)."""
    stem = Path(name).stem
    return stem.rsplit("_", 1)[0]


def is_held_out(source: str, share: float = 0.08) -> bool:
    """Return whether a source is for validation. A hash of its name decides, so new videos do not change the split."""
    value = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")
    return value / 2**32 < share


def load_scenes(
    folder: Path, short_side: int = 256, stride: int = 1, max_frames: int | None = None,
    on_skip: Callable[[str], None] | None = None,
) -> Iterator[Scene]:  # fmt: skip
    """Load every video of a folder, scaled with Lanczos to a short side of `short_side` pixels.

    Args:
        folder: folder of videos (*.mp4, *.mkv, *.mov, *.webm) or of decoded videos (*.frames.npy).
        short_side: length of the short side in pixels.
        stride: read every N-th frame.
        max_frames: maximum number of frames per file; None reads all.
        on_skip: called with a message for each file that cannot be read; None raises the error.

    Raises:
        InputError: the folder does not exist, or has no readable video.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: give --data a folder of .mp4, .mkv, .mov or .webm files")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES or p.name.endswith(FRAMES_SUFFIX))
    if not files:
        raise InputError(f"no video in {folder}: name a folder of .mp4, .mkv, .mov or .webm files")
    found = False
    for path in files:
        try:
            scene = _load_scene(path, short_side, stride, max_frames)
        except InputError as error:
            if on_skip is None:
                raise
            on_skip(f"skipped: {error}")
            continue
        if len(scene.frames):
            found = True
            yield scene
    if not found:
        raise InputError(f"no video in {folder} can be read: give --data another folder")


def _load_scene(path: Path, short_side: int, stride: int, max_frames: int | None) -> Scene:
    if path.name.endswith(FRAMES_SUFFIX):
        try:
            packed = np.load(path, allow_pickle=False)[::stride][:max_frames]
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot read {path}: {error}") from None
        return Scene(source_name(path.name.removesuffix(FRAMES_SUFFIX)), packed)
    frames = read_scaled(path, short_side, stride=stride, max_frames=max_frames)
    return Scene(source_name(path.name), np.stack(frames) if len(frames) else np.zeros((0, 0, 0, 3), np.uint8))


def split_scenes(scenes: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Split samples by source into training and validation set. If one would be empty, both contain all samples."""
    train = [s for s in scenes if not is_held_out(s.source)]
    held = [s for s in scenes if is_held_out(s.source)]
    return train or held, held or train


def held_out_clips(scenes: Sequence[Scene], frames: int, side: int, patch: int, count: int) -> list[Tensor]:
    """Return validation clips, (T, 3, H, W) uint8: the centre crop of the first frames of scenes.

    Args:
        scenes: scenes with fewer than 8 frames are skipped.
        frames: maximum T.
        side: maximum H and W in pixels.
        patch: H and W are multiples of this number of pixels.
        count: maximum number of clips.

    Raises:
        InputError: no scene has 8 frames, or a scene is smaller than a patch.
    """
    clips: list[Tensor] = []
    for scene in scenes:
        if len(scene.frames) < 8 or len(clips) == count:
            continue
        height, width = scene.frames.shape[1:3]
        h, w = (min(pixels, side) // patch * patch for pixels in (height, width))
        if not h or not w:
            raise InputError(f"video of {width}×{height} is too small: give sides of at least {patch} pixels")
        y, x = (height - h) // 2, (width - w) // 2
        middle = np.ascontiguousarray(scene.frames[:frames, y : y + h, x : x + w])
        clips.append(torch.from_numpy(middle).permute(0, 3, 1, 2))
    if not clips:
        raise InputError("no scene has 8 frames for validation: give longer videos, or a larger --frames")
    return clips


class ClipSampler:
    """Draws random clips from scenes, with crops, flips, time reversal, frame strides, 2×2 reduction, brightness."""

    def __init__(self, scenes: Sequence[Scene], device: torch.device) -> None:
        self.scenes = [torch.from_numpy(scene.frames).to(device) for scene in scenes]
        self.sizes = np.array([len(scene) for scene in self.scenes], dtype=np.float64)

    def batch(self, rng: np.random.Generator, count: int, frames: int, crop: int) -> Tensor:
        """Draw clips (count, frames, 3, crop, crop) float32 in [0, 1]. The state of `rng` alone determines them."""
        return torch.stack([self._draw_clip(rng, frames, crop) for _ in range(count)])

    def _draw_clip(self, rng: np.random.Generator, frames: int, crop: int) -> Tensor:
        # Longer scenes have more content, but only sublinearly: weight each by the square root of its length.
        scene = self.scenes[rng.choice(len(self.scenes), p=np.sqrt(self.sizes) / np.sqrt(self.sizes).sum())]
        total, height, width = scene.shape[:3]
        stride = int(rng.choice((1, 1, 1, 2, 3)))
        stride = max(1, min(stride, (total - 1) // max(frames - 1, 1)))
        span = min((frames - 1) * stride + 1, total)
        begin = int(rng.integers(total - span + 1))
        times = (np.arange(frames) * stride).clip(max=span - 1) + begin  # a short scene repeats its last frame
        shrink = 2 if rng.random() < 0.15 and min(height, width) >= 2 * crop else 1
        side = crop * shrink
        if min(height, width) < side:
            raise InputError(f"video of {width}×{height} is too small for crops of {crop} pixels: give larger videos")
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
