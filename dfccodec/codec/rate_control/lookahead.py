"""How many clips stand in memory together, and how a video is read a second time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dfccodec.container.records import Header
from dfccodec.errors import InputError
from dfccodec.media.picture import Picture

LOOKAHEAD_CLIPS = 8
"""Clips that stand in memory together: what an encoder that reads a pipe can see ahead."""
WINDOW_BYTES = 512 << 20
"""Bytes of their pictures at the most; one clip always stands."""

Batch = list[Picture]


def window_clips(header: Header) -> int:
    """Clips of a window for pictures of this size."""
    return max(1, min(LOOKAHEAD_CLIPS, WINDOW_BYTES // (header.width * header.height * 3 * header.clip_frames)))


def second_pass(reopen: Callable[[], Iterable[Batch]], sizes: Iterable[int]) -> Iterator[Batch]:
    """Clips a second time, as many and as long as they were the first time.

    Raises:
        InputError: they are not.
    """
    second = iter(reopen())
    for size in sizes:
        batch = next(second, [])
        if len(batch) != size:
            raise InputError("the video is shorter when it is read again: leave the file alone while it is encoded")
        yield batch
