"""Footage for training: decoded once to uint8 frames of one height and kept in memory (or a cache file)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfccodec.errors import InputError
from dfccodec.media.frames import read_scaled


@dataclass(frozen=True)
class Scene:
    """One file of footage: `frames` is (T, H, W, 3) uint8; `source` names the video it was cut from."""

    source: str
    frames: np.ndarray


def source_of(name: str) -> str:
    """The source of a clip's file: what stands before the last underscore (see the manifest's README)."""
    stem = Path(name).stem
    return stem.rsplit("_", 1)[0]


def is_held_out(source: str, share: float = 0.08) -> bool:
    """Whether a source is for validation: by a hash of its name, so that adding footage never moves one over."""
    value = int.from_bytes(hashlib.sha256(source.encode()).digest()[:4], "big")
    return value / 2**32 < share


def load_scenes(folder: Path, short_side: int = 256, every: int = 1, most: int | None = None) -> Iterator[Scene]:
    """Decode every video in a folder, scaled so that its short side is `short_side` pixels (Lanczos).

    Args:
        folder: where the videos are (*.mp4, *.mkv, *.mov, *.webm).
        short_side: pixels.
        every: keep one frame in so many.
        most: frames kept per file at the most.

    Raises:
        InputError: the folder holds no video.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".mp4", ".mkv", ".mov", ".webm"})
    if not files:
        raise InputError(f"no video in {folder}: name a folder of .mp4, .mkv, .mov or .webm files")
    for path in files:
        frames = read_scaled(path, short_side, every=every, most=most)
        if len(frames):
            yield Scene(source_of(path.name), np.stack(frames))
