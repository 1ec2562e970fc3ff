"""The bytes of `.dfc` files as labelled parts, for the conformance vectors. Nothing here comes from dfccodec.

A file is a list of chunks, a chunk a list of parts, a part some bytes and the name SPEC.md gives them. So a fault is
made by naming a field, and a dissection is the list printed.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from write_motion import Odd, motion_of, unused_cleared
from write_range import words_of

Ints = npt.NDArray[np.int16]
Pairs = tuple[tuple[str, str | bytes], ...]

SIGNATURE = b"\xdfDFC\r\n\x1a\n"
NONE, PREVIOUS, LEFT, UP = range(4)
FILLS = ("token", "hold", "lerp", "motion")
CODINGS = ("zstd", "range")


@dataclass(frozen=True)
class Part:
    """Some bytes of a file, the field they are, and their value for people."""

    data: bytes
    name: str
    value: str = ""


@dataclass
class Chunk:
    """A chunk; `length` and `crc_xor` make it lie."""

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
    """HEAD and what follows from it."""

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
        """First row and first column of each tile, laid down one by one rather than by the formula of SPEC.md 5.2."""
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


def zstd(content: list[Part], blocks: int = 1, window: int | None = None, rle: bool = False) -> list[Part]:
    """One zstd frame of raw blocks (RFC 8878), by hand so that no library's version changes a byte of it.

    Args:
        content: what it holds.
        blocks: how many, of about equal size.
        window: Window_Descriptor; None for a single segment.
        rle: one RLE block instead; all bytes of the content must be the same.
    """
    raw = b"".join(p.data for p in content)
    form = 2 if window is not None or len(raw) >= 65792 else int(len(raw) >= 256)
    out = [Part(b"\x28\xb5\x2f\xfd", "zstd magic")]
    out += [
        number("B", form << 6 | (0x20 if window is None else 0), "zstd header", f"size field of {1 << form} byte(s)")
    ]
    if window is not None:
        out += [number("B", window, "window descriptor", f"{1 << (10 + (window >> 3))} bytes")]
    out += [number("BHI"[form], len(raw) - (256 if form == 1 else 0), "content size", str(len(raw)))]
    if rle:
        assert len(set(raw)) == 1
        return [*out, _block(1, True, len(raw)), Part(raw[:1], "repeated byte")]
    if blocks == 1:
        return [*out, _block(0, True, len(raw)), *content]
    cuts = [len(raw) * i // blocks for i in range(blocks + 1)]
    for i, (a, b) in enumerate(itertools.pairwise(cuts)):
        out += [_block(0, i == blocks - 1, b - a), Part(raw[a:b], "content")]
    return out


def _block(kind: int, last: bool, size: int) -> Part:
    names = ("raw", "RLE")
    data = struct.pack("<I", size << 3 | kind << 1 | last)[:3]
    return Part(data, "block header", f"{'last, ' if last else ''}{names[kind]}, {size} bytes")


def planes_of(values: Ints, filters: npt.NDArray[np.uint8], planes: int) -> list[Part]:
    """Raw bytes of SPEC.md 7 for integers (K, tiles, rows, columns, C), value by value."""
    kept, tiles, rows, columns, channels = values.shape
    low, high = bytearray(), bytearray()
    for c in range(channels):
        for k in range(kept):
            for n, y, x in np.ndindex(tiles, rows, columns):
                near = {PREVIOUS: (k - 1, n, y, x), LEFT: (k, n, y, x - 1), UP: (k, n, y - 1, x)}
                place = near.get(int(filters[c, k]))
                base = int(values[(*place, c)]) if place and min(place) >= 0 else 0
                d = (int(values[k, n, y, x, c]) - base + 32768) % 65536 - 32768
                u = 2 * d if d >= 0 else -2 * d - 1
                low.append(u & 255)
                high.append(u >> 8)
    assert planes == 2 or not any(high), "one plane is not enough"
    out = [Part(filters.tobytes(), "filters"), Part(bytes(low), "low bytes")]
    return [*out, Part(bytes(high), "high bytes")] if planes == 2 else out


def integers(shape: tuple[int, ...], seed: int = 0, span: int = 17) -> Ints:
    """Made-up small integers, the same everywhere."""
    count = int(np.prod(shape))
    return np.array([(i * i * 7 + 13 * i + seed) % span - span // 2 for i in range(count)], np.int16).reshape(shape)


@dataclass
class Clip:
    """A clip to write.

    Args:
        frames: T.
        kept: indices of kept frames.
        values: (K, tiles, rows, columns, C); made up where None.
        filters: (C, K); all NONE where None.
        latents: the coded bytes where they are not to be those of `values` in one raw block.
        coding: 0 zstd, 1 range.
        motion: decisions (D, rows, columns, 5) of fill policy 3; no payload where None.
        odd: symbols of `motion` that are to be others: block (frame, row, column) and what of it -> integer.
        payload: the coded bytes where they are not to be those of `motion`.
    """

    frames: int = 1
    kept: tuple[int, ...] = (0,)
    values: Ints | None = None
    filters: npt.NDArray[np.uint8] | None = None
    planes: int = 1
    qp: int = 24
    fill: int = 0
    first_pts: int | None = None
    durations: tuple[int, ...] = (1,)
    timing: int | None = None
    importance: bytes | None = None
    latents: list[Part] | None = None
    first_frame: int = 0
    coding: int = 0
    motion: Ints | None = None
    odd: Odd = field(default_factory=dict)
    payload: bytes | None = None

    def finish(self, head: Head, first_frame: int, pts: int, seed: int) -> None:
        """Fill in what follows from the place in the file."""
        self.first_frame = first_frame
        self.first_pts = pts if self.first_pts is None else self.first_pts
        if self.values is None:
            self.values = integers((len(self.kept), *head.grid, head.channels), seed)
        if self.importance is None:
            self.importance = bytes(255 - t if t in self.kept else t for t in range(self.frames))
        if self.timing is None:
            self.timing = int(len(self.durations) > 1)

    def coded(self) -> list[Part]:
        """The latents of `values`."""
        assert self.values is not None
        if not self.kept:
            return []
        return [Part(words_of(self.values), "words")] if self.coding else zstd(self.raw())

    def moved(self) -> bytes:
        """The fill payload of `motion` (SPEC.md 6.7)."""
        return b"" if self.motion is None else motion_of(self.motion, self.frames, self.kept, self.odd)

    def raw(self) -> list[Part]:
        assert self.values is not None
        filters = self.filters
        if filters is None:
            filters = np.zeros((self.values.shape[-1], len(self.kept)), np.uint8)
        return planes_of(self.values, filters, self.planes)

    def stamps(self) -> list[int]:
        """Timestamp of each frame, and of the end."""
        each = self.durations if self.timing else self.durations * self.frames
        out = [self.first_pts or 0]
        for duration in each:
            out.append(out[-1] + duration)
        return out

    def chunk(self) -> Chunk:
        latents = self.coded() if self.latents is None else self.latents
        payload = self.moved() if self.payload is None else self.payload
        bitmap = sum(1 << k for k in self.kept).to_bytes((self.frames + 7) // 8, "little")
        fields = [
            number("I", self.first_frame, "first_frame"), number("B", self.frames, "frames"),
            number("B", self.qp, "qp"), number("B", self.fill, "fill", f"{self.fill}, {FILLS[self.fill]}"),
            number("B", self.coding, "coding", f"{self.coding}, {CODINGS[self.coding]}"),
            number("q", self.first_pts or 0, "first_pts"),
            number("B", self.timing or 0, "timing"), number("B", self.planes, "planes"),
            number("H", 0, "reserved"), number("I", len(payload), "fill_bytes"),
            number("I", sum(len(p.data) for p in latents), "latent_bytes"),
            Part(bitmap, "kept", f"frames {', '.join(map(str, self.kept)) or 'none'}"),
            Part(self.importance or b"", "importance"),
        ]  # fmt: skip
        fields += [number("I", d, "duration") for d in self.durations]
        fields += [Part(payload, "fill payload")] if payload else []
        return Chunk(b"CLIP", [*fields, *latents])

    def expected(self, offset: int, size: int, steps: list[float]) -> dict[str, object]:
        assert self.values is not None
        flat = self.values.ravel().tolist()
        scaled = [
            v * (steps[i % len(steps)] * (EIGHTHS[self.qp % 8] * 2.0 ** (self.qp // 8))) for i, v in enumerate(flat)
        ]
        moved = {}
        if FILLS[self.fill] == "motion":
            every = [] if self.motion is None else unused_cleared(self.motion).ravel().tolist()
            moved["motion_sha256"] = hashlib.sha256(struct.pack(f"<{len(every)}h", *every)).hexdigest()
        return {
            **moved, "offset": offset, "size": size, "first_frame": self.first_frame, "frames": self.frames,
            "kept": list(self.kept), "importance": list(self.importance or b""), "qp": self.qp,
            "fill": FILLS[self.fill], "coding": CODINGS[self.coding], "planes": self.planes,
            "timestamps": self.stamps()[:-1], "end": self.stamps()[-1],
            "integers_sha256": hashlib.sha256(struct.pack(f"<{len(flat)}h", *flat)).hexdigest(),
            "latents_sha256": hashlib.sha256(struct.pack(f"<{len(flat)}f", *scaled)).hexdigest(),
        }  # fmt: skip


EIGHTHS = [float.fromhex(x) for x in (
    "0x1.0p+0", "0x1.172b83c7d517bp+0", "0x1.306fe0a31b715p+0", "0x1.4bfdad5362a27p+0",
    "0x1.6a09e667f3bcdp+0", "0x1.8ace5422aa0dbp+0", "0x1.ae89f995ad3adp+0", "0x1.d5818dcfba487p+0",
)]  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """A strm chunk to write."""

    id: int = 1
    kind: int = 0
    codec: str = "opus"
    sample_rate: int = 48000
    channels: int = 2
    layout: str = "stereo"
    language: str = "eng"
    disposition: int = 1
    time_base: tuple[int, int] = (1, 48000)
    extradata: bytes = b""

    def chunk(self) -> Chunk:
        out = [
            number("H", self.id, "id"), number("B", self.kind, "kind"), number("B", 0, "reserved"),
            number("I", self.time_base[0], "time base numerator"),
            number("I", self.time_base[1], "time base denominator"),
            number("I", self.sample_rate, "sample rate"), number("H", self.channels, "channels"),
            number("H", self.disposition, "disposition"),
        ]  # fmt: skip
        out += text(self.codec, "codec") + text(self.layout, "layout") + text(self.language, "language")
        out += [number("I", len(self.extradata), "size")]
        return Chunk(b"strm", [*out, Part(self.extradata, "extradata")] if self.extradata else out)

    def expected(self) -> dict[str, object]:
        return {**self.__dict__, "time_base": list(self.time_base), "extradata": self.extradata.hex()}


@dataclass(frozen=True)
class Packets:
    """A pkts chunk to write; rows are (pts, dts, duration, key, data)."""

    stream: int
    rows: tuple[tuple[int, int, int, int, bytes], ...]

    def chunk(self) -> Chunk:
        out = [number("H", self.stream, "stream"), number("H", 0, "reserved"), number("I", len(self.rows), "count")]
        for i, (pts, dts, duration, key, data) in enumerate(self.rows):
            values = (("q", pts, "pts"), ("q", dts, "dts"), ("I", duration, "duration"), ("I", len(data), "size"))
            out += [number(layout, value, f"{name} {i}") for layout, value, name in (*values, ("B", key, "key"))]
        return Chunk(b"pkts", out + [Part(row[4], f"data {i}") for i, row in enumerate(self.rows) if row[4]])

    def expected(self) -> list[dict[str, object]]:
        return [
            {"stream": self.stream, "pts": pts, "dts": dts, "duration": duration, "key": bool(key), "data": data.hex()}
            for pts, dts, duration, key, data in self.rows
        ]


@dataclass
class File:
    """A file to write, and what a reader is to find in it."""

    head: Head = field(default_factory=Head)
    body: list[Clip | Stream | Packets | Chunk] = field(default_factory=list)
    steps: tuple[float, ...] = (0.125,)
    tool: Pairs = ()
    tags: Pairs = ()
    extra: list[Chunk] = field(default_factory=list)
    order: str = "MSot"
    name: str = "none"
    config: str = "{}"

    def chunks(self) -> tuple[list[Chunk], dict[str, object]]:
        """Chunks in file order, and the expected result."""
        out = [self.head.chunk(), *self._preamble(), *self.extra]
        place = len(SIGNATURE) + sum(c.size for c in out)
        entries: list[tuple[Clip, int, int]] = []
        frames, pts = 0, 0
        for item in self.body:
            if isinstance(item, Clip):
                item.finish(self.head, frames, pts, len(entries))
            chunk = item if isinstance(item, Chunk) else item.chunk()
            if isinstance(item, Clip):
                entries.append((item, place, chunk.size))
                frames, pts = frames + item.frames, item.stamps()[-1]
            out.append(chunk)
            place += chunk.size
        digest = hashlib.sha256()
        for clip, _, _ in entries:
            assert clip.values is not None
            digest.update(clip.values.astype("<i2").tobytes())
        out += [index_chunk(entries, digest.digest()), Chunk(b"foot", [number("Q", place, "index", f"{place:#x}")])]
        return out, self._expected(entries, digest.hexdigest(), place + out[-2].size + out[-1].size)

    def _preamble(self) -> list[Chunk]:
        model = Chunk(
            b"MODL",
            [*text(self.name, "name"), Part(bytes(range(32)), "fingerprint"), *text(self.config, "configuration")],
        )
        step = [number("H", len(self.steps), "count")]
        step += [Part(struct.pack("<f", s), f"step {i}", str(s)) for i, s in enumerate(self.steps)]
        made: dict[str, Chunk] = {"M": model, "S": Chunk(b"STEP", step)}
        if self.tool:
            made["o"] = pairs(b"tool", self.tool)
        if self.tags:
            made["t"] = pairs(b"tags", self.tags)
        return [made[letter] for letter in self.order if letter in made]

    def _expected(self, entries: list[tuple[Clip, int, int]], digest: str, size: int) -> dict[str, object]:
        steps = list(self.steps) if len(self.steps) > 1 else list(self.steps) * self.head.channels
        streams = [item.expected() for item in self.body if isinstance(item, Stream)]
        packets = [row for item in self.body if isinstance(item, Packets) for row in item.expected()]
        unknown = [c.kind.decode() for c in [*self.extra, *self.body] if isinstance(c, Chunk)]
        return {
            "header": self.head.expected(),
            "model": {"name": self.name, "fingerprint": bytes(range(32)).hex(), "config": self.config},
            "steps": steps, "tool": [list(p) for p in self.tool], "tags": [list(p) for p in self.tags],
            "streams": streams, "packets": packets, "unknown": unknown,
            "clips": [clip.expected(offset, size, steps) for clip, offset, size in entries],
            "totals": {
                "clips": len(entries), "frames": sum(c.frames for c, _, _ in entries),
                "kept": sum(len(c.kept) for c, _, _ in entries), "latent_hash": digest, "bytes": size,
            },
        }  # fmt: skip


def index_chunk(entries: list[tuple[Clip, int, int]], digest: bytes) -> Chunk:
    """The index of clips at (offset, size)."""
    out = [
        number("I", len(entries), "clips"), number("Q", sum(c.frames for c, _, _ in entries), "frames"),
        number("Q", sum(len(c.kept) for c, _, _ in entries), "kept"), Part(digest, "latent hash"),
    ]  # fmt: skip
    for i, (clip, offset, size) in enumerate(entries):
        out += [
            number("Q", offset, f"offset {i}", f"{offset:#x}"), number("I", size, f"size {i}"),
            number("I", clip.first_frame, f"first_frame {i}"), number("q", clip.first_pts or 0, f"first_pts {i}"),
            number("B", clip.frames, f"frames {i}"), number("B", len(clip.kept), f"kept {i}"),
            number("H", 0, f"reserved {i}"),
        ]  # fmt: skip
    return Chunk(b"indx", out)


def join(chunks: list[Chunk]) -> bytes:
    """The file."""
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
