"""The bytes of `.dfc` files as labelled parts, for the conformance vectors. Nothing here comes from dfccodec.

A file is a list of chunks, a chunk a list of parts, a part some bytes and the name SPEC.md gives them. So a fault
is an edit of a named field, and a dissection is the printed list.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

Pairs = tuple[tuple[str, str | bytes], ...]

SIGNATURE = b"\xdfDFC\r\n\x1a\n"


@dataclass(frozen=True)
class Part:
    """Some bytes of a file, the name of the field, and its value as text."""

    data: bytes
    name: str
    value: str = ""


@dataclass
class Chunk:
    """A chunk; `length` and `crc_xor` make it faulty."""

    kind: bytes
    payload: list[Part]
    length: int | None = None
    crc_xor: int = 0

    def parts(self) -> list[Part]:
        body = b"".join(p.data for p in self.payload)
        length = len(body) if self.length is None else self.length
        crc = zlib.crc32(self.kind + body) ^ self.crc_xor
        return [
            Part(self.kind, "type", self.kind.decode("latin-1")),
            number("I", length, "length"),
            *self.payload,
            Part(struct.pack("<I", crc), "CRC-32"),
        ]

    @property
    def size(self) -> int:
        return 12 + sum(len(p.data) for p in self.payload)


def number(layout: str, value: int, name: str, note: str = "") -> Part:
    """One little-endian integer."""
    return Part(struct.pack("<" + layout, value), name, note or str(value))


def text(value: str | bytes, name: str) -> list[Part]:
    """A text field; bytes may be anything but UTF-8."""
    data = value.encode() if isinstance(value, str) else value
    shown = repr(data.decode("utf-8", "replace")).encode("ascii", "backslashreplace").decode()
    return [number("H", len(data), f"{name}: bytes"), Part(data, name, shown)] if data else [
        number("H", 0, f"{name}: bytes")
    ]  # fmt: skip


def pairs(kind: bytes, rows: Pairs) -> Chunk:
    """A tool or tags chunk."""
    out = [number("H", len(rows), "count")]
    for i, (key, value) in enumerate(rows):
        out += text(key, f"key {i}") + text(value, f"value {i}")
    return Chunk(kind, out)


@dataclass(frozen=True)
class Head:
    """HEAD, and the grid that follows from it."""

    width: int = 16
    height: int = 16
    patch: int = 16
    clip_frames: int = 32
    channels: int = 1
    tile: int = 0
    overlap: int = 0
    rate: tuple[int, int] = (25, 1)
    time_base: tuple[int, int] = (1, 25)
    pixel_aspect: tuple[int, int] = (1, 1)
    rotation: int = 0
    colour: tuple[int, int, int, int, int] = (0, 2, 2, 2, 0)
    version: int = 1
    needs: int = 1

    @property
    def tile_starts(self) -> list[list[int]]:
        """First row and first column of each tile, found one by one, without the formula of SPEC.md 5.2."""
        out = []
        for length in (self.height, self.width):
            last = max((length + self.patch - 1) // self.patch * self.patch, self.tile) - self.tile
            starts = [0]
            while self.tile and starts[-1] < last:
                starts.append(min(starts[-1] + self.tile - self.overlap, last))
            out.append(starts)
        return out

    @property
    def grid(self) -> tuple[int, int, int]:
        if not self.tile:
            return 1, (self.height + self.patch - 1) // self.patch, (self.width + self.patch - 1) // self.patch
        down, right = self.tile_starts
        return len(down) * len(right), self.tile // self.patch, self.tile // self.patch

    def chunk(self) -> Chunk:
        rows: list[tuple[str, int, str]] = [
            ("B", self.version, "version"), ("B", self.needs, "needs"), ("H", 0, "flags"), ("H", self.width, "width"),
            ("H", self.height, "height"), ("B", self.patch, "patch"), ("B", self.clip_frames, "clip_frames"),
            ("H", self.channels, "channels"), ("H", self.tile, "tile"), ("H", self.overlap, "overlap"),
        ]  # fmt: skip
        for name, ratio in (("rate", self.rate), ("time base", self.time_base), ("pixel aspect", self.pixel_aspect)):
            rows += [("I", ratio[0], f"{name} numerator"), ("I", ratio[1], f"{name} denominator")]
        rows += [("B", self.rotation, "rotation")]
        names = ("colour range", "colour primaries", "transfer characteristics", "matrix coefficients", "bits")
        rows += [("B", value, name) for name, value in zip(names, self.colour, strict=True)]
        return Chunk(b"HEAD", [number(*row) for row in [*rows, ("H", 0, "reserved")]])

    def expected(self) -> dict[str, object]:
        names = ("range", "primaries", "transfer", "matrix", "bits")
        plain = ("version", "needs", "width", "height", "patch", "clip_frames", "channels", "tile", "overlap")
        out: dict[str, object] = {name: getattr(self, name) for name in plain}
        out |= {name: list(getattr(self, name)) for name in ("rate", "time_base", "pixel_aspect")}
        return out | {
            "rotation": self.rotation,
            "colour": dict(zip(names, self.colour, strict=True)),
            "grid": list(self.grid),
            "tile_starts": self.tile_starts,
        }


def join(chunks: list[Chunk]) -> bytes:
    """The bytes of the file."""
    return SIGNATURE + b"".join(p.data for c in chunks for p in c.parts())


def dissect(chunks: list[Chunk]) -> str:
    """Every byte with its offset and field, for SPEC.md 15."""
    lines = [f"0000  {SIGNATURE.hex(' '):<23}  signature"]
    place = len(SIGNATURE)
    for chunk in chunks:
        lines.append("")
        for part in chunk.parts():
            for at in range(0, len(part.data), 8):
                label = f"{part.name}{' = ' + part.value if part.value else ''}" if at == 0 else ""
                lines.append(f"{place + at:04x}  {part.data[at : at + 8].hex(' '):<23}  {label}".rstrip())
            place += len(part.data)
    return "\n".join(lines)
