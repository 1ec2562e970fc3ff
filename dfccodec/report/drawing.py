"""Writes the frames of source and coded videos as one video or one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from dfccodec.media.scale import scale_rgb
from dfccodec.report.compare import Row
from dfccodec.report.picture_writer import PictureWriter, is_picture
from dfccodec.report.pictures import Pixels, SideBySide, wipe
from dfccodec.report.videos import ComparedVideo, TimedFrame

_WIPE_FRAMES = 96
"""Frames in which the divider of a wipe moves to the right and back."""


class Drawing:
    """Writes all frames into a video, or those of the middle of the source into a picture. Use it as a context.

    The file appears when the context is left without an error.

    Args:
        path: target; its suffix says whether it is a video or a picture.
        source, coded: the videos.
        wipe: draw the source left of a moving divider and the coded video right of it, instead of side by side.
        height: height of each picture in pixels; 0 for that of the source.

    Raises:
        UsageError: the suffix is unknown.
    """

    def __init__(
        self, path: Path, source: ComparedVideo, coded: Sequence[ComparedVideo], wipe: bool = False, height: int = 0
    ) -> None:  # fmt: skip
        self._path, self._rate, self._wipe, self._lines = path, source.rate, wipe, height
        captions = [video.caption for video in coded]
        self._names = [f"{source.caption} | {name}" for name in captions] if wipe else [source.caption, *captions]
        self._is_picture, self._middle, self._number = is_picture(path), source.frames // 2, -1
        self._writer: PictureWriter | None = None
        self._sides: SideBySide | None = None
        self._rank: tuple[bool, float] = (False, -math.inf)
        self._chosen: list[TimedFrame | None] = []

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._chosen:
            self._draw(self._chosen)
        if self._writer is not None:
            self._writer.__exit__(kind, error, at)

    def add(self, row: Row) -> None:
        """Draw the frames at the next time of the source. Of a picture, they are those nearest to the middle that every
        video has."""
        self._number += 1
        if not self._is_picture:
            self._draw(row)
        elif (rank := (None not in row, -abs(self._number - self._middle))) > self._rank:
            self._rank, self._chosen = rank, list(row)

    def _draw(self, row: Row) -> None:
        scaled = [None if frame is None else self._scaled(frame.rgb) for frame in row]
        kept = [frame.kept if frame else None for frame in row]
        if self._wipe and scaled[0] is not None:
            position = 0.5 if self._is_picture else 0.5 - 0.45 * math.cos(2 * math.pi * self._number / _WIPE_FRAMES)
            first, kept = scaled[0], kept[1:]
            scaled = [None if rgb is None else wipe(first, rgb, position) for rgb in scaled[1:]]
        if self._writer is None or self._sides is None:
            self._open(row[0])
        assert self._writer is not None
        assert self._sides is not None
        self._writer.write(self._sides.draw(scaled, kept))

    def _open(self, frame: TimedFrame | None) -> None:
        assert frame is not None
        height, width = self._scaled(frame.rgb).shape[:2]
        self._sides = SideBySide(self._names, width, height)
        self._writer = PictureWriter(self._path, self._sides.size, self._rate)

    def _scaled(self, rgb: Pixels) -> Pixels:
        height, width = rgb.shape[:2]
        if not self._lines or self._lines == height:
            return rgb
        return np.asarray(scale_rgb(rgb, (max(round(width * self._lines / height), 1), self._lines)), np.uint8)
