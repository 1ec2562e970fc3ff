"""Opens what `encode` reads: files, streams and arrays, as frames with timestamps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

from dfccodec.errors import UsageError
from dfccodec.limits import MAX_SIDE
from dfccodec.media.cfr import FrameRate
from dfccodec.media.picture import PacketSource, Picture, SourceInfo
from dfccodec.media.scale import Size
from dfccodec.media.time_range import Span

_FASTEST = 1_000_000
"""Maximum frame rate in frames per second."""
_NEAR = Fraction(1, 10_000)
"""Maximum relative error of a frame rate given as a float; 29.97 means 30000/1001."""


@dataclass(frozen=True)
class FrameShape:
    """Changes to the frames of a file before they are coded, in this order: frame rate, size, crop; None is none."""

    size: Size | None = None
    crop: Size | None = None
    fps: FrameRate | None = None


class ArrayLike(Protocol):
    """What converts itself to an array, as tensors and pictures of PIL do."""

    def __array__(self) -> np.ndarray:
        """Return the numbers as an array."""
        ...


Source = str | Path | bytes | bytearray | memoryview | BinaryIO | Iterable[np.ndarray] | Iterable[ArrayLike]
"""A path, bytes or a binary stream of any container PyAV reads, or (H, W, 3) uint8 arrays or tensors."""


def is_repeatable(source: Source) -> bool:
    """Whether a source can be read a second time from its beginning."""
    if isinstance(source, str | Path) or hasattr(source, "read"):
        from dfccodec.media.input.open_input import is_single_pass

        return not is_single_pass(Path(source) if isinstance(source, str) else cast("Path | BinaryIO", source))
    return not isinstance(source, Iterator)


def open_tracks(pictures: object, stack: contextlib.ExitStack) -> PacketSource | None:
    """Audio and subtitle packets of a source, closed with the stack; None for arrays."""
    tracks: Callable[[], PacketSource] | None = getattr(pictures, "tracks", None)  # of a `VideoSource`
    return None if tracks is None else stack.enter_context(contextlib.closing(tracks()))


def reopen_frames(
    source: Source,
    rate: Fraction = Fraction(25),
    span: Span = Span(),
    shape: FrameShape = FrameShape(),
    video: int | None = None,
) -> Iterator[Picture]:
    """Read the frames of a source again."""
    with contextlib.ExitStack() as stack:
        if hasattr(source, "read"):
            cast(BinaryIO, source).seek(0)
        yield from open_frames(source, rate, stack, span, (False, False), shape, video)[0]


def open_frames(
    source: Source,
    rate: Fraction,
    stack: contextlib.ExitStack,
    span: Span,
    carry: tuple[bool, bool],
    shape: FrameShape,
    video: int | None,
    tags: bool = True,
) -> tuple[Iterable[Picture], SourceInfo]:
    """Open a source; a file is closed with the stack.

    Args:
        source: file, stream or arrays.
        rate: frames per second of arrays.
        stack: closes the source.
        span, shape, video: range, conversion and video stream of a file.
        carry: whether audio and subtitles are carried.
        tags: whether the tags of a file are.

    Raises:
        InputError: the source cannot be read.
        UsageError: it is of another type, or empty; or arrays have other options, shapes or types.
    """
    if isinstance(source, (str, Path)) or hasattr(source, "read"):
        from dfccodec.media.input.source import VideoSource

        place = Path(source) if isinstance(source, (str, Path)) else cast(BinaryIO, source)
        opened = VideoSource(place, *carry, span, shape.size, video, shape.crop, shape.fps, tags)
        stack.enter_context(opened)
        return opened, opened.info
    if not isinstance(source, Iterable):
        raise UsageError(f"source of type {type(source).__name__}: give a path, a binary stream or (H, W, 3) arrays")
    if shape != FrameShape() or video is not None or not span.unlimited:
        raise UsageError("span, size, crop, fps and video are for files: cut and scale arrays beforehand")
    arrays = map(_as_array, cast(Iterable[object], source))
    if not isinstance(source, list | tuple | np.ndarray):
        arrays = map(_copy_frame, arrays)
    first = next(arrays, None)
    if first is None:
        raise UsageError("the video has no frame: nothing to encode")
    height, width = _check_frame(first).shape[:2]
    if max(height, width) > MAX_SIDE:
        raise UsageError(f"frames of {width}×{height}: a side has at most {MAX_SIDE} pixels; scale them down")
    return _pictures(first, arrays), SourceInfo(width, height, rate, 1 / rate)


def _pictures(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[Picture]:
    yield Picture(first, 0, 1)
    for number, frame in enumerate(rest, 1):
        yield Picture(_check_frame(frame, first.shape), number, 1)


def _as_array(frame: Any) -> np.ndarray:
    """Convert a frame that is a tensor, on any device, or a picture of PIL; others are returned as they are."""
    if hasattr(frame, "detach"):
        frame = frame.detach().cpu()
    if not hasattr(frame, "__array__") and not hasattr(frame, "__array_interface__"):
        return cast(np.ndarray, frame)
    try:
        return np.asarray(frame)
    except TypeError as error:  # NumPy has no bfloat16
        raise UsageError(f"frame of type {type(frame).__name__}: {error}; give (H, W, 3) uint8") from None


def _copy_frame(frame: np.ndarray) -> np.ndarray:
    """Copy a frame: an iterator may reuse its array, as `cv2.VideoCapture.read` does."""
    return frame.copy() if isinstance(frame, np.ndarray) else frame


def _check_frame(frame: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
    if not isinstance(frame, np.ndarray):
        raise UsageError(f"frame of type {type(frame).__name__}: give arrays or tensors, (H, W, 3) uint8")
    good = frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 and frame.size
    if not good or frame.shape != (shape or frame.shape):
        raise UsageError(f"frame of shape {frame.shape} and type {frame.dtype}: give (H, W, 3) uint8, all of one size")
    return frame


def parse_frame_rate(rate: Fraction | float) -> Fraction:
    """Convert frames per second to a fraction that the format can store.

    Raises:
        UsageError: it is not a positive number in range.
    """
    try:
        exact = Fraction(rate)
    except (TypeError, ValueError, ArithmeticError):  # not a number, NaN, infinite
        exact = Fraction(0)
    if not 0 < exact <= _FASTEST or 1 / exact >= 2**31:
        raise UsageError(
            f"rate {rate} is out of range: give frames per second, one in 68 years to a million, as 25 or "
            "Fraction(30000, 1001)"
        )
    if not isinstance(rate, float) and max(exact.numerator, exact.denominator) < 2**31:
        return exact
    near = exact.limit_denominator(1001)  # 29.97002997 is 30000/1001
    if abs(near / exact - 1) < _NEAR:
        return near
    return exact.limit_denominator(1_000_000) if exact > _NEAR else 1 / Fraction(round(1 / exact))
