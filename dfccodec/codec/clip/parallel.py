"""Clips coded at the same time: each by one thread, several clips of a video in parallel.

Clips do not depend on one another, and most stages of a clip do not fill two cores. What several clips at once gain is
measured by `benchmarks/speed/parallel_clips.py`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Clip, Header
from dfccodec.media.picture import Picture
from dfccodec.runtime.ordered_map import ordered_map
from dfccodec.runtime.resources import available_memory, single_threaded_blas

MAX_CLIPS = 4
"""Maximum number of clips coded at the same time. The parts in Python take turns, so more gain little."""

BYTES_PER_PIXEL = 60
"""Memory that the encode of a clip needs for each of its pixels (`benchmarks/speed/memory.py`)."""

MEMORY_SHARE = 4
"""Clips coded at the same time take at most the available memory divided by this."""

Numbered = tuple[list[Picture], int]
"""Frames of a clip, and the number of the first one."""


def code_clips(
    coder: ClipCoder, batches: Iterable[list[Picture]], first_frame: int
) -> Iterator[tuple[Clip, np.ndarray]]:
    """Encode clips by the settings of the coder, and yield their records and integers in order.

    Args:
        coder: encodes clips.
        batches: their frames.
        first_frame: number of the first frame in the video.
    """
    with single_threaded_blas():
        yield from _code_clips(coder, _numbered(batches, first_frame))


def _code_clips(coder: ClipCoder, work: Iterator[Numbered]) -> Iterator[tuple[Clip, np.ndarray]]:
    if not coder.has_steps:  # they come from the first clip
        yield from (coder.code(*item) for item in itertools.islice(work, 1))
    first = next(work, None)
    if first is None:
        return
    try:
        second = next(work, None)
    except Exception:  # nothing that was read is lost
        yield coder.code(*first)
        raise
    head = [item for item in (first, second) if item]
    del first, second  # frames stay in memory no longer than needed
    count = parallel_clips(coder.header, coder.loaded) if len(head) == 2 else 1
    if count == 1:
        yield from (coder.code(*item) for item in _chained(head, work))
        return
    with _restored_torch_threads() as threads:

        def start() -> None:
            torch.set_num_threads(max(1, threads // count))

        yield from ordered_map(lambda item: coder.code(*item), _chained(head, work), count, start, coder.cancel)


def parallel_clips(header: Header, loaded: LoadedModel) -> int:
    """Number of clips to encode at the same time, by the threads of torch and the memory."""
    if loaded.device.type != "cpu":
        return 1
    need = BYTES_PER_PIXEL * header.clip_frames * header.width * header.height
    fits = (available_memory() or 0) // MEMORY_SHARE // need
    return max(1, min(torch.get_num_threads(), MAX_CLIPS, fits))


@contextlib.contextmanager
def _restored_torch_threads() -> Iterator[int]:
    """Context that restores the number of threads of torch; gives that number."""
    threads = torch.get_num_threads()
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _numbered(batches: Iterable[list[Picture]], first_frame: int) -> Iterator[Numbered]:
    """Number the clips; holds no frames."""
    for batch in batches:
        count = len(batch)
        yield batch, first_frame
        del batch
        first_frame += count


def _chained(head: list[Numbered], rest: Iterator[Numbered]) -> Iterator[Numbered]:
    """The items of a list, which is emptied, and the rest."""
    while head:
        yield head.pop(0)
    yield from rest
