"""What the claims of a file are worth: the time and memory that an honest file of that size takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import mutate

from dfccodec.container import pack
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy.context_tables import BAND_CELLS, groups
from dfccodec.errors import DfcError

MOST_WORK = 2000.0
"""Milliseconds that an input may ask for by rights; larger ones are passed over, or nothing else would be tried."""
MOST_PIXELS = 1 << 19
"""Of a clip that is really decoded: pictures may be large, and 24 GiB of them are no finding (SPEC.md 12.2)."""


@dataclass(frozen=True)
class Limits:
    """What an input of a target may cost: so much, so much a kibibyte, and what its claims are worth."""

    base_ms: float = 20
    ms_per_kib: float = 10
    base_mib: float = 16
    work: Callable[[bytes], tuple[float, float]] = field(default=lambda data: (0.0, 0.0))
    """Input -> milliseconds and MiB that honest claims of that size take on one slow core."""

    def ms(self, data: bytes) -> float:
        """Milliseconds."""
        return self.base_ms + self.ms_per_kib * len(data) / 1024 + self.work(data)[0]

    def mib(self, data: bytes) -> float:
        """MiB."""
        return self.base_mib + self.work(data)[1]


class TooLarge(DfcError):
    """An input that would take long by rights."""


def work_of(clip: Clip, header: Header) -> tuple[float, float]:
    """Milliseconds and MiB that a clip of these claims takes, generously."""
    kept, dropped = int(clip.kept.sum()), int((~clip.kept).sum())
    values = kept * header.frame_values
    ms, mib = values * 2e-4, values * 16 / 2**20
    if clip.coding in (Coding.RANGE, Coding.INTER):
        tiles, rows, columns = header.grid
        ms += 2 * kept * len(groups(header.channels)) * -(-tiles * rows * columns // BAND_CELLS) + values * 2e-3
        mib += 32
    if clip.coding == Coding.INTER:
        cells = header.frame_values / header.channels
        ms += kept * (20 + cells * 2)  # searched too, to be coded anew
        mib += cells * 4096 / 2**20
    if clip.fill == Fill.MOTION and clip.fill_payload:
        blocks = dropped * -(-header.width // 8) * -(-header.height // 8)
        ms += 30 * dropped + blocks * 0.02
        mib += blocks * 400 / 2**20
    return ms, mib


def affordable(clip: Clip, header: Header, scale: float = 1) -> None:
    if work_of(clip, header)[0] * scale > MOST_WORK:
        raise TooLarge("would take long by rights")


def clip_work(data: bytes) -> tuple[float, float]:
    with contextlib.suppress(DfcError):
        header = pack.unpack_header(data[: mutate.HEAD_BYTES])
        return work_of(pack.unpack_clip(data[mutate.HEAD_BYTES :], header), header)
    return 0, 0


def _file_clips(data: bytes) -> list[tuple[Clip, Header]]:
    """Every clip that any reader of the file could find."""
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


def affordable_file(data: bytes, scale: float = 1, pixels: bool = False) -> None:
    found = _file_clips(data)
    if scale * sum(work_of(*pair)[0] for pair in found) > MOST_WORK:
        raise TooLarge("would take long by rights")
    if pixels and sum(pixels_of(*pair) for pair in found) > MOST_PIXELS:
        raise TooLarge("would show a large picture")


def pixels_of(clip: Clip, header: Header) -> int:
    tiles, rows, columns = header.grid
    return clip.frames * max(tiles * rows * columns * header.patch**2, header.width * header.height)
