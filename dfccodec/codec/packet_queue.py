"""Audio and subtitle packets between the file and the output."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from dfccodec.container.reader import Packets
from dfccodec.container.records import StreamInfo
from dfccodec.limits import MAX_STREAMS
from dfccodec.media.packet_trim import NO_TIMESTAMP, SUBTITLE_KIND, trim_and_shift, trim_packet
from dfccodec.media.picture import PacketSink

MAX_CARRIED_PACKETS = 256
"""Maximum number of packets carried across a skipped clip because they are still playing. All of them are examined
again at every skipped clip, so a larger number is treated as a denial-of-service attempt."""


class PacketQueue:
    """Packets on their way to the output. If a range is decoded, they wait until its first frame is known.

    Args:
        tick: seconds per tick of the video's time base.
        holds: whether packets wait for :meth:`flush`; otherwise they go to the output at once.

    Attributes:
        sink: the output; None discards packets.
        streams: declared streams by number.
    """

    def __init__(self, tick: Fraction, holds: bool) -> None:
        self._tick, self._holds = tick, holds
        self._held: list[Packets] = []
        self.sink: PacketSink | None = None
        self.streams: dict[int, StreamInfo] = {}

    def declare(self, info: StreamInfo) -> bool:
        """Declare a stream. False if its number is taken or there are too many streams."""
        if info.id in self.streams or len(self.streams) == MAX_STREAMS:
            return False
        self.streams[info.id] = info
        if self.sink:
            self.sink.declare(info)
        return True

    def add(self, item: Packets) -> None:
        """Pass packets on, or hold them."""
        if self._holds:
            self._held.append(item)
        elif self.sink:
            self.sink.packets(item.stream, item.packets)

    def replace(self, held: list[Packets]) -> None:
        """Replace the held packets."""
        self._held = held

    def subtitle_streams(self) -> set[int]:
        """Numbers of the subtitle streams."""
        return {number for number, info in self.streams.items() if info.kind == SUBTITLE_KIND}

    def skip_clip(self, last_pts: int) -> None:
        """Discard held packets that end before the timestamp `last_pts` of the last frame of a skipped clip."""
        held = self.playing_at(self._held, last_pts)
        self._held = held if sum(len(item.packets) for item in held) <= MAX_CARRIED_PACKETS else []

    def playing_at(self, items: Iterable[Packets], pts: int) -> list[Packets]:
        """The packets among `items` that play at or after a timestamp."""
        begin, out = pts * self._tick, []
        for item in items:
            if info := self.streams.get(item.stream):
                timed = (p for p in item.packets if max(p.pts, p.dts) != NO_TIMESTAMP)
                rest = tuple(p for p in timed if trim_packet(p, info, begin, None) is not None)
                out += [Packets(item.stream, rest)] if rest else []
        return out

    def flush(self, first_pts: int, end_pts: int | None) -> None:
        """Send the held packets, trimmed to the timestamps from `first_pts` to `end_pts` and counted from
        `first_pts`."""
        held, self._held = self._held, []
        begin, end = first_pts * self._tick, None if end_pts is None else end_pts * self._tick
        for item in held:
            info = self.streams.get(item.stream)
            if info is not None and self.sink:
                pieces = (trim_and_shift(packet, info, begin, end) for packet in item.packets)
                self.sink.packets(item.stream, [piece for piece in pieces if piece is not None])
