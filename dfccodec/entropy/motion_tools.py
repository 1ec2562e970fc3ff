"""Tools of the motion compensation of a clip: the filter of samples between pixels, and direct motion.

In the predicted coding they are named in the latents (SPEC.md 7.10.1), in fill policy `direct` in the fill payload
(SPEC.md 7.8.4). Other clips have linear interpolation and no direct motion.
"""

from __future__ import annotations

import dataclasses

from dfccodec.container.records import Clip, Coding, Fill, Header, MotionFilter
from dfccodec.entropy.inter.motion_compensation import CHANNELS, PATCH
from dfccodec.entropy.mixing.tables import Content
from dfccodec.errors import DamagedError, UnsupportedError

FILTER, FILTER_SHIFT, DIRECT, MIXED = 6, 1, 8, 16
"""Bits of a field `tools`: two of the filter, direct motion, context mixing."""

MOVED = 257
"""Number of `motion` for clips of policy `direct`. It is in no file, where a number is one byte."""

_WITH_TOOLS = (Fill.DIRECT, MOVED)

QUARTER_MAX_QP = 26
"""Maximum QP of a clip at which an encoder uses quarter pixels: their vectors cost more than they save above."""


def encoder_filter(qp: int) -> MotionFilter:
    """The filter that an encoder uses at a QP. This is a non-normative encoder decision."""
    return MotionFilter.QUARTER if qp <= QUARTER_MAX_QP else MotionFilter.EIGHT_TAP


def motion_filter(clip: Clip) -> MotionFilter:
    """Filter of the motion compensation of a clip. Its latents or its fill payload were checked."""
    return MotionFilter((_tools(clip) & FILTER) >> FILTER_SHIFT)


def has_direct_motion(clip: Clip) -> bool:
    """Whether blocks of mode 0 of a clip have direct motion. Its latents or its fill payload were checked."""
    return clip.fill != MOVED and bool(_tools(clip) & DIRECT)


def dropped_content(clip: Clip) -> Content | None:
    """The tables with which the motion of the dropped frames of a clip is coded; None for that of SPEC.md 7.8.1."""
    return Content.DROPPED_MOTION if _tools(clip) & MIXED else None


def _tools(clip: Clip) -> int:
    if clip.coding == Coding.PREDICTED:
        return clip.latents[0] if clip.latents else 0
    return clip.fill_payload[0] if clip.fill in _WITH_TOOLS and clip.fill_payload else 0


def decisions(clip: Clip) -> bytes:
    """The coded decisions of the dropped frames in the fill payload of a clip of a policy with motion."""
    return clip.fill_payload[1:] if clip.fill in _WITH_TOOLS else clip.fill_payload


def with_decisions(clip: Clip, coded: bytes) -> Clip:
    """The clip with other decisions of its dropped frames, and the same tools."""
    head = clip.fill_payload[:1] if clip.fill == Fill.DIRECT else b""
    return dataclasses.replace(clip, fill_payload=head + coded)


def direct_payload(motion_filter: MotionFilter, direct: bool) -> bytes:
    """The fill payload of a clip of policy `direct` without decisions: all blocks have mode 0."""
    return bytes([motion_filter << FILTER_SHIFT | (DIRECT if direct else 0) | MIXED])


def check_direct_payload(clip: Clip, header: Header) -> None:
    """Check the tools in the fill payload of a clip of policy `direct`.

    Raises:
        UnsupportedError: it uses tools of a later version.
        DamagedError: there is no byte for them, or the clip cannot have direct motion.
    """
    if clip.fill_payload[:1] and clip.fill_payload[0] & ~(FILTER | DIRECT | MIXED):
        raise UnsupportedError(
            f"fill payload: tools {clip.fill_payload[0]} of policy 6 are not known to this reader: get a newer dfc"
        )
    if bool(clip.fill_payload) != bool(clip.kept.any()):
        raise DamagedError(f"fill payload: {len(clip.fill_payload)} bytes with {clip.kept.sum()} kept frames")
    if has_direct_motion(clip) and (clip.coding != Coding.INTER or header.tile):
        raise DamagedError(
            f"fill payload: direct motion needs coding 2 and no tiles, the clip has {clip.coding} and {header.tile}"
        )
    if has_direct_motion(clip) and (header.patch, header.channels) != (PATCH, CHANNELS):
        raise DamagedError(
            f"fill payload: direct motion needs patches of {PATCH} pixels and {CHANNELS} channels, the header declares "
            f"{header.patch} and {header.channels}"
        )
