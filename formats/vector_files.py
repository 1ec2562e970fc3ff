"""Whole files for the conformance vectors: their other chunks, and the expected result."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from vector_clips import Clip
from vector_parts import SIGNATURE, Chunk, Head, Pairs, Part, number, pairs, text


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
    """A file to write, and its expected result."""

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
            "clips": [clip.expected(offset, size, steps, self.head) for clip, offset, size in entries],
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
