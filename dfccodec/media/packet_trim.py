"""Cutting packets to a range of time. Imports no PyAV."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from dfccodec.container.records import Packet, StreamInfo

NO_TIME = -(1 << 63)
"""A packet's timestamp where there is none (SPEC.md 5.7)."""
SUBTITLES = 1
"""Kind of a stream (SPEC.md 5.6)."""


def trim_and_shift(packet: Packet, info: StreamInfo, begin: Fraction, end: Fraction | None) -> Packet | None:
    """A packet with time counted from `begin` (seconds); None for one that plays wholly outside [begin, end).

    Otherwise as :func:`trim_packet`.
    """
    piece = trim_packet(packet, info, begin, end)
    return None if piece is None else earlier(piece, info, begin)


def earlier(packet: Packet, info: StreamInfo, seconds: Fraction) -> Packet:
    """A packet whose time counts from `seconds` on."""
    shift = _ticks(seconds, info)
    pts, dts = (t if t == NO_TIME else t - shift for t in (packet.pts, packet.dts))
    return dataclasses.replace(packet, pts=pts, dts=dts)


def trim_packet(packet: Packet, info: StreamInfo, begin: Fraction, end: Fraction | None) -> Packet | None:
    """A packet, its time as it is; None for one that plays wholly outside [begin, end), in seconds.

    Its bytes stay as they are. Sound that straddles `begin` keeps its time before it, which is how containers say
    what to leave out; a subtitle on display at `begin` begins there. With `begin` 0 nothing is cut from the front.
    """
    base = Fraction(info.time_base.num, info.time_base.den)
    stamp = packet.dts if packet.pts == NO_TIME else packet.pts
    first = _ticks(begin, info)
    late = 0
    if stamp != NO_TIME:
        # A decoder of sound starts up on the packet before, so one more stays. What a file itself has before zero is
        # such a start as well.
        length = max(packet.duration, 1) * (1 if info.kind == SUBTITLES else 2)
        if (begin and stamp + length <= first) or (end is not None and stamp * base >= end):
            return None
        late = max(first - stamp, 0) if info.kind == SUBTITLES else 0
    pts, dts = (t if t == NO_TIME else t + late for t in (packet.pts, packet.dts))
    return dataclasses.replace(packet, pts=pts, dts=dts, duration=max(packet.duration - late, 0))


def _ticks(seconds: Fraction, info: StreamInfo) -> int:
    return round(seconds * info.time_base.den / info.time_base.num)
