"""Counts the pixels in the LZW data of a GIF image, without decoding them.

A code stands for one pixel more than an earlier code, so lengths are enough. The width of a code depends only on the
number of codes since the last clear code, so NumPy reads all codes up to the next one at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_TABLE, _MAX_WIDTH = 4096, 12
_MIN_READ = 64
_SHORT_RUN, _BYTES_PER_SHORT_RUN, _FREE_SHORT_RUNS = 256, 512, 8
"""Runs of fewer codes take too long if there are more of them: one in so many bytes, and some more."""
_MORE, _DATA_END = -1, -2
_Integers = NDArray[np.int32]


@dataclass(frozen=True)
class PixelCount:
    """Pixels in the data of an image.

    Attributes:
        pixels: number of pixels, at most that of the whole picture.
        used: number of bytes up to the last pixel of the picture, or up to the code at which decoding stops.
        valid: whether decoding stops at the last pixel, an end code or the end of the data, not at an impossible code.
    """

    pixels: int
    used: int
    valid: bool


class _Layout(NamedTuple):
    """Ends in bits, widths and largest possible values of consecutive codes."""

    ends: _Integers
    widths: _Integers
    limits: _Integers


class _Run(NamedTuple):
    """Consecutive codes without a clear code, and their ends in bits.

    `stop` is the code after them, `_MORE` or `_DATA_END`; `after` is the first bit after that code.
    """

    codes: _Integers
    ends: _Integers
    stop: int
    after: int


def count_pixels(data: bytes, code_size: int, expected: int) -> PixelCount | None:
    """Count the pixels that a decoder finds; return None if counting takes too long.

    Args:
        data: content of the sub-blocks.
        code_size: minimum LZW code size, 2 to 11.
        expected: number of pixels of the whole picture, at which a decoder stops.
    """
    pixels = bit = 0
    stop, short_runs = _DATA_END, _FREE_SHORT_RUNS + len(data) // _BYTES_PER_SHORT_RUN
    for run, lengths in _measure_runs(data, code_size):
        total, stop = pixels + int(lengths.sum()), run.stop
        if total >= expected:
            last = int(np.searchsorted(np.cumsum(lengths), expected - pixels))
            return PixelCount(expected, (int(run.ends[last]) + 7) // 8, True)
        pixels, bit = total, int(run.ends[-1]) if len(run.ends) else bit
        short_runs -= len(lengths) < _SHORT_RUN
        if short_runs < 0:
            return None
    return PixelCount(pixels, (bit + 7) // 8, stop in (_DATA_END, (1 << code_size) + 1))


def _measure_runs(data: bytes, code_size: int) -> Iterator[tuple[_Run, _Integers]]:
    """Yield the codes and the number of pixels of each one."""
    padded, clear = np.frombuffer(data + bytes(3), np.uint8), 1 << code_size
    after, size, stop = 0, _TABLE, clear
    while stop == clear:
        start = after
        run = _read_run(padded, start, code_size, size)
        if run.stop == _MORE and size < _TABLE:
            run = _read_run(padded, start, code_size, _TABLE)
        lengths, size = _measure_codes(run.codes - clear - 2), max(_MIN_READ, min(_TABLE, 2 * len(run.codes)))
        yield run, lengths
        known = np.ones(_TABLE, np.int32)
        known[clear + 2 :] += lengths[: _TABLE - clear - 2] if run.stop == _MORE else 0
        while run.stop == _MORE:  # the table is full
            run = _read_run(padded, run.after, code_size, _TABLE, is_full=True)
            yield run, known[run.codes]
        stop, after = run.stop, run.after


def _read_run(padded: NDArray[np.uint8], bit: int, code_size: int, size: int, is_full: bool = False) -> _Run:
    """Read up to `size` codes.

    Args:
        padded: the data and three zeros.
        bit: position of the first code.
        code_size: minimum LZW code size.
        size: maximum number of codes.
        is_full: whether the table is full and codes have the maximum width.
    """
    layout = _full_layout() if is_full else _growing_layout(code_size)
    left = 8 * (len(padded) - 3) - bit
    count = min(size, int(np.searchsorted(layout.ends, left, side="right")))
    ends, widths = layout.ends[:count], layout.widths[:count]
    window = padded[bit >> 3 : (bit + _MAX_WIDTH * count >> 3) + 3].astype(np.int32)
    words = window[:-2] | window[1:-1] << 8 | window[2:] << 16
    begins = ends - widths + (bit & 7)
    codes = words[begins >> 3] >> (begins & 7) & (1 << widths) - 1
    stops = (codes > layout.limits[:count]) | (codes >> 1 == 1 << code_size - 1)  # clear and end code differ in a bit
    first = int(stops.argmax()) if count else 0
    if count and stops[first]:
        return _Run(codes[:first], ends[:first] + bit, int(codes[first]), bit + int(ends[first]))
    after = bit + int(ends[-1]) if count else bit
    return _Run(codes, ends + bit, _MORE if count == size else _DATA_END, after)


def _measure_codes(entries: _Integers) -> _Integers:
    """Return the number of pixels of each code. Entry `n` of the table is code `n` of the run and one pixel."""
    count = len(entries)
    # Code n is a pixel and, from entry number entries[n] on, the codes that it refers to. Each step doubles the chain.
    parents = np.append(np.where(entries < 0, count, entries), count)
    lengths = np.append(np.ones(count, np.int32), np.int32(0))
    while (parents < count).any():
        lengths += lengths[parents]
        parents = parents[parents]
    return lengths[:count]


@cache
def _growing_layout(code_size: int) -> _Layout:
    """Return the layout after a clear code. Every code but the first one adds an entry to the table."""
    first_free = (1 << code_size) + 2
    slots = np.minimum(first_free + np.maximum(np.arange(_TABLE) - 1, 0), _TABLE)
    widths = np.array([min(_MAX_WIDTH, int(slot).bit_length()) for slot in slots])
    limits = np.minimum(slots, _TABLE - 1)
    limits[0] = (1 << code_size) - 1
    return _make_layout(widths, limits)


@cache
def _full_layout() -> _Layout:
    return _make_layout(np.full(_TABLE, _MAX_WIDTH), np.full(_TABLE, _TABLE - 1))


def _make_layout(widths: NDArray[np.int64], limits: NDArray[np.int64]) -> _Layout:
    return _Layout(np.cumsum(widths).astype(np.int32), widths.astype(np.int32), limits.astype(np.int32))
