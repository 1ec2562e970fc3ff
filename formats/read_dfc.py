"""An independent strict reader of `.dfc`, written from SPEC.md alone: `python read_dfc.py FILE` prints JSON."""

import io
import json
import re
import struct
import sys
import zlib
from decimal import Decimal
from hashlib import sha256
from itertools import accumulate
from typing import Any

import numpy as np
import zstandard
from read_direct import direct_sha256, motion_of_cells
from read_generate import read_generate
from read_inter import InterDecoder
from read_mixed_integers import read_mixed_integers
from read_mixed_motion import read_mixed_motion
from read_motion import Block, Place, Sides, digest, read_decisions, sides_of_dropped
from read_predicted import divide
from read_range import LatentDecoder, RansDecoder

KNOWN = ("HEAD", "MODL", "STEP", "tool", "tags", "CLIP", "strm", "pkts", "indx", "foot")
HEAD = "version:B needs:B flags:H width:H height:H patch:B clip_frames:B channels:H tile:H overlap:H rate:2I "
HEAD += "time_base:2I pixel_aspect:2I rotation:B range:B primaries:B transfer:B matrix:B bits:B reserved:H"
CLIP = "first_frame:I frames:B qp:B fill:B coding:B pts:q timing:B planes:B reserved:H payload:I size:I"
FILLS = ("token", "hold", "lerp", "motion", "blend", "generate", "direct")
STRM = "id:H kind:B reserved:B time_base:2I sample_rate:I channels:H disposition:H"
Record = dict[str, Any]
Vectors = list[list[tuple[int, int]]]


class Refused(Exception):
    """The file is refused. Arguments: the message, and the class of error (SPEC.md 2.1)."""


def need(fine: bool, message: str, kind: str = "damaged") -> None:
    if not fine:
        raise Refused(message, kind)


class Cursor(io.BytesIO):  # reads the fields of a payload, never past its end (SPEC.md 1)
    def take(self, count: int) -> bytes:
        data = self.read(count)
        need(len(data) == count, "a payload ends inside a field")
        return data

    def get(self, layout: str) -> Any:
        values = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
        return values[0] if len(values) == 1 else list(values)

    def fields(self, spec: str) -> Record:
        return {name: self.get(layout) for name, layout in (field.split(":") for field in spec.split())}

    def text(self) -> str:
        return self.take(self.get("H")).decode("utf-8")


def chunks(data: bytes) -> Any:
    """Yield type, offset, size and payload of each chunk (SPEC.md 3)."""
    need(data[:8] == b"\xdfDFC\r\n\x1a\n", "no signature", "not-dfc")
    place, name = 8, ""
    while place < len(data):
        need(name != "foot", "bytes after the footer")
        kind, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        need(kind.isalpha() and len(data) - place >= 12, f"no whole chunk with a type of four letters at {place}")
        need(length <= 1 << 28 and place + 12 + length <= len(data), f"{kind!r} of {length} bytes does not fit")
        payload, (crc,) = data[place + 8 : place + 8 + length], struct.unpack_from("<I", data, place + 8 + length)
        name, cursor = kind.decode("ascii"), Cursor(payload)
        need(zlib.crc32(kind + payload) == crc, f"checksum of {name}")
        need(name in KNOWN or name[0].islower(), f"critical chunk {name} is unknown", "unsupported")
        yield name, place, length + 12, cursor
        need(name not in KNOWN or not cursor.read(1), f"{name}: bytes that no field claims")
        place += 12 + length


def read_head(c: Cursor) -> Record:
    need(c.getvalue()[1:2] <= b"\1", "needs a newer version", "unsupported")
    h = c.fields(HEAD)
    need(1 <= h["needs"] <= h["version"], "impossible version")
    need(not h.pop("flags") and not h.pop("reserved"), "unknown header flags", "unsupported")
    patch, tile, overlap, sides = h["patch"], h["tile"], h["overlap"], (h["height"], h["width"])
    need(min(sides) > 0 and 1 <= h["clip_frames"] <= 64 and 1 <= h["channels"] <= 1024, "size, clip_frames, channels")
    need((area := max(sides[0] * sides[1], tile**2)) <= 1 << 27 and area * h["clip_frames"] <= 1 << 31, "area", "limit")
    need(patch in (1, 2, 4, 8, 16, 32, 64) and not (tile | overlap) % patch and overlap <= tile // 2, "patch or tile")
    need(h["rotation"] <= 3 and h["range"] <= 2 and 0 not in h["rate"][1:] + h["time_base"] + h["pixel_aspect"], "head")
    cells = [-(-side // patch) for side in sides]
    h["grid"], h["tile_starts"] = [1, *cells], [[0], [0]]
    if tile:
        count = [1 + -(-(max(n * patch, tile) - tile) // (tile - overlap)) for n in cells]
        h["grid"] = [count[0] * count[1], tile // patch, tile // patch]
        last = [max(n * patch, tile) - tile for n in cells]
        h["tile_starts"] = [[min(i * (tile - overlap), e) for i in range(n)] for n, e in zip(count, last, strict=True)]
    need(int(np.prod(h["grid"])) * h["channels"] <= 1 << 28, "too many integers in a frame", "limit")
    h["colour"] = {name: h.pop(name) for name in ("range", "primaries", "transfer", "matrix", "bits")}
    return h


def read_integers(
    data: bytes, kept: int, head: Record, planes: int, coding: int, vectors: Vectors | None = None
) -> np.ndarray:
    """Integers (SPEC.md 7); in coding 2 `vectors`, a list, gets those of each kept frame."""
    channels, plain, cells = head["channels"], b"", int(np.prod(head["grid"]))
    raw = kept * channels * (2 * cells if coding else 1 + planes * cells)
    need(raw == 0 or data != b"", "latents: no byte for a kept frame")
    need(raw <= 32768 * len(data), f"{raw} bytes claimed from {len(data)}", "limit")
    if coding:
        need(planes == 1 and not len(data) % 4 and (any(data[-4:]) if kept else not data), "latents: planes or words")
        need(coding == 1 or (head["patch"], channels) == (16, 96), "latents: a coding of another grid")
        if not kept:
            return np.zeros((0, *head["grid"], channels), np.int16)
        decoder = (LatentDecoder, InterDecoder)[coding - 1](RansDecoder(data), kept, head["grid"], channels)
        if vectors is not None and isinstance(decoder, InterDecoder):
            vectors += decoder.vectors
        return np.array(decoder.v, np.int16).reshape(kept, *head["grid"], channels)
    if kept:
        frame = zstandard.get_frame_parameters(data)
        need(data[:4] == b"\x28\xb5\x2f\xfd" and frame.content_size == raw and not frame.dict_id, "zstd: header")
        need(frame.window_size <= max(1 << 27, raw), "zstd: window", "limit")
        plain = zstandard.ZstdDecompressor().decompress(data, raw, allow_extra_data=False)
    need(len(plain) == raw and (kept > 0 or not data), "latents: not the size declared, or of no frame")
    filters, u = plain[: channels * kept], np.frombuffer(plain, np.uint8)[channels * kept :].astype(np.uint16)
    u = u if planes == 1 else u[: u.size // 2] + (u[u.size // 2 :] << 8)
    v = ((u >> 1) ^ (0 - (u & 1))).reshape(channels, kept, *head["grid"])
    for c, k in np.ndindex(channels, kept):
        need((kind := filters[c * kept + k]) <= 3, f"filter {kind}")
        v[c, k] += v[c, k - 1] if kind == 1 and k else np.uint16(0)
        if kind >= 2:  # LEFT along columns, UP along rows
            np.add.accumulate(v[c, k], axis=4 - kind, out=v[c, k])
    return np.moveaxis(v, 0, -1).view(np.int16)


def read_clip(c: Cursor, head: Record, steps: list[float], before: Record) -> tuple[Record, bytes]:
    first, frames, qp, fill, coding, pts, timing, planes, reserved, payload, size = c.fields(CLIP).values()
    clip: Record = {"first_frame": first, "frames": frames, "qp": qp, "planes": planes}
    fine = 1 <= frames <= head["clip_frames"] and qp <= 63 and timing <= 1 and planes in (1, 2) and not reserved
    need(fine and (fill > 2 or not payload), "CLIP: a field is out of range")
    bitmap = int.from_bytes(c.take((frames + 7) // 8), "little")
    kept, clip["importance"] = [t for t in range(frames) if bitmap >> t & 1], list(c.take(frames))
    durations = [c.get("I") for _ in range(frames)] if timing else [c.get("I")] * frames
    *clip["timestamps"], clip["end"] = accumulate(durations, initial=pts)
    need(bitmap >> frames == 0 and clip["end"] < 1 << 63, "CLIP: kept bits or timestamps beyond the end")
    need(first == before["first_frame"] + before["frames"] and pts >= before["timestamps"][-1], "CLIP: frames or time")
    need(len(kept) * int(np.prod(head["grid"])) * head["channels"] <= 1 << 28, "too many integers in a clip", "limit")
    need(fill < 7 and coding < 4, "fill policy or coding is unknown", "unsupported")
    need(c.tell() + payload + size == len(c.getbuffer()), "CLIP: sizes")  # before the work of decoding
    filled, data = c.take(payload), c.take(size)
    motion: Record = {}
    dropped, tools = sides_of_dropped(frames, kept), filled[0] if fill == 6 and filled else 0
    need(tools & ~30 == 0, "fill payload: unknown tools", "unsupported")
    need(fill != 6 or bool(filled) == bool(kept), "fill payload: no tools, or no kept frame")
    need(not tools & 8 or (coding == 2 and not head["tile"]), "fill payload: direct motion without vectors")
    mixed = bool((tools or (data[0] if coding == 3 and kept and data else 0)) & 16)
    if fill in (3, 4, 6):
        moving = filled[fill == 6 :]
        known = read_mixed(moving, dropped, head, 3) if mixed else read_decisions(moving, dropped, head, need)
        motion = {"motion_sha256": digest(known)}
    motion |= read_generate(filled, len(kept), head, need) if fill == 5 else {}
    qps, blocks = [qp] * len(kept), (-(-head["height"] // 8), -(-head["width"] // 8))
    need(coding < 3 or (fill == 4 and not head["tile"]), "CLIP: coding 3 needs fill policy 4 and no tiles")
    if coding == 3 and kept:
        need((head["patch"], head["channels"]) == (16, 96), "latents: coding 3 of another grid")
        parts = divide(data, kept, clip["importance"], need)
        qps, intra, streams = parts["qps"], parts["intra"], parts["streams"]
        counts = len(intra), len(kept) - len(intra)
        rows, columns = head["grid"][1:]
        if mixed:
            need(planes == 1, "latents: planes")
            found = [
                read_mixed_integers(s, n, rows, columns, i, need)
                for i, s, n in zip((0, 1), streams, counts, strict=True)
            ]
            read = [integers.reshape(-1, *head["grid"], 96) for integers in found]
        else:
            read = [read_integers(s, n, head, planes, 1 if n else 3) for s, n in zip(streams, counts, strict=True)]
        where = [parts["order"][i] for i in intra] + [o for i, o in enumerate(parts["order"]) if i not in intra]
        integers = np.concatenate(read)[np.argsort(where)]
        need(bool(parts["sides"]) or not parts["motion"], "latents: motion of no predicted frame")
        moving, sides = parts["motion"], parts["sides"]
        known = read_mixed(moving, sides, head, 2) if mixed else read_decisions(moving, sides, head, need)
        clip["kept_motion_sha256"] = digest(known)
        if parts["direct"]:
            order = [kept[i] for i in parts["order"]]
            clip["direct_sha256"] = direct_sha256(known, order, parts["sides"], dropped, blocks)
        clip["qps"], clip["predicted"], clip["detail_qps"] = qps, sorted(parts["sides"]), parts["detail_qps"]
        tiles, rows, columns = head["grid"]
        fine = head | {"grid": (tiles, 2 * rows, 2 * columns), "channels": 192}
        details = sha256()
        for stream in parts["details"]:
            if mixed:
                values = read_mixed_integers(stream, 1, 2 * rows, 2 * columns, 4, need)
            else:
                values = read_integers(stream, 1, fine, 1, 1)
            details.update(values.astype("<i2").tobytes())
        clip["details_sha256"] = details.hexdigest()
    else:
        vectors: Vectors = []
        integers = read_integers(data, len(kept), head, planes, coding, vectors)
        if tools & 8:
            moved = motion_of_cells(vectors, kept, head["grid"][2], 4 if tools & 6 == 6 else 2, blocks)
            clip["direct_sha256"] = direct_sha256(moved[0], kept, moved[1], dropped, blocks, coding)
    clip["coding"] = ("zstd", "range", "inter", "predicted")[coding]
    step = [np.array(steps) * (float(Decimal(2) ** (Decimal(q % 8) / 8)) * 2.0 ** (q // 8)) for q in qps]  # SPEC.md 6.2
    scaled = integers.astype(np.float64) * np.reshape(step, (-1, 1, 1, 1, head["channels"]))
    raw, latents = integers.astype("<i2").tobytes(), scaled.astype("<f4").tobytes()
    hashes = {"integers_sha256": sha256(raw).hexdigest(), "latents_sha256": sha256(latents).hexdigest()}
    return {**clip, **hashes, **motion, "kept": kept, "fill": FILLS[fill]}, raw


def read_mixed(data: bytes, sides: Sides, head: Record, content: int) -> dict[Place, Block]:
    return read_mixed_motion(data, sides, -(-head["height"] // 8), -(-head["width"] // 8), content, need)


def is_object(text: str) -> bool:
    """Whether the text is a JSON object (RFC 8259): no NaN, which Python accepts, and numbers of any length."""
    bare = re.sub(r'"[^"]*"?', "", re.sub(r"\\.", "", text, flags=re.DOTALL))  # no escapes, then no strings
    deep = max(accumulate((mark in "[{") - (mark in "]}") for mark in bare), default=0)
    constants = re.search(r"NaN|Infinity", bare)
    return deep <= 100 and not constants and isinstance(json.loads(text, parse_int=str), dict)


def read_small(name: str, c: Cursor, out: Record) -> None:
    if name == "HEAD":
        out["header"] = read_head(c)
    elif name == "MODL":
        out["model"] = {"name": c.text(), "fingerprint": c.take(32).hex(), "config": c.text()}
        need(out["model"]["name"] != "" and is_object(out["model"]["config"]), "MODL: no name or no JSON object")
    elif name == "STEP":
        channels, count = out["header"]["channels"], c.get("H")
        need(count in (1, channels), f"{count} steps")
        out["steps"] = [c.get("f") for _ in range(count)] * (channels // count)
        need(all(2.0**-126 <= s < float("inf") for s in out["steps"]), "a step is not a positive normal number")
    elif name in ("tool", "tags"):
        need((count := c.get("H")) <= 1024, f"{count} pairs", "limit")
        out[name] = [[c.text(), c.text()] for _ in range(count)]
    elif name == "strm":
        s = c.fields(STRM) | {name: c.text() for name in ("codec", "layout", "language")}
        need(s["kind"] <= 2 and not s.pop("reserved") and min(s["time_base"]) > 0 and s["codec"] != "", "strm: a field")
        need(s["id"] not in [other["id"] for other in out["streams"]], "strm: declared twice")
        need(len(out["streams"]) < 64, "more than 64 streams", "limit")
        out["streams"].append(s | {"extradata": c.take(c.get("I")).hex()})
    elif name == "pkts":
        stream, reserved, count = c.get("HHI")
        need(stream in [s["id"] for s in out["streams"]] and not reserved, "pkts: not declared, or reserved is set")
        for pts, dts, duration, size, key in list(struct.iter_unpack("<qqIIB", c.take(25 * count))):
            need(key <= 1, "pkts: key")
            row = {"stream": stream, "pts": pts, "dts": dts, "duration": duration, "key": bool(key)}
            out["packets"].append(row | {"data": c.take(size).hex()})
    else:
        out["unknown"].append(name)


def read(data: bytes) -> Record:
    """Decode a file. Raises Refused, or an error of UTF-8, JSON or zstd, which also means "damaged"."""
    out: Record = {name: [] for name in ("tool", "tags", "streams", "packets", "unknown", "clips")}
    digest, rows, seen = sha256(), b"", {"": 0}  # seen: chunk type -> its last offset
    before: Record = {"first_frame": 0, "frames": 0, "timestamps": [-(1 << 63)]}
    for name, at, size, c in chunks(data):
        need((name == "HEAD") == (len(seen) == 1) and (name == "foot") == ("indx" in seen), f"{name} is out of place")
        need(name not in KNOWN[:5] or not {name, *KNOWN[5:]} & {*seen}, f"{name} is too late")
        need(name not in KNOWN[5:] or {"HEAD", "MODL", "STEP"} <= {*seen}, "MODL or STEP is missing")
        if name == "CLIP":
            before, raw = read_clip(c, out["header"], out["steps"], before)
            first, stamp, count, some = (before[x] for x in ("first_frame", "timestamps", "frames", "kept"))
            rows += struct.pack("<QIIqBBH", at, size, first, stamp[0], count, len(some), 0)
            digest.update(raw)
            out["clips"].append({"offset": at, "size": size, **before})
        elif name == "indx":
            all_kept = sum(len(clip["kept"]) for clip in out["clips"])
            n = {"clips": len(out["clips"]), "frames": before["first_frame"] + before["frames"], "kept": all_kept}
            need(c.read() == struct.pack("<IQQ", *n.values()) + digest.digest() + rows, "index: not of these clips")
            out["totals"] = n | {"latent_hash": digest.hexdigest(), "bytes": len(data)}
        elif name == "foot":
            need(c.get("Q") == seen["indx"], "the footer does not name the index")
        else:
            read_small(name, c, out)
        seen[name] = at
    need("foot" in seen, "the file ends without its footer")
    return out


if __name__ == "__main__":
    try:
        print(json.dumps(read(np.fromfile(sys.argv[1], np.uint8).tobytes()), indent=1))
    except (Refused, ValueError, RecursionError, zstandard.ZstdError) as error:
        sys.exit(f"{error.args[1] if isinstance(error, Refused) else 'damaged'}: {error}")
