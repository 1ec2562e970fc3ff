"""The streaming encoder: pictures in, a `.dfc` file out, one clip at a time."""

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

from dfccodec.codec import resume
from dfccodec.codec.choose.target import Outcome
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.rate_control.controller import RateController
from dfccodec.codec.rate_control.temporal_rate import TemporalRateSelector
from dfccodec.codec.settings import Settings
from dfccodec.container.records import Clip, Colour, Header, Ratio
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_PAIRS, MAX_TEXT
from dfccodec.media.picture import SOURCE_SIZE, PacketSource, Picture, SourceInfo
from dfccodec.runtime.atomic_output import Named
from dfccodec.runtime.prefetch import prefetch
from dfccodec.runtime.resources import malloc_trim
from dfccodec.version import __version__

CLIP_FRAMES = 32
TILE_OVERLAP = 32
CLIP_PIXELS = 1 << 27
"""Pixels of a clip: an encode needs about 60 bytes for each (`benchmarks/speed/memory.py`), so 8 GB at most."""
_SPOOL = 64 << 20  # bytes of a strict encode that wait in memory, not on disk, for their target to be met
_LOST_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id")
"""Tags that describe the source's container, not the work."""

Progress = Callable[[int], None]
"""Called with the number of frames done so far."""


@dataclass(frozen=True)
class EncodeReport:
    """What an encode did: counts of frames, kept frames and clips, bytes written, and how a target was met.

    `refined` is the share of D + λR that latent refinement saved, of kept frames. `notes` are lines for people on what
    of the source is not in the file: streams, bits, frames that did not decode, an end that is missing.
    """

    frames: int = 0
    kept: int = 0
    clips: int = 0
    size: int = 0
    outcome: Outcome | None = None
    rd_cost_saved: float = 0.0
    notes: tuple[str, ...] = ()


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
        info: what the source says of itself.
        out: a binary stream; written front to back, never sought. What `resume.opened` gives may hold clips already.
        loaded: the model.
        settings: budget, QP, fill policy, seed, target.
        progress: told the number of frames done.
        reopen: gives the same frames anew, where that is possible: settings that look at a whole video need two looks.
        tracks: sound and subtitles, written before the clip they begin to play with.

    Raises:
        UsageError: the video has no frame, or a target cannot be aimed at in a pipe.
        DfcError: a strict target was missed.
    """
    header = make_header(info, loaded)
    coder = ClipCoder(header, loaded, settings)
    # The source is read in a thread of its own: the network never waits for a frame.
    with contextlib.closing(prefetch(_batches(pictures, header.clip_frames, tracks))) as batches:
        report = _encoded(batches, info, out, coder, progress, reopen, tracks)
    return dataclasses.replace(report, notes=(*getattr(pictures, "notes", ()), *_lost_tags(info)))


def _encoded(
    batches: Iterable[list[Picture]],
    info: SourceInfo,
    out: BinaryIO,
    coder: ClipCoder,
    progress: Progress | None,
    reopen: Callable[[], Iterable[Picture]] | None,
    tracks: PacketSource | None,
) -> EncodeReport:
    header, settings = coder.header, coder.settings
    anew = None if reopen is None else (lambda: _batches(reopen(), header.clip_frames))
    if settings.target is None and settings.budget.kind == "auto":
        auto = TemporalRateSelector(coder, settings.budget, progress or (lambda done: None))
        clips = auto.clips(batches, anew)
        return _written(_with_integers(clips, header), info, out, coder, tracks, None)
    if settings.target is None:
        return _written(_clips(iter(batches), coder, out), info, out, coder, tracks, progress)
    overhead = _overhead(info, coder, tracks)
    plan = RateController(coder, settings.target, settings.fixed_budget, overhead, progress or (lambda done: None))
    clips = plan.clips(batches, anew)
    with tempfile.SpooledTemporaryFile(_SPOOL) if settings.target.strict else contextlib.nullcontext(out) as stream:
        place = f"{tempfile.gettempdir()} (TMPDIR names another folder for what waits)"
        spool = cast(BinaryIO, Named(cast(BinaryIO, stream), place)) if settings.target.strict else out
        report = _written(_with_integers(clips, header), info, spool, coder, tracks, None)
        outcome = plan.outcome()
        if settings.target.strict:
            outcome.require()
            stream.seek(0)
            shutil.copyfileobj(cast(BinaryIO, stream), out)
    return dataclasses.replace(report, outcome=outcome)


def _clips(batches: Iterator[list[Picture]], coder: ClipCoder, out: BinaryIO) -> Iterator[tuple[Clip, np.ndarray]]:
    """Every clip by the settings alone; those that `out` has from an interrupted run as they are there."""
    first = 0
    coder.set_base_steps(resume.read_base_steps(out))
    for clip, values in resume.finished_clips(out, batches):
        yield clip, values
        first += clip.frames
    for batch in resume.record_digests(out, batches):
        yield coder.code(batch, first)
        first += len(batch)


def _with_integers(clips: Iterable[Clip], header: Header) -> Iterator[tuple[Clip, np.ndarray]]:
    for clip in clips:
        yield clip, decode_clip_integers(clip, header)


def _written(
    clips: Iterable[tuple[Clip, np.ndarray]],
    info: SourceInfo,
    out: BinaryIO,
    coder: ClipCoder,
    tracks: PacketSource | None,
    progress: Progress | None,
) -> EncodeReport:
    """Write clips as they come; the file begins with the first, when the steps are known."""
    writer: Writer | None = None
    report = EncodeReport()
    for clip, values in clips:
        malloc_trim()
        writer = writer or _writer(out, info, coder, coder.steps, tracks)
        for stream, packets in tracks.packets_until(_end(clip, info)) if tracks else ():
            writer.packets(stream, packets)
        writer.clip(clip, values)
        kept = report.kept + int(clip.kept.sum())
        report = EncodeReport(report.frames + clip.frames, kept, report.clips + 1, writer.offset)
        if progress:
            progress(report.frames)
    if writer is None:
        raise UsageError("the video has no frame: nothing to encode")
    for stream, packets in tracks.remaining_packets() if tracks else ():
        writer.packets(stream, packets)
    writer.finish()
    return dataclasses.replace(report, size=writer.offset, rd_cost_saved=coder.rd_cost_saved)


def _end(clip: Clip, info: SourceInfo) -> Fraction:
    """Second at which a clip ends."""
    return (clip.timestamps[-1] + clip.durations[-1]) * info.time_base


def _writer(
    out: BinaryIO, info: SourceInfo, coder: ClipCoder, steps: np.ndarray, tracks: PacketSource | None
) -> Writer:
    """A file with all that stands before its first packet or clip."""
    writer = Writer(out, coder.header, coder.loaded.identity, steps, _tool(info, coder.settings), _tags(info))
    for stream in tracks.streams if tracks else ():
        writer.stream(stream)
    return writer


def _overhead(info: SourceInfo, coder: ClipCoder, tracks: PacketSource | None) -> int:
    """Bytes of the file beside its clips and their entries in the index: of packets what can be known beforehand."""
    steps = coder.loaded.model.steps
    if steps is None:  # measured on the first clip: one for each channel, as these are
        steps = np.arange(1, coder.header.channels + 1, dtype=np.float32)
    writer = _writer(io.BytesIO(), info, coder, steps, tracks)
    writer.finish()
    return writer.offset + (tracks.total_bytes() if tracks else 0)


def make_header(info: SourceInfo, loaded: LoadedModel, clip_frames: int = CLIP_FRAMES) -> Header:
    """Geometry and time of the file for a source and a model, with clips of `clip_frames` where both allow it."""
    model = loaded.model
    header = Header(
        info.width, info.height, _ratio(info.rate), _ratio(info.time_base), model.patch, model.channels,
        min(clip_frames, model.max_frames), model.tile, TILE_OVERLAP if model.tile else 0,
        _ratio(info.pixel_aspect), info.rotation, Colour(*info.colour),
    )  # fmt: skip
    if model.tile and model.tile < 2 * TILE_OVERLAP:
        header = dataclasses.replace(header, overlap=model.tile // 4 // model.patch * model.patch)
    # Very large pictures take shorter clips, so that a clip fits into memory and the format's limits.
    fits = min(MAX_CLIP_VALUES // header.frame_values, CLIP_PIXELS // (header.width * header.height))
    return dataclasses.replace(header, clip_frames=max(1, min(header.clip_frames, fits)))


def _ratio(value: Fraction) -> Ratio:
    return Ratio(value.numerator, value.denominator)


def _tool(info: SourceInfo, settings: Settings) -> list[tuple[str, str]]:
    size = [("source_bytes", str(info.size))] if info.size else []
    if all(info.source_size):
        size.append((SOURCE_SIZE, f"{info.source_size[0]}x{info.source_size[1]}"))
    return [("encoder", f"dfc {__version__}"), ("settings", settings.describe()), *size]


def _tags(info: SourceInfo) -> list[tuple[str, str]]:
    """The tags that go into the file."""
    return [pair for pair in _work(info) if len(pair[1].encode()) <= MAX_TEXT][:MAX_PAIRS]


def _work(info: SourceInfo) -> list[tuple[str, str]]:
    """Tags that describe the work, not the source's container."""
    return [(key, value) for key, value in info.tags if key.lower() not in _LOST_TAGS]


def _lost_tags(info: SourceInfo) -> list[str]:
    """A note on tags that do not go into the file, if there are any."""
    lost = len(_work(info)) - len(_tags(info))
    limits = f"at most {MAX_PAIRS} of {MAX_TEXT} bytes each are carried"
    return [f"{lost} of the source's tags {'are' if lost > 1 else 'is'} left out: {limits}"] if lost else []


def _batches(pictures: Iterable[Picture], count: int, tracks: PacketSource | None = None) -> Iterator[list[Picture]]:
    """The frames of one clip after the other; sound is told where one ends."""
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
