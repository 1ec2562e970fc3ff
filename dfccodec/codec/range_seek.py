"""Seek to the clip in which a range of time or frames begins."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from dfccodec.codec.packet_queue import PacketQueue
from dfccodec.container.reader import Packets, StreamReader
from dfccodec.container.records import Index, IndexEntry
from dfccodec.container.seek import entry_matches_clip, index_by_scanning, iter_packets, read_index
from dfccodec.media.time_range import Span


@dataclass(frozen=True)
class SeekResult:
    """Outcome of a seek.

    Args:
        origin: timestamp of the file's first frame; None if unknown.
        clip: entry of the clip that is read next; None if reading continues where it was.
    """

    origin: int | None
    clip: IndexEntry | None = None


def seek_to_range(
    stream: BinaryIO, start: int, reader: StreamReader, span: Span, tick: Fraction, queue: PacketQueue
) -> SeekResult:
    """Move `reader` to the packets before the first clip of a range.

    The index of the file is used if it is consistent; otherwise the chunk headers are scanned. Packets of earlier clips
    that still play in the range go to the queue.

    Args:
        stream: the file; seekable.
        start: its first byte within the stream.
        reader: reads chunks from `stream`.
        span: the range.
        tick: seconds per tick.
        queue: packets of the streams declared so far.
    """
    place, header = stream.tell(), reader.preamble.header
    origin = None
    validated = read_index(stream, start)
    if validated and validated.clips:
        origin = validated.clips[0].first_pts  # even if that clip itself is damaged
    index = validated or index_by_scanning(stream, start, header)
    number = _first_clip(index, span, tick)
    if number < 2 or not entry_matches_clip(stream, start, index.clips[number], header):
        stream.seek(place)
        return SeekResult(origin)
    clip = index.clips[number]
    before_previous, previous = (entry.offset + entry.size for entry in index.clips[number - 2 : number])
    if queue.sink:
        # A subtitle may have begun long before, audio only in the clip before.
        first = reader.extent[0]
        held = _packets(stream, start, (first, before_previous), queue.subtitle_streams(), queue, clip.first_pts)
        held += _packets(stream, start, (before_previous, previous), set(queue.streams), queue, clip.first_pts)
        queue.replace(held)
    reader.seek(start + previous, previous)
    return SeekResult(index.clips[0].first_pts, clip)


def _packets(
    stream: BinaryIO, start: int, between: tuple[int, int], streams: set[int], queue: PacketQueue, pts: int
) -> list[Packets]:
    """Packets of some streams, stored between two offsets, that play at or after a timestamp."""
    found = iter_packets(stream, start, *between, streams)
    return queue.playing_at((Packets(number, tuple(packets)) for number, packets in found), pts)


def _first_clip(index: Index, span: Span, tick: Fraction) -> int:
    """Number of the clip in which a range begins."""
    start, clips = span.start, index.clips
    if start.frame is not None:
        return max((n for n, c in enumerate(clips) if c.first_frame <= start.frame), default=0)
    seconds = [(c.first_pts - clips[0].first_pts) * tick for c in clips]
    return max((n for n, second in enumerate(seconds) if second <= start.seconds), default=0)
