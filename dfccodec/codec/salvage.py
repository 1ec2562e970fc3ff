"""Kept frames that are probably right, out of a clip whose chunk is damaged beyond repair (`container.mend`).

A checksum tells that a clip is damaged, not where. A correct final state of the rANS decoder (SPEC.md 7.4.1) does not
prove that the integers are right: a wrong bit among the bypass-coded bits changes an integer and leaves the state as it
was. So the frames are used only if the damage is located somewhere else:

- The latents decode to the correct final state, and the fill payload of the same clip is the damaged part: it does not
  decode, or it holds a run of identical bytes.
- The latents hold a run of identical bytes, as an unreadable disk sector leaves and no encoder writes. Frames are coded
  one after another from the last word to the first, so the frames that are complete before the decoder reaches the run
  are used.

A second fault, of bypass-coded bits, can still hide in those latents. Hence the frames are reported as probably right,
apart from intact ones and from repeated ones (`Decoder.salvaged`). The fields before the latents are used only if the
frames they name are missing. Timestamps come from the neighbouring clips.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.codec.integers import decode_clip_integers
from dfccodec.container import chunks, pack
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy import range_tables
from dfccodec.entropy.inter.coding import Motion
from dfccodec.entropy.inter.coding import first_counts as inter_counts
from dfccodec.entropy.range_coding import RangeReader, check_range_claim
from dfccodec.entropy.range_model import Ints, walk
from dfccodec.errors import DamagedError, UnsupportedError

_HOLE = re.compile(rb"(.)\1{15,}", re.DOTALL)
"""A run of at least 16 identical bytes, as an unreadable disk sector leaves."""


def survivors(data: bytes, header: Header) -> Iterator[tuple[Clip, np.ndarray]]:
    """Clips in a damaged stretch, with the integers (K', tiles, rows, columns, C) of their first K' ≥ 1 kept frames."""
    place = 0
    while data[place : place + 4] == chunks.CLIP and len(data) - place >= chunks.FRAME_BYTES:
        (length,) = struct.unpack_from("<I", data, place + 4)
        if place + length + chunks.FRAME_BYTES > len(data):
            return
        try:
            clip = pack.unpack_clip(data[place + 8 : place + 8 + length], header)
            values = _integers(clip, header) if clip.coding in (Coding.RANGE, Coding.INTER) else None
        except DamagedError:
            values = None
        if values is not None and len(values):
            yield clip, values
        place += length + chunks.FRAME_BYTES


def pictures(
    stretches: Iterable[bytes], header: Header, show: Callable[[Clip, np.ndarray], np.ndarray], first: int, until: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames from `first` to `until` that can be decoded from damaged stretches; they are probably right.

    Args:
        stretches: bytes of each, in file order.
        header: of the file.
        show: a clip and its integers -> its frames (T, H, W, 3) uint8.
        first, until: numbers of frames; clips that are not inside are not believed.

    Yields:
        number and picture (H, W, 3) of each, in order.
    """
    for data in stretches:
        for clip, values in survivors(data, header):
            if clip.first_frame < first or clip.first_frame + clip.frames > until:
                continue
            index = np.flatnonzero(clip.kept)[: len(values)]
            kept = np.zeros_like(clip.kept)
            kept[index] = True
            alone = dataclasses.replace(clip, kept=kept, fill=Fill.HOLD, fill_payload=b"")
            shown = show(alone, values)
            for frame in index.tolist():
                yield clip.first_frame + frame, shown[frame]
            first = clip.first_frame + clip.frames


def _integers(clip: Clip, header: Header) -> np.ndarray | None:
    """The integers of the kept frames that are probably right; None for none."""
    kept = int(clip.kept.sum())
    try:
        values = decode_clip_integers(clip, header)
        return values if _fill_is_damaged(clip, header) else None
    except DamagedError:
        hole = max((match.end() for match in _HOLE.finditer(clip.latents)), default=None)
    if hole is None or not kept:
        return None
    check_range_claim(clip.latents, kept, header.grid, header.channels)
    shape = *header.grid, header.channels
    reader, forecast = _reader(clip, header)
    watch = _Watch(reader, -(-hole // 4))
    try:
        walk((kept, *shape), reader, question=watch, forecast=forecast)
    except _Reached:
        if not watch.whole:
            return None
        reader, forecast = _reader(clip, header)
        return walk((watch.whole, *shape), reader, forecast=forecast)
    return None  # the words never came to the hole, and yet ended wrong: they are damaged before it as well


def _fill_is_damaged(clip: Clip, header: Header) -> bool:
    """Whether the fill policy or its payload is found to be the damaged part of the clip."""
    if _HOLE.search(clip.fill_payload):
        return True
    try:
        fill.policy(clip.fill).check(clip, header)
    except (DamagedError, UnsupportedError):
        return True
    return False


def _reader(clip: Clip, header: Header) -> tuple[RangeReader, Motion | None]:
    if clip.coding == Coding.RANGE:
        return RangeReader(clip.latents, range_tables.first_counts(), "latents"), None
    reader = RangeReader(clip.latents, inter_counts(), "latents")
    return reader, Motion(header.grid, reader, None)


class _Reached(Exception):
    """The words have come to the hole."""


class _Watch:
    """Asked before each pass: how many kept frames are whole, while all words come from behind the hole."""

    def __init__(self, reader: RangeReader, floor: int) -> None:
        self._reader, self._floor = reader, floor
        self.whole = 0

    def ask(
        self, k: int, cells: slice, channels: slice, guess: Ints, flip: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        if self._reader.coder.num_words() - 2 < self._floor:  # two words are the state
            raise _Reached
        self.whole = k
