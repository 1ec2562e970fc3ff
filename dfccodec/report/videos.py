"""A source or a coded video to compare: upright frames with times in seconds, from any video or a `.dfc` file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.scan import scan
from dfccodec.container.streams import is_dfc
from dfccodec.media.input.source import VideoSource
from dfccodec.media.picture import Picture


@dataclass(frozen=True)
class TimedFrame:
    """A frame of a video.

    Attributes:
        rgb: (H, W, 3) uint8, upright.
        seconds: presentation time.
        kept: whether it is a kept frame of a `.dfc` file; None for other videos.
        number: of the frame in its video, from 0.
    """

    rgb: npt.NDArray[np.uint8]
    seconds: Fraction
    kept: bool | None
    number: int = 0


class ComparedVideo:
    """A video whose frames are read once, in display order.

    Args:
        path: a video or a `.dfc` file.
        model: model or address of the model of a `.dfc` file; None for the one that it names.
        label: name in tables; by default that of the file.
        caption: name in pictures; by default the label.

    Attributes:
        path: of the file.
        name: the label.
        caption: name in pictures.
        bytes: size of the file, sound included.
        rate: frames per second, 0 if unknown.
        frames: number of frames if stated, otherwise 0.
        notes: what happened while reading.

    Raises:
        InputError: the file cannot be read.
        DamagedError, ModelError: as for `dfc.decode`.
    """

    def __init__(
        self, path: Path, model: str | LoadedModel | None = None, label: str = "", caption: str = ""
    ) -> None:  # fmt: skip
        self.path, self._model = path, model
        self.name, self.bytes = label or path.name, path.stat().st_size if path.is_file() else 0
        self.caption = caption or self.name
        self.notes: list[str] = []
        self._closer = contextlib.ExitStack()
        self._kept: set[int] | None = None
        self._pictures: Iterator[Picture]
        if is_dfc(path):
            self._open_dfc(path, model)
        else:
            video = self._closer.enter_context(VideoSource(path, audio=False, subtitles=False))
            self.notes, self.rate, self.frames = video.notes, video.info.rate, video.info.frames
            self._base, self._turns, self._pictures = video.info.time_base, video.info.rotation, iter(video)

    def __enter__(self) -> ComparedVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closer.close()

    def __iter__(self) -> Iterator[TimedFrame]:
        for number, picture in enumerate(self._pictures):
            rgb = np.ascontiguousarray(np.rot90(picture.rgb, -self._turns))
            kept = None if self._kept is None else number in self._kept
            yield TimedFrame(rgb, picture.pts * self._base, kept, number)

    def from_time(self, seconds: Fraction, count: int) -> list[TimedFrame]:
        """The first `count` frames at or after a time, read from the beginning by a reader of their own."""
        with ComparedVideo(self.path, self._model) as again:
            return list(islice((frame for frame in again if frame.seconds >= seconds), count))

    def _open_dfc(self, path: Path, model: str | LoadedModel | None) -> None:
        with path.open("rb") as stream:
            clips = scan(stream).clips
        self._kept = {c.clip.first_frame + int(n) for c in clips for n in np.flatnonzero(c.clip.kept)}
        decoder: Decoder = self._closer.enter_context(api.decode(path, model=model))
        header = decoder.preamble.header
        self.rate, self.frames = Fraction(header.rate.num, header.rate.den or 1), sum(c.clip.frames for c in clips)
        self._base, self._turns = Fraction(header.time_base.num, header.time_base.den), header.rotation
        self._pictures = decoder
