"""Budgets for fuzzed inputs: time and memory that a valid file with the declared sizes may take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import mutate

from dfccodec.container import pack
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy.context_tables import BAND_CELLS, groups
from dfccodec.errors import DfcError

MAX_WORK_MS = 2000.0
"""Maximum milliseconds of legitimate work of an input. Inputs with more work are skipped, because they take too
long."""
MAX_PIXELS = 1 << 19
"""Maximum pixels of a clip that is decoded. Large pictures are valid, so their memory is no finding (SPEC.md 12.2)."""


@dataclass(frozen=True)
class Limits:
    """Limits of time and memory of a target: a base, an amount per KiB, and the work for the declared sizes."""

    base_ms: float = 20
    ms_per_kib: float = 10
    base_mib: float = 16
    work: Callable[[bytes], tuple[float, float]] = field(default=lambda data: (0.0, 0.0))
    """Input -> milliseconds and MiB that valid data of the declared sizes take on one slow core."""

    def ms(self, data: bytes) -> float:
        """Return the allowed time in milliseconds."""
        return self.base_ms + self.ms_per_kib * len(data) / 1024 + self.work(data)[0]

    def mib(self, data: bytes) -> float:
        """Return the allowed memory in MiB."""
        return self.base_mib + self.work(data)[1]


class TooExpensive(DfcError):
    """Raised to skip an input whose legitimate work would take too long."""


def work_of(clip: Clip, header: Header) -> tuple[float, float]:
    """Return generous estimates of milliseconds and MiB for a clip of these sizes."""
    kept, dropped = int(clip.kept.sum()), int((~clip.kept).sum())
    values = kept * header.frame_values
    ms, mib = values * 2e-4, values * 16 / 2**20
    if clip.coding in (Coding.RANGE, Coding.INTER):
        tiles, rows, columns = header.grid
        ms += 2 * kept * len(groups(header.channels)) * -(-tiles * rows * columns // BAND_CELLS) + values * 2e-3
        mib += 32
    if clip.coding == Coding.INTER:
        cells = header.frame_values / header.channels
        ms += kept * (20 + cells * 2)  # re-encoding includes motion estimation
        mib += cells * 4096 / 2**20
    if clip.coding == Coding.PREDICTED:  # two streams, and the motion of kept frames; trimming codes both three times
        ms, mib = ms + 60 + values * 4e-3, mib + 64
        blocks = (kept + dropped) * -(-header.width // 8) * -(-header.height // 8)
        ms += 20 * (kept + dropped) + blocks * 0.1
        mib += blocks * 800 / 2**20
    if clip.fill in (Fill.MOTION, Fill.BLEND, Fill.DIRECT) and clip.fill_payload:
        blocks = dropped * -(-header.width // 8) * -(-header.height // 8)
        ms += 30 * dropped + blocks * 0.02
        mib += blocks * 400 / 2**20
    return ms, mib


def check_affordable(clip: Clip, header: Header, scale: float = 1) -> None:
    if work_of(clip, header)[0] * scale > MAX_WORK_MS:
        raise TooExpensive("would take long by rights")


def clip_work(data: bytes) -> tuple[float, float]:
    with contextlib.suppress(DfcError):
        header = pack.unpack_header(data[: mutate.HEAD_BYTES])
        return work_of(pack.unpack_clip(data[mutate.HEAD_BYTES :], header), header)
    return 0, 0


def _file_clips(data: bytes) -> list[tuple[Clip, Header]]:
    """Return all clips that a reader of the file could find."""
    found: list[tuple[Clip, Header]] = []
    headers = []
    for kind, payload in mutate.split(data) or [(b"HEAD", data[16:64])]:
        with contextlib.suppress(DfcError):
            if kind == b"HEAD":
                headers.append(pack.unpack_header(payload))
            elif kind == b"CLIP" and headers:
                found.append((pack.unpack_clip(payload, headers[0]), headers[0]))
    return found


def file_work(data: bytes) -> tuple[float, float]:
    found = [work_of(*pair) for pair in _file_clips(data)]
    # A file is read up to four times by a target, and damaged bytes are searched for chunks.
    return 4 * sum(ms for ms, _ in found), 2 * max((mib for _, mib in found), default=0)


def check_file_affordable(data: bytes, scale: float = 1, pixels: bool = False) -> None:
    found = _file_clips(data)
    if scale * sum(work_of(*pair)[0] for pair in found) > MAX_WORK_MS:
        raise TooExpensive("would take long by rights")
    if pixels and sum(pixels_of(*pair) for pair in found) > MAX_PIXELS:
        raise TooExpensive("would show a large picture")


def pixels_of(clip: Clip, header: Header) -> int:
    tiles, rows, columns = header.grid
    return clip.frames * max(tiles * rows * columns * header.patch**2, header.width * header.height)
