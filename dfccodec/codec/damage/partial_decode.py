"""Kept frames that are still good in a clip whose chunk is damaged beyond mending (`container.mend`).

A checksum says that a clip is damaged, not where. Two things can still be known of integers in the range coding. Its
state must end where it began, which 2^32 to 1 it does not behind an error: integers that end right are right, and the
damage is elsewhere in the chunk. And what a disk cannot read comes back as a hole of equal bytes, which no coder
writes: frames are coded one after another from the last word to the first, so those that were complete before the
words reach the hole are right. Nothing else is believed. The fields before the latents are believed so far as the
frames they name are missing; times come from the clips beside.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from dfccodec.container import chunks, pack
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy import context_tables
from dfccodec.entropy.context_model import Ints, code_latents
from dfccodec.entropy.inter.coding import InterPredictor
from dfccodec.entropy.inter.coding import first_counts as inter_counts
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.entropy.rans import RansDecoder, check_declared_size
from dfccodec.errors import DamagedError

_CONSTANT_RUN = re.compile(rb"(.)\1{15,}", re.DOTALL)


def decode_partial_clips(data: bytes, header: Header) -> Iterator[tuple[Clip, np.ndarray]]:
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


def salvaged_frames(
    stretches: Iterable[bytes],
    header: Header,
    reconstruct: Callable[[Clip, np.ndarray], np.ndarray],
    first: int,
    until: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames from `first` to `until` that can be had of damaged stretches.

    Args:
        stretches: bytes of each, in file order.
        header: of the file.
        reconstruct: a clip and its integers -> its frames (T, H, W, 3) uint8.
        first, until: numbers of frames; clips that are not inside are not believed.

    Yields:
        number and picture (H, W, 3) of each, in order.
    """
    for data in stretches:
        for clip, values in decode_partial_clips(data, header):
            if clip.first_frame < first or clip.first_frame + clip.frames > until:
                continue
            index = np.flatnonzero(clip.kept)[: len(values)]
            kept = np.zeros_like(clip.kept)
            kept[index] = True
            alone = dataclasses.replace(clip, kept=kept, fill=Fill.HOLD, fill_payload=b"")
            shown = reconstruct(alone, values)
            for frame in index.tolist():
                yield clip.first_frame + frame, shown[frame]
            first = clip.first_frame + clip.frames


def _integers(clip: Clip, header: Header) -> np.ndarray | None:
    """The integers of kept frames that can be relied on; None for none."""
    kept = int(clip.kept.sum())
    try:
        return decode_clip_integers(clip, header)
    except DamagedError:
        hole = max((match.end() for match in _CONSTANT_RUN.finditer(clip.latents)), default=None)
    if hole is None or not kept:
        return None
    check_declared_size(clip.latents, kept, header.grid, header.channels)
    shape = *header.grid, header.channels
    reader, forecast = _reader(clip, header)
    watch = _DamageGuard(reader, -(-hole // 4))
    try:
        code_latents((kept, *shape), reader, observer=watch, predictor=forecast)
    except _ReachedDamage:
        if not watch.whole:
            return None
        reader, forecast = _reader(clip, header)
        return code_latents((watch.whole, *shape), reader, predictor=forecast)
    return None  # the words never came to the hole, and yet ended wrong: they are damaged before it as well


def _reader(clip: Clip, header: Header) -> tuple[RansDecoder, InterPredictor | None]:
    if clip.coding == Coding.RANGE:
        return RansDecoder(clip.latents, context_tables.initial_counts(), "latents"), None
    reader = RansDecoder(clip.latents, inter_counts(), "latents")
    return reader, InterPredictor(header.grid, reader, None)


class _ReachedDamage(Exception):
    """The words have come to the hole."""


class _DamageGuard:
    """Asked before each pass: how many kept frames are whole, while all words come from behind the hole."""

    def __init__(self, reader: RansDecoder, floor: int) -> None:
        self._reader, self._floor = reader, floor
        self.whole = 0

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        if self._reader.coder.num_words() - 2 < self._floor:  # two words are the state
            raise _ReachedDamage
        self.whole = k
