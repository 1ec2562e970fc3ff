"""Trim a file without a model: fewer kept frames, or a range of frames, re-encoded from the integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from dfccodec.codec import fill
from dfccodec.codec.choose.budgets import Budget, check_seed, top_k
from dfccodec.codec.fill.direct import remaining_mvs
from dfccodec.codec.predict.order import keeps_references
from dfccodec.codec.predict.order import trim as predicted_trim
from dfccodec.container.chunks import FOOT, Chunk, Damage
from dfccodec.container.reader import ClipAt, Packets, Preamble, StreamReader
from dfccodec.container.records import VERSION, Clip, Coding, Fill, Header, StreamInfo
from dfccodec.container.sequence_check import SequenceChecker
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import check_recoding, decode_latents, encode_latents
from dfccodec.entropy.motion_tools import check_direct_payload, direct_payload, has_direct_motion, motion_filter
from dfccodec.errors import DamagedError, UsageError
from dfccodec.limits import MAX_PAIRS
from dfccodec.media.packet_trim import trim_packet
from dfccodec.version import __version__

Search = Callable[[Preamble], Callable[[Clip, np.ndarray, Clip, int], Clip]]
"""Makes, for a file, what searches the motion of its clips anew, such as `MotionAgain`; see :func:`trim`."""


def trim(
    stream: BinaryIO,
    out: BinaryIO,
    budget: Budget | None = None,
    start: int = 0,
    end: int | None = None,
    seed: int = 256,
    progress: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    coding: Coding | None = None,
    search: Search | None = None,
) -> tuple[int, int]:
    """Trim a file to a smaller budget, to frames [start, end), or both; or code its latents differently.

    Kept frames are dropped, never added; their integers stay unchanged, and so does their coding unless `coding` is
    given. A dropped frame keeps its motion if both of its reference frames stay; otherwise it becomes the network
    prediction. In the predicted coding, vectors are chained instead. With `search`, motion is searched anew. Frames are
    renumbered from 0; timestamps stay.
    If a range contains no kept frame of a clip, the nearest kept frame of that clip is included, so that every clip
    can be decoded. If its kept frames are predicted from one another and some of them lie outside, the whole clip is
    included, as other codecs include everything from the last keyframe on. Audio and subtitle packets that play in
    the range stay, with their timestamps. Chapters and unknown ancillary chunks are copied.

    Args:
        stream: the file; need not be seekable.
        out: output stream; need not be seekable.
        budget: the new budget; None keeps all kept frames.
        start, end: range of frames; None is the end of the file.
        seed: random seed of Bernoulli budgets.
        progress: called with the number of frames read.
        on_note: called with a sentence about each clip that is included as a whole.
        coding: coding of latents to write, `ZSTD`, `RANGE` or `INTER`; None keeps that of each clip.
        search: gets the preamble of the file; its result gets each clip before, its integers, the clip after, which has
            fewer kept frames, and the number of its first frame in the former, and returns the latter with new motion.

    Returns:
        frames and kept frames of the new file.

    Raises:
        DamagedError: the file is damaged.
        UsageError: the range contains no frame, the seed is negative, or `coding` does not support the latents or is no
            coding of latents.
    """
    check_seed(seed)
    reader = StreamReader(stream)
    old = reader.preamble
    if coding is not None:
        check_recoding(coding, old.header)
    span = _range_text(start, end)
    # The size of the source is meaningless for a part of it.
    tool = [pair for pair in old.tool if not (span and pair[0] == "source_bytes")]
    options = _options_text(budget, coding, search is not None)
    tool = [*tool[: MAX_PAIRS - 1], ("trim", f"dfc {__version__}" + options + span)]
    moved = search(old) if search else None
    writer = Writer(out, dataclasses.replace(old.header, version=VERSION), old.model, old.steps, tool, old.tags)
    tracks = _Tracks(writer, old.header, start, end)
    frames = kept = 0
    checker = SequenceChecker()
    for item in reader:
        reasons = [item.reason] if isinstance(item, Damage) else [reason for reason, _ in checker.faults(item)]
        if reasons:
            raise DamagedError(f"{reasons[0]}; run dfc verify to see every fault", reader.extent[0])
        if isinstance(item, Chunk):
            if item.type != FOOT:
                writer.write_chunk(item.type, item.payload)
            continue
        if isinstance(item, StreamInfo):
            tracks.declare(item)
        elif isinstance(item, Packets):
            tracks.packets(item)
        if not isinstance(item, ClipAt):
            continue
        if progress:
            progress(item.clip.first_frame + item.clip.frames)
        clip, values = item.clip, decode_latents(item.clip, old.header)
        before = clip, values
        checker.accept(item)
        piece = _clip_range(clip, values, start, end)
        first = max(start - clip.first_frame, 0)
        if piece and clip.coding == Coding.PREDICTED and not keeps_references(clip, piece[0], first):
            piece, first = (clip, values), 0
            if on_note:
                on_note(_whole_clip_note(clip))
        tracks.clip(clip, piece[0] if piece else None)
        if piece is None:
            continue
        rng = np.random.default_rng([seed, clip.first_frame])
        part, values = _apply_budget(*piece, budget, old.header.clip_frames, rng)
        if coding is not None and clip.coding != coding:
            clip = _recoded(clip, _with_coding(part, coding), values, old.header, first)
        elif not np.array_equal(part.kept, clip.kept):
            clip = _recoded(clip, part, values, old.header, first)
            if moved is not None:
                clip = moved(*before, clip, first)
        else:
            clip = part
        clip = dataclasses.replace(clip, first_frame=frames)
        writer.write_clip(clip, values)
        frames += clip.frames
        kept += int(clip.kept.sum())
    if not frames:
        raise UsageError(
            f"the file has no frame in the range {start}:{'' if end is None else end}; nothing was written"
        )
    tracks.finish()
    writer.finish()
    return frames, kept


class _Tracks:
    """Passes on the packets that play in a range. Without a range all packets are passed on at once."""

    def __init__(self, writer: Writer, header: Header, start: int, end: int | None) -> None:
        self._writer, self._start, self._end = writer, start, end
        self._tick = Fraction(header.time_base.num, header.time_base.den)
        self._streams: dict[int, StreamInfo] = {}
        self._held: list[Packets] = []  # packets whose clip has not arrived
        self._begin: Fraction | None = None if start else Fraction(0)  # packets before the first frame stay
        self._until: Fraction | None = None
        self._through = start == 0 and end is None

    def declare(self, info: StreamInfo) -> None:
        self._streams[info.id] = info
        self._writer.write_stream(info)

    def packets(self, item: Packets) -> None:
        self._held.append(item)
        if self._through or self._until is not None:
            self._flush()

    def clip(self, clip: Clip, piece: Clip | None) -> None:
        """Handle the packets up to the end of a clip; `piece` is its part within the range, or None."""
        if piece is None:
            if self._until is None:  # before the range
                self._held = self._playing_from(self._after(clip))
            return
        if self._begin is None:
            self._begin = piece.first_pts * self._tick
        if self._end is not None and clip.first_frame + clip.frames >= self._end:
            self._until = self._after(piece)
        self._flush()

    def finish(self) -> None:
        self._flush()

    def _after(self, clip: Clip) -> Fraction:
        return (clip.timestamps[-1] + clip.durations[-1]) * self._tick

    def _flush(self) -> None:
        for item in self._held if self._through else self._playing_from(self._begin or Fraction(0)):
            self._writer.write_packets(item.stream, item.packets)
        self._held = []

    def _playing_from(self, begin: Fraction) -> list[Packets]:
        """The held packets that play at or after `begin`, trimmed to the range."""
        out = []
        for item in self._held:
            info = self._streams.get(item.stream)
            pieces = [trim_packet(p, info, begin, self._until) for p in item.packets] if info else []
            if found := tuple(p for p in pieces if p is not None):
                out.append(Packets(item.stream, found))
        return out


def _recoded(clip: Clip, part: Clip, values: np.ndarray, header: Header, first: int) -> Clip:
    """A part of a clip that begins at its frame `first`, with latents and fill payload of the frames that remain."""
    if part.coding == Coding.PREDICTED:
        return predicted_trim(clip, header, part, values, first)
    if clip.fill == Fill.DIRECT:
        check_direct_payload(clip, header)
    same = np.array_equal(part.kept, clip.kept)
    payload, mvs = clip.fill_payload if same else fill.policy(clip.fill).trim(clip, header, part.kept, first), None
    if has_direct_motion(clip) and part.coding == Coding.INTER:
        mvs = remaining_mvs(clip, header, part.kept, first, values)
    elif has_direct_motion(clip) and payload:
        payload = direct_payload(motion_filter(clip), direct=False) + payload[1:]
    data, planes = encode_latents(values, part.coding, mvs)
    return dataclasses.replace(part, latents=data, planes=planes, fill_payload=payload)


def _with_coding(clip: Clip, coding: Coding) -> Clip:
    """Change the coding of a clip, whose latents are then coded again.

    Raises:
        UsageError: its kept frames are predicted from pictures and have no latents.
    """
    if clip.coding == Coding.PREDICTED and clip.kept.any():
        last = clip.first_frame + clip.frames - 1
        raise UsageError(
            f"frames {clip.first_frame} to {last} are predicted from decoded pictures and have no latents: encode "
            f"the video again with --coding {coding.name.lower()}, or --preset latents"
        )
    return dataclasses.replace(clip, coding=coding)


def _options_text(budget: Budget | None, coding: Coding | None, search: bool) -> str:
    text = (f" --budget {budget}" if budget else "") + " --search" * search
    return text + (f" --coding {coding.name.lower()}" if coding is not None else "")


def _whole_clip_note(clip: Clip) -> str:
    last = clip.first_frame + clip.frames - 1
    return (
        f"frames {clip.first_frame} to {last} are one clip whose kept frames are predicted from one another: it is "
        "kept whole. Files encoded with --coding inter can be cut anywhere"
    )


def _range_text(start: int, end: int | None) -> str:
    return "" if start == 0 and end is None else f" --frames {start}:{'' if end is None else end}"


def _clip_range(clip: Clip, values: np.ndarray, start: int, end: int | None) -> tuple[Clip, np.ndarray] | None:
    """Return the part of a clip in frames [start, end) of the file, and of its integers `values` (K, …, C).

    The result is None if the clip has no frame there.
    """
    a = max(start - clip.first_frame, 0)
    b = clip.frames if end is None else min(end - clip.first_frame, clip.frames)
    if a >= b:
        return None
    if (a, b) == (0, clip.frames):
        return clip, values
    index = np.flatnonzero(clip.kept)
    kept = clip.kept[a:b].copy()
    chosen = np.flatnonzero((index >= a) & (index < b))
    if len(chosen) == 0 and len(index):
        distance = np.maximum(a - index, index - (b - 1))
        chosen = np.array([int(distance.argmin())])
        kept[int(np.clip(index[chosen[0]], a, b - 1)) - a] = True
    each = len(clip.durations) > 1
    part = dataclasses.replace(
        clip, kept=kept, importance=clip.importance[a:b], first_pts=clip.timestamps[a],
        durations=clip.durations[a:b] if each else clip.durations,
    )  # fmt: skip
    return part, values[chosen]


def _apply_budget(
    clip: Clip, values: np.ndarray, budget: Budget | None, clip_frames: int, rng: np.random.Generator
) -> tuple[Clip, np.ndarray]:
    """Drop kept frames beyond the budget, the least important first."""
    if budget is None or not clip.kept.any():
        return clip, values
    wanted = budget.choose(np.where(clip.kept, clip.importance.astype(np.int64), -1), clip_frames, rng) & clip.kept
    if not wanted.any():
        wanted = top_k(np.where(clip.kept, clip.importance.astype(np.int64), -1), 1)
    if clip.coding == Coding.PREDICTED:  # frames are predicted from more important ones
        first = clip.coding_order[: int(wanted.sum())]
        wanted = np.isin(np.arange(clip.frames), first)
    return dataclasses.replace(clip, kept=wanted), values[wanted[clip.kept]]
