"""Lookahead: how many clips are held in memory, and the second pass over a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dfccodec.container.records import Header
from dfccodec.errors import InputError
from dfccodec.media.picture import Picture

LOOKAHEAD_CLIPS = 8
"""Maximum lookahead of an encode from a pipe, in clips."""
LOOKAHEAD_BYTES = 512 << 20
"""Maximum bytes of the frames in the lookahead; it always holds at least one clip."""

Batch = list[Picture]


def window_clips(header: Header) -> int:
    """Number of clips in a window for pictures of this size."""
    return max(1, min(LOOKAHEAD_CLIPS, LOOKAHEAD_BYTES // (header.width * header.height * 3 * header.clip_frames)))


def second_pass(reopen: Callable[[], Iterable[Batch]], sizes: Iterable[int]) -> Iterator[Batch]:
    """Read the clips again and check that they are as many and as long as the first time.

    Raises:
        InputError: the source is shorter now.
    """
    second = iter(reopen())
    for size in sizes:
        batch = next(second, [])
        if len(batch) != size:
            raise InputError("the video is shorter when it is read again: do not change the file while it is encoded")
        yield batch
