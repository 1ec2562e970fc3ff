"""Conversion of records to chunk payloads and back (SPEC.md 5 to 8). All ranges are checked in both directions.

Each `unpack_…` takes a payload and its file `offset` for messages. It raises `DamagedError` if a field is missing or
invalid or bytes are left over, and `LimitError` if a count is over `dfccodec.limits`. `unpack_header` checks version
and flags and may raise `UnsupportedError` too. Each `pack_…` rejects what its `unpack_…` rejects.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from dfccodec import limits
from dfccodec.container.fields import Fields, pack_text
from dfccodec.container.records import (
    VERSION,
    Clip,
    Colour,
    Fill,
    Header,
    Index,
    IndexEntry,
    ModelId,
    Packet,
    Ratio,
    StreamInfo,
)
from dfccodec.errors import LimitError, UnsupportedError

_HEAD = "BBHHHBBHHHIIIIIIBBBBBBH"
_CLIP = "IBBBBqBBHII"
_ENTRY = "QIIqBBH"


def pack_header(h: Header) -> bytes:
    """Payload of HEAD, 48 bytes."""
    payload = struct.pack(
        "<" + _HEAD, h.version, h.needs, 0, h.width, h.height, h.patch, h.clip_frames, h.channels, h.tile, h.overlap,
        h.rate.num, h.rate.den, h.time_base.num, h.time_base.den, h.pixel_aspect.num, h.pixel_aspect.den,
        h.rotation, h.colour.range, h.colour.primaries, h.colour.transfer, h.colour.matrix, h.colour.bits, 0,
    )  # fmt: skip
    unpack_header(payload)  # a writer must not write what a reader rejects
    return payload


def unpack_header(payload: bytes, offset: int | None = None) -> Header:
    """Read HEAD. The first two bytes are versions in every version of the format, so they are checked first."""
    f = Fields(payload, "chunk HEAD", offset)
    version, needs = f.unpack("BB", "version")
    if needs > VERSION:
        raise UnsupportedError(f"file needs .dfc version {needs}, this reader knows {VERSION}: get a newer dfc")
    f.position = 0
    v = f.unpack(_HEAD, "header")
    if needs == 0 or version < needs:
        raise f.fail(f"version {version} that needs {needs} is impossible")
    (_, _, flags, width, height, patch, clip_frames, channels, tile, overlap) = v[:10]
    if flags or v[22]:
        raise UnsupportedError(f"header flags {flags:#06x} are not known to this reader: get a newer dfc")
    header = Header(
        width, height, Ratio(v[10], v[11]), Ratio(v[12], v[13]), patch, channels, clip_frames, tile, overlap,
        Ratio(v[14], v[15]), v[16], Colour(*v[17:22]), version, needs,
    )  # fmt: skip
    f.end()
    _check_header(header, f)
    return header


def _check_header(h: Header, f: Fields) -> None:
    if not h.width or not h.height:
        raise f.fail(f"picture of {h.width}×{h.height}: both sides must be at least 1")
    if h.width * h.height > limits.MAX_PIXELS:
        raise LimitError(f"picture of {h.width}×{h.height} is over the limit of {limits.MAX_PIXELS} pixels")
    if h.tile * h.tile > limits.MAX_PIXELS:  # a smaller picture is padded to the tile
        raise LimitError(f"tiles of {h.tile}×{h.tile} are over the limit of {limits.MAX_PIXELS} pixels")
    if max(h.width * h.height, h.tile * h.tile) * h.clip_frames > limits.MAX_CLIP_PIXELS:
        raise LimitError(
            f"clips of {h.clip_frames} frames of {h.width}×{h.height} in tiles of {h.tile}: "
            f"at most {limits.MAX_CLIP_PIXELS} pixels"
        )
    if h.patch not in (1, 2, 4, 8, 16, 32, 64):
        raise f.fail(f"patch of {h.patch} pixels: must be a power of two up to 64")
    if not 1 <= h.channels <= limits.MAX_CHANNELS:
        raise f.fail(f"{h.channels} channels: must be 1 to {limits.MAX_CHANNELS}")
    if not 1 <= h.clip_frames <= limits.MAX_CLIP_FRAMES:
        raise f.fail(f"clips of {h.clip_frames} frames: must be 1 to {limits.MAX_CLIP_FRAMES}")
    if h.tile % h.patch or h.overlap % h.patch or (h.tile and h.overlap > h.tile // 2) or (h.overlap and not h.tile):
        raise f.fail(f"tile {h.tile} with overlap {h.overlap}: multiples of {h.patch}, overlap at most half a tile")
    for name, ratio, zero in (
        ("time base", h.time_base, False), ("pixel aspect", h.pixel_aspect, False), ("rate", h.rate, True)
    ):  # fmt: skip
        if not ratio.den or (not ratio.num and not zero):
            raise f.fail(f"{name} {ratio.num}/{ratio.den}: must be positive")
    if h.rotation > 3 or h.colour.range > 2:
        raise f.fail(f"rotation {h.rotation} (0 to 3) or range {h.colour.range} (0 to 2) is impossible")
    if h.frame_values > limits.MAX_CLIP_VALUES:
        raise LimitError(f"{h.frame_values} integers per frame are over the limit of {limits.MAX_CLIP_VALUES}")


def pack_model(m: ModelId) -> bytes:
    """Payload of MODL."""
    payload = pack_text(m.name) + m.fingerprint + pack_text(m.config)
    unpack_model(payload)
    return payload


def unpack_model(payload: bytes, offset: int | None = None) -> ModelId:
    """Read MODL."""
    f = Fields(payload, "chunk MODL", offset)
    name = f.text("name")
    model = ModelId(name, f.take(32, "fingerprint"), f.text("configuration"))
    f.end()
    if not name or not _is_json_object(model.config):
        raise f.fail("needs a name and a configuration that is a JSON object")
    return model


def _is_json_object(text: str) -> bool:
    """Whether the text is a JSON object of RFC 8259. Unlike Python: no NaN, and numbers of any length."""
    bare = re.sub(r"\\.", "", text, flags=re.DOTALL)  # escapes first: one pattern for complete strings takes minutes
    bare = re.sub(r'"[^"]*"?', "", bare)
    depth = accumulate((mark in "[{") - (mark in "]}") for mark in bare)
    if max(depth, default=0) > limits.MAX_JSON_DEPTH:
        return False
    try:
        return isinstance(json.loads(text, parse_constant=_no_constant, parse_int=str), dict)
    except ValueError:
        return False


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def pack_steps(steps: np.ndarray) -> bytes:
    """Payload of STEP. If all steps are equal, one is stored."""
    values = steps.astype("<f4")
    if len(values) > 1 and (values == values[0]).all():
        values = values[:1]
    payload = struct.pack("<H", len(values)) + values.tobytes()
    unpack_steps(payload, len(steps))
    return payload


def unpack_steps(payload: bytes, channels: int, offset: int | None = None) -> np.ndarray:
    """Read STEP. Returns (channels,) float32, each a positive normal number."""
    f = Fields(payload, "chunk STEP", offset)
    (count,) = f.unpack("H", "count")
    if count not in (1, channels):
        raise f.fail(f"{count} steps: must be 1 or one for each of {channels} channels")
    values = f.unpack(f"{count}f", "steps")
    f.end()
    if not all(math.isfinite(v) and v >= np.finfo(np.float32).tiny for v in values):
        raise f.fail("a step is not a positive normal number")
    return np.resize(np.array(values, dtype=np.float32), channels)


def pack_clip(c: Clip, header: Header | None = None) -> bytes:
    """Payload of CLIP. With `header`, the payload is checked as a reader does.

    Raises:
        DamagedError: a field is out of range, or counts do not agree.
        LimitError: the clip has too many integers.
    """
    timing = 0 if len(c.durations) == 1 else 1
    head = struct.pack(
        "<" + _CLIP, c.first_frame, c.frames, c.qp, c.fill, c.coding, c.first_pts, timing, c.planes, 0,
        len(c.fill_payload), len(c.latents),
    )  # fmt: skip
    bitmap = np.packbits(c.kept, bitorder="little").tobytes()
    durations = struct.pack(f"<{len(c.durations)}I", *c.durations)
    payload = head + bitmap + c.importance.tobytes() + durations + c.fill_payload + c.latents
    if header is not None:
        unpack_clip(payload, header)
    return payload


CLIP_HEAD_BYTES = struct.calcsize("<" + _CLIP) + 8 + 5 * limits.MAX_CLIP_FRAMES
"""Maximum size of a clip's payload without fill payload and latents, in bytes."""


def unpack_clip(payload: bytes, header: Header, offset: int | None = None) -> Clip:
    """Read CLIP. Latents are not decoded. All counts are checked against the header first."""
    clip, fill_bytes, latent_bytes, f = unpack_clip_head(payload, header, offset)
    fill = f.take(fill_bytes, "fill payload")
    latents = f.take(latent_bytes, "latents")
    f.end()
    return Clip(**{**clip.__dict__, "fill_payload": fill, "latents": latents})


def unpack_clip_head(payload: bytes, header: Header, offset: int | None = None) -> tuple[Clip, int, int, Fields]:
    """Read a clip up to its fill payload.

    Returns:
        The clip without payloads, bytes of fill payload and of latents, and the cursor before the fill payload.
    """
    f = Fields(payload, "chunk CLIP", offset)
    first, frames, qp, fill, coding, pts, timing, planes, reserved, fill_bytes, latent_bytes = f.unpack(_CLIP, "head")
    if not 1 <= frames <= header.clip_frames:
        raise f.fail(f"{frames} frames: must be 1 to {header.clip_frames}")
    if qp > limits.MAX_QP:
        raise f.fail(f"QP {qp}: must be 0 to {limits.MAX_QP}")
    if timing > 1 or planes not in (1, 2) or reserved:
        raise f.fail(f"timing {timing} (0, 1), planes {planes} (1, 2) or reserved {reserved} (0) is impossible")
    size = -(-frames // 8)
    bits = np.unpackbits(np.frombuffer(f.take(size, "kept frames"), np.uint8), bitorder="little")
    if bits[frames:].any():
        raise f.fail(f"kept-frame bits beyond frame {frames} are set")
    importance = np.frombuffer(f.take(frames, "importance"), np.uint8)
    durations = f.unpack(f"{frames if timing else 1}I", "durations")
    kept = bits[:frames].astype(bool)
    if header.frame_values * int(kept.sum()) > limits.MAX_CLIP_VALUES:
        raise LimitError(
            f"clip of {header.frame_values * int(kept.sum())} integers: at most {limits.MAX_CLIP_VALUES}",
            offset,
        )
    if pts + sum(durations) * (1 if timing else frames) >= 2**63:
        raise f.fail(f"timestamps from {pts} overflow 63 bits")
    if fill_bytes and fill in (Fill.TOKEN, Fill.HOLD, Fill.LERP):
        raise f.fail(f"fill policy {fill} takes no payload, {fill_bytes} bytes are declared")
    clip = Clip(first, kept, importance, qp, pts, durations, b"", planes, fill, b"", coding)
    return clip, fill_bytes, latent_bytes, f


def pack_index(index: Index) -> bytes:
    """Payload of indx."""
    head = struct.pack("<IQQ", len(index.clips), index.frames, index.kept) + index.latent_hash
    return head + b"".join(
        struct.pack("<" + _ENTRY, c.offset, c.size, c.first_frame, c.first_pts, c.frames, c.kept, 0)
        for c in index.clips
    )


def unpack_index(payload: bytes, offset: int | None = None) -> Index:
    """Read indx. Its totals must equal the sums of its entries."""
    f = Fields(payload, "chunk indx", offset)
    count, frames, kept = f.unpack("IQQ", "totals")
    digest = f.take(32, "latent hash")
    size = struct.calcsize("<" + _ENTRY)
    table = f.take(count * size, "clips")
    f.end()
    rows = list(struct.iter_unpack("<" + _ENTRY, table))
    if any(row[6] for row in rows):
        raise f.fail("reserved field of an entry is set")
    index = Index(tuple(IndexEntry(*row[:6]) for row in rows), digest)
    if (index.frames, index.kept) != (frames, kept):
        raise f.fail(f"totals are {frames} frames, {kept} kept; its clips add up to {index.frames}, {index.kept}")
    return index


def pack_foot(index_offset: int) -> bytes:
    """Payload of foot: the offset of the index chunk."""
    return struct.pack("<Q", index_offset)


def unpack_foot(payload: bytes, offset: int | None = None) -> int:
    """Read foot. Returns the offset of the index chunk."""
    f = Fields(payload, "chunk foot", offset)
    (where,) = f.unpack("Q", "index offset")
    f.end()
    return int(where)


def unpack_pairs(payload: bytes, what: str, offset: int | None = None) -> tuple[tuple[str, str], ...]:
    """Read tags or tool: key/value pairs in file order. Keys may repeat."""
    f = Fields(payload, f"chunk {what}", offset)
    (count,) = f.unpack("H", "count")
    if count > limits.MAX_PAIRS:
        raise LimitError(f"chunk {what}: {count} pairs, at most {limits.MAX_PAIRS}", offset)
    pairs = tuple((f.text("key"), f.text("value")) for _ in range(count))
    f.end()
    return pairs


def pack_stream(s: StreamInfo) -> bytes:
    """Payload of strm."""
    head = struct.pack(
        "<HBBIIIHH",
        s.id,
        s.kind,
        0,
        s.time_base.num,
        s.time_base.den,
        s.sample_rate,
        s.channels,
        s.disposition,
    )
    texts = pack_text(s.codec) + pack_text(s.layout) + pack_text(s.language)
    payload = head + texts + struct.pack("<I", len(s.extradata)) + s.extradata
    unpack_stream(payload)
    return payload


def unpack_stream(payload: bytes, offset: int | None = None) -> StreamInfo:
    """Read strm."""
    f = Fields(payload, "chunk strm", offset)
    ident, kind, reserved, num, den, rate, channels, disposition = f.unpack("HBBIIIHH", "stream")
    codec, layout, language = f.text("codec"), f.text("layout"), f.text("language")
    (size,) = f.unpack("I", "extradata")
    extra = f.take(size, "extradata")
    f.end()
    if kind > 2 or reserved or not num or not den or not codec:
        raise f.fail(f"stream {ident}: kind {kind} (0 to 2), time base {num}/{den} or codec {codec!r} is impossible")
    return StreamInfo(ident, kind, Ratio(num, den), codec, rate, channels, layout, language, disposition, extra)


_PACKET = "qqIIB"


def pack_packets(stream: int, packets: Sequence[Packet]) -> bytes:
    """Payload of pkts: a table of the packets, then their data."""
    table = b"".join(struct.pack("<" + _PACKET, p.pts, p.dts, p.duration, len(p.data), p.key) for p in packets)
    return struct.pack("<HHI", stream, 0, len(packets)) + table + b"".join(p.data for p in packets)


def unpack_packets(payload: bytes, offset: int | None = None) -> tuple[int, list[Packet]]:
    """Read pkts. Returns stream id and packets."""
    f = Fields(payload, "chunk pkts", offset)
    stream, reserved, count = f.unpack("HHI", "head")
    rows = list(struct.iter_unpack("<" + _PACKET, f.take(count * struct.calcsize("<" + _PACKET), "table")))
    if reserved or any(row[4] > 1 for row in rows):
        raise f.fail("reserved field or packet flag is set")
    packets = [Packet(pts, dts, length, f.take(size, "data"), bool(key)) for pts, dts, length, size, key in rows]
    f.end()
    return stream, packets
