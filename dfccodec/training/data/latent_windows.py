"""Windows of kept frames for training a generator: random runs of kept frames that begin with a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.errors import InputError
from dfccodec.training.data.latent_videos import LatentVideo

RATES = {4: 0.2, 8: 0.6, 16: 0.2}
"""Kept frames of 32, and the share of windows with that budget."""

CLIP_FRAMES = 32


@dataclass(frozen=True)
class LatentWindow:
    """Consecutive kept frames of one video; the first one begins a clip.

    Args:
        latents: (K, C, h, w) float16.
        starts, ends: (K,) bool, first and last kept frame of a clip.
        gaps: (K,) frames since the kept frame before, or since the start of the clip.
        trailing: (K,) dropped frames after it; 0 unless it is the last one of a clip.
    """

    latents: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    gaps: np.ndarray
    trailing: np.ndarray


@dataclass(frozen=True)
class _Selection:
    """The kept frames of a video at one rate: `index` into its frames, and the fields of `LatentWindow`."""

    index: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    gaps: np.ndarray
    trailing: np.ndarray


def select_kept(video: LatentVideo, rate: int) -> _Selection:
    """Return the most important kept frames of every clip, `rate` of 32 frames."""
    chosen, starts, ends, gaps, trailing = [], [], [], [], []
    for clip, length in enumerate(video.lengths.tolist()):
        own = np.flatnonzero(video.clip == clip)
        count = min(len(own), max(1, round(rate * length / CLIP_FRAMES)))
        if not count:
            continue
        best = np.sort(own[np.argsort(-video.importance[own].astype(int), kind="stable")[:count]])
        at = video.position[best]
        chosen.append(best)
        gaps.append(np.diff(at, prepend=0))
        first, last = np.zeros((2, count), bool)
        first[0] = last[-1] = True
        starts.append(first)
        ends.append(last)
        trailing.append(last * (length - 1 - at[-1]))
    return _Selection(*(np.concatenate(part) for part in (chosen, starts, ends, gaps, trailing)))


class WindowSampler:
    """Draws windows from videos; the state of the generator alone determines them.

    Args:
        videos: at least one.

    Raises:
        InputError: there is no video.
    """

    def __init__(self, videos: Sequence[LatentVideo]) -> None:
        if not videos:
            raise InputError("there is no video to draw latents from: give more .dfc files")
        self.videos = videos
        self._cache: dict[tuple[int, int, int, int], list[tuple[int, int]]] = {}
        self._selections = {rate: [select_kept(video, rate) for video in videos] for rate in RATES}

    def draw(self, rng: np.random.Generator, count: int, rows: int, columns: int) -> LatentWindow:
        """Draw a window of `count` kept frames and rows × columns tokens.

        Raises:
            InputError: no video has as many frames or tokens.
        """
        fits = {rate: share for rate, share in RATES.items() if self._places(rate, count, rows, columns)}
        if not fits:
            raise _no_window(count, rows, columns)
        shares = np.array(list(fits.values()))
        rate = int(rng.choice(list(fits), p=shares / shares.sum()))
        places = self._places(rate, count, rows, columns)
        number, first = places[rng.integers(len(places))]
        height, width = self.videos[number].latents.shape[2:]
        y, x = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        return self._cut(rate, number, first, count, slice(y, y + rows), slice(x, x + columns))

    def spaced(self, total: int, rate: int, count: int, rows: int, columns: int) -> list[LatentWindow]:
        """Return up to `total` windows at uniform spacing over all videos, from the centre of the picture.

        Raises:
            InputError: no video has as many frames or tokens.
        """
        places = self._places(rate, count, rows, columns)
        if not places:
            raise _no_window(count, rows, columns)
        out = []
        for place in np.unique(np.linspace(0, len(places) - 1, total).round().astype(int)):
            number, first = places[place]
            height, width = self.videos[number].latents.shape[2:]
            y, x = (height - rows) // 2, (width - columns) // 2
            out.append(self._cut(rate, number, first, count, slice(y, y + rows), slice(x, x + columns)))
        return out

    def _places(self, rate: int, count: int, rows: int, columns: int) -> list[tuple[int, int]]:
        """Every video and start of a clip that fits a window. Cached, because every step needs it."""
        key = (rate, count, rows, columns)
        if key not in self._cache:
            self._cache[key] = [
                (number, int(first))
                for number, (video, chosen) in enumerate(zip(self.videos, self._selections[rate], strict=True))
                if video.latents.shape[2] >= rows and video.latents.shape[3] >= columns
                for first in np.flatnonzero(chosen.starts)
                if first + count <= len(chosen.index)
            ]
        return self._cache[key]

    def _cut(self, rate: int, number: int, first: int, count: int, rows: slice, columns: slice) -> LatentWindow:
        chosen = self._selections[rate][number]
        part = slice(first, first + count)
        latents = self.videos[number].latents[chosen.index[part], :, rows, columns]
        return LatentWindow(latents, chosen.starts[part], chosen.ends[part], chosen.gaps[part], chosen.trailing[part])


def _no_window(count: int, rows: int, columns: int) -> InputError:
    return InputError(
        f"no video has {count} kept frames of {rows}×{columns} tokens: give longer or larger videos, or a smaller crop"
    )


def smallest_side(videos: Sequence[LatentVideo]) -> int:
    """Return the shortest side of all videos in tokens."""
    return int(min(min(video.latents.shape[2:]) for video in videos))
