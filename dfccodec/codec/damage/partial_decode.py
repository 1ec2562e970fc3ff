"""Decode the kept frames of a damaged clip that are probably right.

A chunk's checksum shows that a clip is damaged, not where. A correct final state of the rANS decoder (SPEC.md, rANS)
does not prove that the integers are right: a wrong bypass-coded bit changes an integer and leaves the state unchanged.
So frames are used only if the damage is located somewhere else in the chunk:

- The latents decode to the correct final state, and the fill payload of the same clip is damaged: it does not decode,
  or it holds a run of identical bytes.
- The latents hold a run of identical bytes, as an unreadable disk sector leaves and no encoder writes. Frames are
  decoded from the last word backwards, so every frame that is complete before the decoder reaches the run is used.

A second fault, in bypass-coded bits, can still hide in those latents. Hence these frames are reported apart from intact
and from repeated ones (`Decoder.salvaged`). The fields before the latents are used only if the frames they name are
missing. Timestamps come from the neighbouring clips.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.container import chunks, pack
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy import context_tables
from dfccodec.entropy.context_model import Ints, code_latents
from dfccodec.entropy.inter.coding import InterPredictor
from dfccodec.entropy.inter.coding import initial_counts as inter_counts
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.rans import RansDecoder, check_declared_size
from dfccodec.errors import DamagedError, UnsupportedError

_CONSTANT_RUN = re.compile(rb"(.)\1{15,}", re.DOTALL)
"""A run of at least 16 identical bytes, as an unreadable disk sector leaves."""


def decode_partial_clips(data: bytes, header: Header) -> Iterator[tuple[Clip, np.ndarray]]:
    """Yield the clips in damaged bytes, each with the integers (K', tiles, rows, columns, C) of its first K' ≥ 1 kept
    frames."""
    place = 0
    while data[place : place + 4] == chunks.CLIP and len(data) - place >= chunks.CHUNK_OVERHEAD:
        (length,) = struct.unpack_from("<I", data, place + 4)
        if place + length + chunks.CHUNK_OVERHEAD > len(data):
            return
        try:
            clip = pack.unpack_clip(data[place + 8 : place + 8 + length], header)
            values = _integers(clip, header) if clip.coding in (Coding.RANGE, Coding.INTER) else None
        except DamagedError:
            values = None
        if values is not None and len(values):
            yield clip, values
        place += length + chunks.CHUNK_OVERHEAD


def salvaged_frames(
    stretches: Iterable[bytes],
    header: Header,
    reconstruct: Callable[[Clip, np.ndarray], np.ndarray],
    first: int,
    end: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the frames `first` to `end` (exclusive) that can be decoded from damaged bytes; they are probably right.

    Args:
        stretches: damaged bytes, one item per damaged place, in file order.
        header: header of the file.
        reconstruct: decodes a clip and its integers to frames (T, H, W, 3) uint8.
        first, end: frame numbers; clips outside this range are ignored.

    Yields:
        frame number and picture (H, W, 3) uint8, in display order.
    """
    for data in stretches:
        for clip, values in decode_partial_clips(data, header):
            if clip.first_frame < first or clip.first_frame + clip.frames > end:
                continue
            index = np.flatnonzero(clip.kept)[: len(values)]
            kept = np.zeros_like(clip.kept)
            kept[index] = True
            alone = dataclasses.replace(clip, kept=kept, fill=Fill.HOLD, fill_payload=b"")
            frames = reconstruct(alone, values)
            for frame in index.tolist():
                yield clip.first_frame + frame, frames[frame]
            first = clip.first_frame + clip.frames


def _integers(clip: Clip, header: Header) -> np.ndarray | None:
    """The integers of the kept frames that are probably right; None if there are none."""
    kept = int(clip.kept.sum())
    try:
        values = decode_latents(clip, header)
        return values if _fill_is_damaged(clip, header) else None
    except DamagedError:
        run_end = max((match.end() for match in _CONSTANT_RUN.finditer(clip.latents)), default=None)
    if run_end is None or not kept:
        return None
    check_declared_size(clip.latents, kept, header.grid, header.channels)
    shape = *header.grid, header.channels
    reader, predictor = _decoder(clip, header)
    guard = _DamageGuard(reader, -(-run_end // 4))
    try:
        code_latents((kept, *shape), reader, observer=guard, predictor=predictor)
    except _ReachedDamage:
        if not guard.complete:
            return None
        reader, predictor = _decoder(clip, header)
        return code_latents((guard.complete, *shape), reader, predictor=predictor)
    return None  # the decoder did not reach the run and yet ended in a wrong state: there is damage before it too


def _fill_is_damaged(clip: Clip, header: Header) -> bool:
    """Whether the fill policy or its payload is the damaged part of the clip."""
    if _CONSTANT_RUN.search(clip.fill_payload):
        return True
    try:
        fill.policy(clip.fill).check(clip, header)
    except (DamagedError, UnsupportedError):
        return True
    return False


def _decoder(clip: Clip, header: Header) -> tuple[RansDecoder, InterPredictor | None]:
    if clip.coding == Coding.RANGE:
        return RansDecoder(clip.latents, context_tables.initial_counts(), "latents"), None
    reader = RansDecoder(clip.latents, inter_counts(), "latents")
    return reader, InterPredictor(header.grid, reader, None)


class _ReachedDamage(Exception):
    """The decoder has reached the run of identical bytes."""


class _DamageGuard:
    """Observes the coding passes and counts the kept frames that are complete before the
    decoder reaches the damaged words.

    Args:
        reader: the rANS decoder, which reads from the last word backwards.
        floor: lowest index of an intact word; the damaged words are below it.

    Attributes:
        complete: number of complete kept frames.
    """

    def __init__(self, reader: RansDecoder, floor: int) -> None:
        self._reader, self._floor = reader, floor
        self.complete = 0

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        if self._reader.coder.num_words() - 2 < self._floor:  # two words are the state
            raise _ReachedDamage
        self.complete = k
