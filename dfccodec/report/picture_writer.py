"""Writes pictures as a video, or one of them as a picture, by the suffix of the path."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.output.encoders import IMAGE_ENCODERS
from dfccodec.media.output.format import container_for_path
from dfccodec.media.output.sink import VideoSink
from dfccodec.runtime.atomic_output import replacing_path


def container_of(path: Path) -> str:
    """Return ffmpeg's name of the container for a video, or `image2` for one picture.

    Raises:
        UsageError: the suffix is unknown, or the name is one of numbered pictures.
    """
    found = container_for_path(path)
    if found == "image2" and "%" in path.name:
        raise UsageError(f"{path} names numbered pictures, but there is only one: name it without %")
    return found


def is_picture(path: Path) -> bool:
    """Return whether the suffix is that of a picture; raises as :func:`container_of`."""
    return container_of(path) == "image2"


class PictureWriter:
    """A video file of pictures. Use it as a context: the file appears when the context is left without an error.

    Args:
        path: target.
        size: (width, height) of the pictures, both even.
        rate: frames per second of a video; 0 for 25.

    Raises:
        UsageError: as :func:`container_of`.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        kind = container_of(path)
        rate = rate or Fraction(25)
        self._replacing, self._frames = replacing_path(path), 0
        place = self._replacing.__enter__()
        try:
            # The temporary name has another suffix, which would choose the codec of a picture.
            codec = IMAGE_ENCODERS[path.suffix.lower()] if kind == "image2" else None
            self._sink = VideoSink(place, _header(size, rate), kind, codec, name=str(path))
            self._sink.__enter__()
        except BaseException as error:
            if not self._replacing.__exit__(type(error), error, error.__traceback__):
                raise

    def __enter__(self) -> PictureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._sink.__exit__(kind, error, at)
        except BaseException as failed:
            if not self._replacing.__exit__(type(failed), failed, failed.__traceback__):
                raise
        else:
            self._replacing.__exit__(kind, error, at)

    def write(self, picture: npt.NDArray[np.uint8]) -> None:
        """Write the next picture, (H, W, 3) uint8."""
        self._sink.write(picture, self._frames, 1)
        self._frames += 1


def _header(size: tuple[int, int], rate: Fraction) -> Header:
    ticks = Ratio(rate.numerator, rate.denominator), Ratio(rate.denominator, rate.numerator)
    return Header(*size, *ticks, clip_frames=32)
