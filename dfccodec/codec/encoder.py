"""Streaming encoder: writes frames to a `.dfc` file, one clip at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, cast

import numpy as np

from dfccodec.codec import look_strength, resume
from dfccodec.codec.choose.target import Outcome
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.clip.parallel import code_clips
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.rate_control.controller import RateController
from dfccodec.codec.rate_control.temporal_rate import TemporalRateSelector
from dfccodec.codec.settings import Settings
from dfccodec.container.records import Clip, Colour, Header, Ratio
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_PAIRS, MAX_TEXT
from dfccodec.media.picture import SOURCE_SIZE, PacketSource, Picture, SourceInfo
from dfccodec.runtime.atomic_output import NamedStream
from dfccodec.runtime.prefetch import prefetch
from dfccodec.runtime.renamed import OldName
from dfccodec.runtime.resources import malloc_trim
from dfccodec.version import __version__

CLIP_FRAMES = 32
TILE_OVERLAP = 32
CLIP_PIXELS = 1 << 27
"""Maximum pixels of a clip. An encode needs about 60 bytes per pixel (`benchmarks/speed/memory.py`), so at most 8
GB."""
_SPOOL = 64 << 20
"""Bytes of a strict encode that are held in memory, not on disk, until the target is met."""
_LOST_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id")
"""Tags that describe the source's container, not the content."""

Progress = Callable[[int], None]
"""Called with the number of frames done so far."""


@dataclass(frozen=True)
class EncodeReport:
    """Result of an encode.

    Args:
        frames, kept, clips: numbers of frames, kept frames and clips.
        size: bytes of the file.
        outcome: outcome of a target, if one was given.
        rd_cost_saved: share of the RD cost of the kept frames that latent refinement saved, 0…1.
        notes: messages for users about parts of the source that are not in the file: streams, bit depth, undecodable
            frames, a missing end.
    """

    frames: int = 0
    kept: int = 0
    clips: int = 0
    size: int = 0
    outcome: Outcome | None = None
    rd_cost_saved: float = 0.0
    notes: tuple[str, ...] = ()

    refined = OldName[float]("rd_cost_saved")


def encode_pictures(
    pictures: Iterable[Picture],
    info: SourceInfo,
    out: BinaryIO,
    loaded: LoadedModel,
    settings: Settings = Settings(),
    progress: Progress | None = None,
    reopen: Callable[[], Iterable[Picture]] | None = None,
    tracks: PacketSource | None = None,
) -> EncodeReport:
    """Encode a video.

    Args:
        pictures: frames in order of display.
        info: metadata of the source.
        out: a binary stream; written front to back without seeking. A `PartialOutput` may already hold clips.
        loaded: the model.
        settings: budget, QP, fill policy, seed, target.
        progress: called with the number of frames done.
        reopen: reads the same frames again; None if that is impossible. Targets and budget `auto` need it for two
            passes.
        tracks: audio and subtitles, written before the clip in which they begin to play.

    Raises:
        UsageError: the video has no frame, or the target is impossible in a pipe.
        DfcError: a strict target was missed.
    """
    header = make_header(info, loaded)
    coder = ClipCoder(header, loaded, settings)
    # A thread reads the source ahead, so that the network never waits for a frame.
    with contextlib.closing(prefetch(_batches(pictures, header.clip_frames, tracks))) as batches:
        report = _encode(batches, info, out, coder, progress, reopen, tracks)
    return dataclasses.replace(report, notes=(*getattr(pictures, "notes", ()), *_lost_tags(info)))


def _encode(
    batches: Iterable[list[Picture]],
    info: SourceInfo,
    out: BinaryIO,
    coder: ClipCoder,
    progress: Progress | None,
    reopen: Callable[[], Iterable[Picture]] | None,
    tracks: PacketSource | None,
) -> EncodeReport:
    header, settings = coder.header, coder.settings
    second = None if reopen is None else (lambda: _batches(reopen(), header.clip_frames))
    if settings.target is None and settings.budget.kind == "auto":
        auto = TemporalRateSelector(coder, settings.budget, progress or (lambda done: None))
        clips = auto.clips(batches, second)
        return _write_clips(_with_integers(clips, header), info, out, coder, tracks, None)
    if settings.target is None:
        return _write_clips(_clips(iter(batches), coder, out), info, out, coder, tracks, progress)
    overhead = _overhead(info, coder, tracks)
    controller = RateController(
        coder, settings.target, settings.fixed_budget, overhead, progress or (lambda done: None)
    )
    clips = controller.clips(batches, second)
    with tempfile.SpooledTemporaryFile(_SPOOL) if settings.target.strict else contextlib.nullcontext(out) as stream:
        place = f"{tempfile.gettempdir()} (TMPDIR names another folder for temporary files)"
        spool = cast(BinaryIO, NamedStream(cast(BinaryIO, stream), place)) if settings.target.strict else out
        report = _write_clips(_with_integers(clips, header), info, spool, coder, tracks, None)
        outcome = controller.outcome()
        if settings.target.strict:
            outcome.require()
            stream.seek(0)
            shutil.copyfileobj(cast(BinaryIO, stream), out)
    return dataclasses.replace(report, outcome=outcome)


def _clips(batches: Iterator[list[Picture]], coder: ClipCoder, out: BinaryIO) -> Iterator[tuple[Clip, np.ndarray]]:
    """Encode every clip by the settings; clips that `out` holds from an interrupted run are reused."""
    first = 0
    coder.set_base_steps(resume.read_base_steps(out))
    for clip, values in resume.finished_clips(out, batches):
        yield clip, values
        first += clip.frames
    yield from code_clips(coder, resume.record_digests(out, batches), first)


def _with_integers(clips: Iterable[Clip], header: Header) -> Iterator[tuple[Clip, np.ndarray]]:
    for clip in clips:
        yield clip, decode_latents(clip, header)


def _write_clips(
    clips: Iterable[tuple[Clip, np.ndarray]],
    info: SourceInfo,
    out: BinaryIO,
    coder: ClipCoder,
    tracks: PacketSource | None,
    progress: Progress | None,
) -> EncodeReport:
    """Write clips as they arrive. The file begins with the first clip, when the base steps are known."""
    writer: Writer | None = None
    report = EncodeReport()
    for clip, values in clips:
        malloc_trim()
        writer = writer or _writer(out, info, coder, coder.steps, tracks)
        for stream, packets in tracks.packets_until(_end(clip, info)) if tracks else ():
            writer.write_packets(stream, packets)
        writer.write_clip(clip, values)
        kept = report.kept + int(clip.kept.sum())
        report = EncodeReport(report.frames + clip.frames, kept, report.clips + 1, writer.offset)
        if progress:
            progress(report.frames)
    if writer is None:
        raise UsageError("the video has no frame: nothing to encode")
    for stream, packets in tracks.remaining_packets() if tracks else ():
        writer.write_packets(stream, packets)
    writer.finish()
    return dataclasses.replace(report, size=writer.offset, rd_cost_saved=coder.rd_cost_saved)


def _end(clip: Clip, info: SourceInfo) -> Fraction:
    """End of a clip in seconds."""
    return (clip.timestamps[-1] + clip.durations[-1]) * info.time_base


def _writer(
    out: BinaryIO, info: SourceInfo, coder: ClipCoder, steps: np.ndarray, tracks: PacketSource | None
) -> Writer:
    """Begin a file: write everything before the first packet or clip."""
    writer = Writer(out, coder.header, coder.loaded.identity, steps, _tool(info, coder.settings), _tags(info))
    for stream in tracks.streams if tracks else ():
        writer.write_stream(stream)
    return writer


def _overhead(info: SourceInfo, coder: ClipCoder, tracks: PacketSource | None) -> int:
    """Bytes of the file outside its clips and their index entries; packets count as far as they are known
    beforehand."""
    steps = coder.loaded.model.steps
    if steps is None:  # measured on the first clip; placeholders of the same size
        steps = np.arange(1, coder.header.channels + 1, dtype=np.float32)
    writer = _writer(io.BytesIO(), info, coder, steps, tracks)
    writer.finish()
    return writer.offset + (tracks.total_bytes() if tracks else 0)


def make_header(info: SourceInfo, loaded: LoadedModel, clip_frames: int = CLIP_FRAMES) -> Header:
    """Header of a file for a source and a model, with clips of `clip_frames` frames if both allow it."""
    model = loaded.model
    header = Header(
        info.width, info.height, _ratio(info.rate), _ratio(info.time_base), model.patch, model.channels,
        min(clip_frames, model.max_frames), model.tile, TILE_OVERLAP if model.tile else 0,
        _ratio(info.pixel_aspect), info.rotation, Colour(*info.colour),
    )  # fmt: skip
    if model.tile and model.tile < 2 * TILE_OVERLAP:
        header = dataclasses.replace(header, overlap=model.tile // 4 // model.patch * model.patch)
    # Very large pictures get shorter clips, so that a clip fits into memory and the limits of the format.
    fits = min(MAX_CLIP_VALUES // header.frame_values, CLIP_PIXELS // (header.width * header.height))
    return dataclasses.replace(header, clip_frames=max(1, min(header.clip_frames, fits)))


def _ratio(value: Fraction) -> Ratio:
    return Ratio(value.numerator, value.denominator)


def _tool(info: SourceInfo, settings: Settings) -> list[tuple[str, str]]:
    size = [("source_bytes", str(info.size))] if info.size else []
    if all(info.source_size):
        size.append((SOURCE_SIZE, f"{info.source_size[0]}x{info.source_size[1]}"))
    look = [(look_strength.KEY, look_strength.look_name(settings.look))] if settings.look else []
    return [("encoder", f"dfc {__version__}"), ("settings", settings.describe()), *size, *look]


def _tags(info: SourceInfo) -> list[tuple[str, str]]:
    """The tags that go into the file."""
    return [pair for pair in _content_tags(info) if len(pair[1].encode()) <= MAX_TEXT][:MAX_PAIRS]


def _content_tags(info: SourceInfo) -> list[tuple[str, str]]:
    """Tags that describe the content, not the source's container."""
    return [(key, value) for key, value in info.tags if key.lower() not in _LOST_TAGS]


def _lost_tags(info: SourceInfo) -> list[str]:
    """A note about discarded tags, if there are any."""
    lost = len(_content_tags(info)) - len(_tags(info))
    limits = f"at most {MAX_PAIRS} of {MAX_TEXT} bytes each are carried"
    return [f"{lost} of the source's tags {'are' if lost > 1 else 'is'} left out: {limits}"] if lost else []


def _batches(pictures: Iterable[Picture], count: int, tracks: PacketSource | None = None) -> Iterator[list[Picture]]:
    """Group frames into clips; the tracks are notified where a clip ends."""
    batch: list[Picture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == count:
            if tracks:
                tracks.mark_clip()
            yield batch
            batch = []
    if batch:
        if tracks:
            tracks.mark_clip()
        yield batch
