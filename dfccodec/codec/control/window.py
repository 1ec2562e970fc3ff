"""How many clips stand in memory together."""

from __future__ import annotations

from dfccodec.container.records import Header
from dfccodec.media.picture import Picture

WINDOW_CLIPS = 8
"""Clips that stand in memory together: what an encoder that reads a pipe can see ahead."""
WINDOW_BYTES = 512 << 20
"""Bytes of their pictures at the most; one clip always stands."""

Batch = list[Picture]


def window_clips(header: Header) -> int:
    """Clips of a window for pictures of this size."""
    return max(1, min(WINDOW_CLIPS, WINDOW_BYTES // (header.width * header.height * 3 * header.clip_frames)))
