"""Comparison of coded videos with their source: figures of every frame, and rows of pictures for other writers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dfccodec.media.scale import scale_rgb
from dfccodec.report.match import Matcher, Matches, peek, tolerance
from dfccodec.report.measure import FrameQuality, Meter, Tools
from dfccodec.report.videos import ComparedVideo, TimedFrame
from dfccodec.runtime.resources import available_cpus

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Comparison:
    """Result for one coded video.

    Attributes:
        name: its label.
        caption: its name in pictures.
        bytes: size of the file, sound included.
        width, height: size of its pictures.
        matches: what was matched.
        frames: quality of each matched frame.
        vmaf: VMAF of each matched frame; empty if not measured.
        bits_per_pixel: bits of the whole file per pixel of the matched and extra frames.
        quality: means, see `Meter.summary`.
    """

    name: str
    caption: str
    bytes: int
    width: int
    height: int
    matches: Matches
    frames: list[FrameQuality]
    vmaf: list[float]
    bits_per_pixel: float
    quality: dict[str, Any]


Row = Sequence[TimedFrame | None]
"""The frames at one time: of the source, then of each coded video in the size of the source; None if there is none."""


class RowSink(Protocol):
    """Receives the frames of all videos; see `Drawing` and `PagePictures`."""

    def add(self, row: Row) -> None:
        """Add the frames at the next time of the source."""
        ...


class _Coded:
    """A coded video while it is compared."""

    def __init__(self, video: ComparedVideo, size: tuple[int, int], tools: Tools) -> None:
        self.video, self.meter, self.size = video, Meter(tools, size), (0, 0)
        self._wanted = size
        self.matcher: Matcher | None = None

    def fit(self, rgb: Pixels) -> Pixels:
        """Scale a picture to the size of the source."""
        self.size = rgb.shape[1], rgb.shape[0]
        return rgb if self.size == self._wanted else scale_rgb(rgb, self._wanted)

    def result(self, threads: int) -> Comparison:
        """Measure what is left."""
        assert self.matcher is not None
        found = self.matcher.finish()
        self.meter.finish(threads)
        pixels = self.size[0] * self.size[1] * (found.matched + found.extra)
        bpp = 8 * self.video.bytes / pixels if pixels else 0.0
        return Comparison(
            self.video.name, self.video.caption, self.video.bytes, *self.size, found, self.meter.frames,
            self.meter.vmaf, bpp, self.meter.summary(),
        )  # fmt: skip


def compare(
    source: ComparedVideo, coded: Sequence[ComparedVideo], *, metrics: tuple[str, ...] = (),
    sinks: Sequence[RowSink] = (), notes: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Comparison]:  # fmt: skip
    """Compare coded videos with their source, frame by frame at equal times.

    Coded pictures of another size are scaled to that of the source.

    Args:
        source: the source.
        coded: coded videos, at least one.
        metrics: names of `measure.METRICS`; empty for all that are at hand.
        sinks: receive the frames of all videos at each time of the source.
        notes: receives lines for the user.
        progress: receives the number of source frames that are done.

    Raises:
        UsageError: a metric is unknown.
        InputError, DamagedError, ModelError: a video cannot be read.
    """
    first, frames = peek(iter(source))
    size = (first[0].rgb.shape[1], first[0].rgb.shape[0]) if first else (0, 0)
    tools = Tools.choose(metrics, size, source.frames)
    for line in tools.missing:
        notes(f"not measured: {line}")
    limit = tolerance([source.rate, *(video.rate for video in coded)])
    with contextlib.ExitStack() as stack:
        each = [_Coded(video, size, tools) for video in coded]
        for one in each:
            stack.callback(one.meter.close)
            one.matcher = Matcher(iter(one.video), first, limit, one.fit, source.from_time)
        for number, frame in enumerate(frames):
            found = [one.matcher.find(frame.seconds) for one in each if one.matcher]
            for one, match in zip(each, found, strict=True):
                if match is not None:
                    one.meter.add(frame, match)
            for sink in sinks:
                sink.add([frame, *found])
            progress(number + 1)
        results = [one.result(available_cpus()) for one in each]
    for one, result in zip(each, results, strict=True):
        for line in [*one.video.notes, *_remarks(result)]:
            notes(f"{one.video.name}: {line}")
    return results


def _remarks(result: Comparison) -> list[str]:
    """What a reader of the figures must know."""
    found, out = result.matches, []
    if found.shift:
        out.append(f"timestamps are shifted by {_signed(found.shift)} s: frames are matched without the shift")
    if found.missing:
        what = "1 source frame has" if found.missing == 1 else f"{found.missing} source frames have"
        out.append(f"{what} no coded frame at their time: not in the figures")
    if found.extra:
        what = "1 frame has" if found.extra == 1 else f"{found.extra} frames have"
        out.append(f"{what} no source frame at their time: not in the figures")
    return out


def _signed(value: Fraction) -> str:
    return f"{float(value):+.3f}"
