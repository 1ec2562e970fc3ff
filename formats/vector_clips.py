"""Clips for the conformance vectors: a CLIP chunk and its integers, field by field."""

from __future__ import annotations

import hashlib
import itertools
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from read_direct import direct_sha256, motion_of_cells
from read_motion import Block, Place, Sides, sides_of_dropped
from vector_parts import Chunk, Head, Part, number
from write_inter import encode_inter
from write_mixing import mixed_integers, mixed_motion
from write_motion import Overrides, clear_unused_vectors, encode_motion
from write_range import encode_range

Ints = npt.NDArray[np.int16]
NONE, PREVIOUS, LEFT, UP = range(4)
FILLS = ("token", "hold", "lerp", "motion", "blend", "generate", "direct")
CODINGS = ("zstd", "range", "inter", "predicted")


def zstd(content: list[Part], blocks: int = 1, window: int | None = None, rle: bool = False) -> list[Part]:
    """One zstd frame of raw blocks (RFC 8878), written here so that no version of a library changes a byte of it.

    Args:
        content: the raw bytes.
        blocks: number of blocks, of about equal size.
        window: Window_Descriptor; None for a single segment.
        rle: write one RLE block; all bytes of the content must be equal.
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
    """Pseudo-random small integers, the same on every machine."""
    count = int(np.prod(shape))
    return np.array([(i * i * 7 + 13 * i + seed) % span - span // 2 for i in range(count)], np.int16).reshape(shape)


@dataclass
class Clip:
    """A clip to write.

    Args:
        frames: T.
        kept: indices of kept frames.
        values: (K, tiles, rows, columns, C); pseudo-random if None.
        filters: (C, K); all NONE if None.
        latents: the coded bytes, if not those of `values` in one raw block.
        coding: 0 zstd, 1 range, 2 inter, 3 predicted.
        vectors: (K, cells, 2) in coding 2; all 0 by default.
        vector_overrides: residuals of vectors to be replaced: (kept frame, cell, syntax element) -> residual.
        motion: decisions (D, rows, columns, 5) of fill policies 3, 4 and 6; none are coded if None.
        motion_overrides: residuals of `motion` to be replaced: ((frame, row, column), syntax element) -> residual.
        waves: motion latents (K, rows, columns, 4 · waves) of fill policy 5; no payload if None.
        wave_step: their step.
        payload: the coded bytes, if not those of `motion` or `waves`.
        qps: QP of each kept frame in coding 3, in order of frames; all `qp` if None.
        predicted: the predicted frames of coding 3.
        kept_motion: their decisions (frames, rows, columns, 5); no payload if None.
        details: QP and integers (1, 2 · rows, 2 · columns, 192) of the details of kept frames in coding 3, by frame.
        tools: the field of coding 3, None for 1 with details and 0 without; or the field of fill policy 6, None for 0.
        level: of context mixing; None for the nearest.
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
    vectors: Ints | None = None
    vector_overrides: dict[tuple[int, int, Any], int] = field(default_factory=dict)
    motion: Ints | None = None
    motion_overrides: Overrides = field(default_factory=dict)
    waves: Ints | None = None
    wave_step: int = 24
    payload: bytes | None = None
    qps: tuple[int, ...] | None = None
    predicted: tuple[int, ...] = ()
    details: dict[int, tuple[int, Ints]] = field(default_factory=dict)
    tools: int | None = None
    kept_motion: Ints | None = None
    level: int | None = None

    def finish(self, head: Head, first_frame: int, pts: int, seed: int) -> None:
        """Set the fields that follow from the place in the file."""
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
        if self.coding == 3:
            return self.coded_predicted()
        if self.coding == 2:
            return [Part(encode_inter(self.values, self.vectors, self.vector_overrides), "words")]
        return [Part(encode_range(self.values), "words")] if self.coding else zstd(self.raw())

    def order(self) -> list[int]:
        """The kept frames in coding order."""
        return sorted(self.kept, key=lambda t: -(self.importance or bytes(64))[t])

    def sides(self) -> Sides:
        """The references of the predicted frames."""
        order, out = self.order(), {}
        for t in self.predicted:
            known = order[: order.index(t)]
            out[t] = max((k for k in known if k < t), default=None), min((k for k in known if k > t), default=None)
        return out

    def coded_predicted(self) -> list[Part]:
        """The latents in coding 3 (SPEC.md 7.10.1)."""
        assert self.values is not None
        order, streams = self.order(), []
        for chosen in (False, True):
            rows = [self.kept.index(t) for t in order if (t in self.predicted) == chosen]
            if self.mixed and rows:
                streams.append(mixed_integers(self.values[rows][:, 0], int(chosen), self.level))
            else:
                streams.append(encode_range(self.values[rows]) if rows else b"")
        qps = dict(zip(self.kept, self.qps or [self.qp] * len(self.kept), strict=True))
        motion = b"" if self.kept_motion is None else self.coded_motion(self.kept_motion, self.sides(), 2)
        tools = int(bool(self.details)) if self.tools is None else self.tools
        out = [number("B", tools, "tools"), number("I", len(motion), "motion_bytes")]
        out += [number("I", len(streams[0]), "intra_bytes")]
        for t in order:
            intra = t not in self.predicted
            note = f"frame {t}, {'intra' if intra else 'predicted'}{', details' * (t in self.details)}, QP {qps[t]}"
            kind = qps[t] | 128 * intra | 64 * (t in self.details)
            out.append(number("B", kind, "kind", note))
        named = [(motion, "motion"), (streams[0], "intra integers"), (streams[1], "residual integers")]
        if tools & 1:
            out.append(number("I", len(streams[1]), "residual_bytes"))
            fine = []
            for t in (t for t in order if t in self.details):
                qp, details = self.details[t]
                data = mixed_integers(details, 4, self.level) if self.mixed else encode_range(details[None])
                fine.append((t, qp, data))
            for t, qp, data in fine:
                out += [number("B", qp, "detail_qp", f"frame {t}"), number("I", len(data), "detail_bytes")]
            named += [(data, f"details of frame {t}") for t, _, data in fine]
        return [*out, *(Part(data, name) for data, name in named if data)]

    def motion_payload(self) -> bytes:
        """The fill payload of `motion` (SPEC.md 7.8.1, 7.8.4)."""
        tools = bytes([self.tools or 0]) if self.fill == 6 and self.kept else b""
        return tools + (b"" if self.motion is None else self.dropped_payload())

    def dropped_payload(self) -> bytes:
        assert self.motion is not None
        return self.coded_motion(self.motion, sides_of_dropped(self.frames, list(self.kept)), 3, self.motion_overrides)

    @property
    def mixed(self) -> bool:
        """Whether the clip is coded by context mixing (SPEC.md 7.11)."""
        return bool((self.tools or 0) & 16) and (self.coding == 3 or self.fill == 6)

    def coded_motion(self, blocks: Ints, sides: Sides, content: int, overrides: Overrides | None = None) -> bytes:
        """Decisions (D, rows, columns, 5), of content 2 or 3."""
        if self.mixed:
            return mixed_motion(blocks, sides, blocks.shape[1], blocks.shape[2], content)
        return encode_motion(blocks, sides, overrides or {})

    def wave_payload(self) -> bytes:
        """The fill payload of `waves` (SPEC.md 7.9)."""
        if self.waves is None:
            return b""
        head = struct.pack("<BBH", self.waves.shape[-1] // 4, self.wave_step, 0)
        return head + encode_range(self.waves[:, None])

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
        payload = self.motion_payload() + self.wave_payload() if self.payload is None else self.payload
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

    def direct_sha256(self) -> str:
        """SHA-256 over the direct vectors of all predicted and dropped frames (SPEC.md 7.10.4)."""
        assert self.kept_motion is not None
        rows, columns = self.kept_motion.shape[1:3]
        known: dict[Place, Block] = {}
        for t, blocks in zip(sorted(self.sides()), clear_unused_vectors(self.kept_motion).tolist(), strict=True):
            for y, x in itertools.product(range(rows), range(columns)):
                mode, *v = blocks[y][x]
                known[t, y, x] = mode, [(v[0], v[1]), (v[2], v[3])]
        dropped = sides_of_dropped(self.frames, list(self.kept))
        return direct_sha256(known, self.order(), self.sides(), dropped, (rows, columns))

    def direct_of_cells(self, head: Head) -> str:
        """As :meth:`direct_sha256`, for fill policy 6 (SPEC.md 7.8.4)."""
        blocks, kept = (-(-head.height // 8), -(-head.width // 8)), list(self.kept)
        assert self.vectors is not None
        vectors = [[(v[0], v[1]) for v in frame] for frame in self.vectors.tolist()]
        known, sides = motion_of_cells(vectors, kept, head.grid[2], 4 if (self.tools or 0) & 6 == 6 else 2, blocks)
        return direct_sha256(known, kept, sides, sides_of_dropped(self.frames, kept), blocks, self.coding)

    def expected(self, offset: int, size: int, steps: list[float], head: Head) -> dict[str, object]:
        assert self.values is not None
        flat = self.values.ravel().tolist()
        qps = self.qps or (self.qp,) * len(self.kept)
        each = len(flat) // max(len(qps), 1)
        scaled = [
            v * (steps[i % len(steps)] * (EIGHTHS[qps[i // each] % 8] * 2.0 ** (qps[i // each] // 8)))
            for i, v in enumerate(flat)
        ]
        moved: dict[str, object] = {}
        if self.coding == 3 and self.kept:
            every = [] if self.kept_motion is None else clear_unused_vectors(self.kept_motion).ravel().tolist()
            digest = hashlib.sha256(struct.pack(f"<{len(every)}h", *every)).hexdigest()
            moved = {"kept_motion_sha256": digest, "qps": list(qps), "predicted": sorted(self.predicted)}
            if (self.tools or 0) & 8:
                moved["direct_sha256"] = self.direct_sha256()
            moved["detail_qps"] = [self.details[t][0] if t in self.details else None for t in self.kept]
            fine = [v for t in self.order() if t in self.details for v in self.details[t][1].ravel().tolist()]
            moved["details_sha256"] = hashlib.sha256(struct.pack(f"<{len(fine)}h", *fine)).hexdigest()
        if FILLS[self.fill] in ("motion", "blend", "direct"):
            every = [] if self.motion is None else clear_unused_vectors(self.motion).ravel().tolist()
            moved["motion_sha256"] = hashlib.sha256(struct.pack(f"<{len(every)}h", *every)).hexdigest()
        if self.fill == 6 and (self.tools or 0) & 8:
            moved["direct_sha256"] = self.direct_of_cells(head)
        if FILLS[self.fill] == "generate":
            every = [] if self.waves is None else self.waves.ravel().tolist()
            moved = {
                "waves": 1 if self.waves is None else self.waves.shape[-1] // 4,
                "motion_step": 0 if self.waves is None else self.wave_step,
                "motion_sha256": hashlib.sha256(struct.pack(f"<{len(every)}h", *every)).hexdigest(),
            }
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
