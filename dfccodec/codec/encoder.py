"""The streaming encoder: pictures in, a `.dfc` file out, one clip at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from dfccodec.codec.clip_coder import ClipCoder
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.settings import Settings
from dfccodec.container.records import Colour, Header, Ratio
from dfccodec.container.writer import Writer
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_PIXELS, MAX_CLIP_VALUES
from dfccodec.media.picture import Picture, SourceInfo
from dfccodec.version import __version__

CLIP_FRAMES = 32
TILE_OVERLAP = 32
_KEPT_TAGS = (
    "title",
    "artist",
    "comment",
    "date",
    "copyright",
    "description",
    "creation_time",
    "genre",
    "language",
)

Progress = Callable[[int], None]
"""Called with the number of frames done so far."""


@dataclass(frozen=True)
class Report:
    """What an encode did: counts of frames, kept frames and clips, and bytes written."""

    frames: int = 0
    kept: int = 0
    clips: int = 0
    size: int = 0


def encode_pictures(
    pictures: Iterable[Picture],
    info: SourceInfo,
    out: BinaryIO,
    loaded: Loaded,
    settings: Settings = Settings(),
    progress: Progress | None = None,
) -> Report:
    """Encode a video.

    Args:
        pictures: frames in order of display.
        info: what the source says of itself.
        out: a binary stream; written front to back, never sought.
        loaded: the model.
        settings: budget, QP, fill policy, seed.
        progress: told the number of frames done.

    Raises:
        UsageError: the video has no frame.
    """
    header = make_header(info, loaded)
    coder = ClipCoder(header, loaded, settings)
    writer: Writer | None = None
    report = Report()
    for batch in _batches(pictures, header.clip_frames):
        clip, values = coder.code(batch, report.frames)
        if writer is None:
            writer = Writer(out, header, loaded.identity, coder.steps, _tool(info, settings), _tags(info))
        writer.clip(clip, values)
        kept = report.kept + int(clip.kept.sum())
        report = Report(report.frames + len(batch), kept, report.clips + 1, writer.offset)
        if progress:
            progress(report.frames)
    if writer is None:
        raise UsageError("the video has no frame: nothing to encode")
    writer.finish()
    return dataclasses.replace(report, size=writer.offset)


def make_header(info: SourceInfo, loaded: Loaded, clip_frames: int = CLIP_FRAMES) -> Header:
    """Geometry and time of the file for a source and a model, with clips of `clip_frames` where both allow it."""
    model = loaded.model
    header = Header(
        info.width, info.height, _ratio(info.rate), _ratio(info.time_base), model.patch, model.channels,
        min(clip_frames, model.max_frames), model.tile, TILE_OVERLAP if model.tile else 0,
        _ratio(info.pixel_aspect), info.rotation, Colour(*info.colour),
    )  # fmt: skip
    if model.tile and model.tile < 2 * TILE_OVERLAP:
        header = dataclasses.replace(header, overlap=model.tile // 4 // model.patch * model.patch)
    # Very large pictures take shorter clips, so that a clip stays inside the format's limits.
    fits = min(MAX_CLIP_VALUES // header.frame_values, MAX_CLIP_PIXELS // (header.width * header.height))
    return dataclasses.replace(header, clip_frames=max(1, min(header.clip_frames, fits)))


def _ratio(value: Fraction) -> Ratio:
    return Ratio(value.numerator, value.denominator)


def _tool(info: SourceInfo, settings: Settings) -> list[tuple[str, str]]:
    size = [("source_bytes", str(info.size))] if info.size else []
    return [("encoder", f"dfc {__version__}"), ("settings", settings.describe()), *size]


def _tags(info: SourceInfo) -> list[tuple[str, str]]:
    return [(key, value) for key, value in info.tags if key.lower() in _KEPT_TAGS]


def _batches(pictures: Iterable[Picture], count: int) -> Iterator[list[Picture]]:
    batch: list[Picture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch
