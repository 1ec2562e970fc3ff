"""Trimming of packets to a time range. Imports no PyAV."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from dfccodec.container.records import Packet, StreamInfo

NO_TIMESTAMP = -(1 << 63)
"""Value of a missing timestamp (SPEC.md 5.7)."""
SUBTITLE_KIND = 1
"""Kind of subtitle streams (SPEC.md 5.6)."""


def trim_and_shift(packet: Packet, info: StreamInfo, begin: Fraction, end: Fraction | None) -> Packet | None:
    """Trim a packet as :func:`trim_packet` does, then count its timestamps from `begin`.

    Returns:
        the packet, or None if it plays entirely outside [begin, end) seconds.
    """
    piece = trim_packet(packet, info, begin, end)
    return None if piece is None else shift_earlier(piece, info, begin)


def shift_earlier(packet: Packet, info: StreamInfo, seconds: Fraction) -> Packet:
    """Subtract `seconds` from the timestamps of a packet."""
    shift = _to_ticks(seconds, info)
    pts, dts = (t if t == NO_TIMESTAMP else t - shift for t in (packet.pts, packet.dts))
    return dataclasses.replace(packet, pts=pts, dts=dts)


def trim_packet(packet: Packet, info: StreamInfo, begin: Fraction, end: Fraction | None) -> Packet | None:
    """Keep a packet if it plays inside [begin, end) seconds; return None otherwise. Its data does not change.

    An audio packet that starts before `begin` keeps its timestamp: containers use such timestamps to mark samples to
    skip. A subtitle that is on display at `begin` is changed to start there. If `begin` is 0, no packet is discarded at
    the front.
    """
    base = Fraction(info.time_base.num, info.time_base.den)
    stamp = packet.dts if packet.pts == NO_TIMESTAMP else packet.pts
    first = _to_ticks(begin, info)
    late = 0
    if stamp != NO_TIMESTAMP:
        # An audio decoder needs the previous packet to start up, so one more is kept. Packets before 0 in the source
        # serve the same purpose.
        length = max(packet.duration, 1) * (1 if info.kind == SUBTITLE_KIND else 2)
        if (begin and stamp + length <= first) or (end is not None and stamp * base >= end):
            return None
        late = max(first - stamp, 0) if info.kind == SUBTITLE_KIND else 0
    pts, dts = (t if t == NO_TIMESTAMP else t + late for t in (packet.pts, packet.dts))
    return dataclasses.replace(packet, pts=pts, dts=dts, duration=max(packet.duration - late, 0))


def _to_ticks(seconds: Fraction, info: StreamInfo) -> int:
    return round(seconds * info.time_base.den / info.time_base.num)
