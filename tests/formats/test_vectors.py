"""Both readers over all conformance vectors."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import read_dfc
import vector_zstd
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vectors import ALL, FAULTY, FORMATS, GOOD, SPEC, VECTORS, read_vector

from dfccodec.codec import fill
from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.codec.fill.direct import direct_motion
from dfccodec.codec.fill.generate import payload as motion_latents
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.predict.order import read_motion as read_kept_motion
from dfccodec.container.chunks import KNOWN, Chunk, Damage
from dfccodec.container.reader import ClipAt, Packets, Preamble, StreamReader
from dfccodec.container.records import Clip, Coding, Fill, Ratio, StreamInfo
from dfccodec.edit.verify import verify
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.motion_tools import decisions
from dfccodec.entropy.predicted import decode_detail, divide
from dfccodec.errors import DamagedError, DfcError, LimitError, NotDfcError, UnsupportedError


def class_of(error: DfcError) -> str:
    for kind, label in ((NotDfcError, "not-dfc"), (UnsupportedError, "unsupported"), (LimitError, "limit")):
        if isinstance(error, kind):
            return label
    assert isinstance(error, DamagedError), error
    return "damaged"


def independent_verdict(data: bytes) -> str:
    """Class of error by the independent reader, "good" for none."""
    try:
        read_dfc.read(data)
    except read_dfc.Refused as error:
        return str(error.args[1])
    except (ValueError, RecursionError, zstandard.ZstdError):
        return "damaged"
    return "good"


def dfccodec_verdict(data: bytes) -> str:
    """Class of the first error by dfccodec as a strict reader, "good" for none."""
    try:
        reader = StreamReader(io.BytesIO(data))
        for item in reader:
            if isinstance(item, Damage):
                return item.kind
            if isinstance(item, ClipAt):
                fill.policy(item.clip.fill).check(item.clip, reader.preamble.header)
                decode_latents(item.clip, reader.preamble.header)
        faults = verify(io.BytesIO(data)).faults
    except DfcError as error:
        return class_of(error)
    return faults[0].kind if faults else "good"


def pair(ratio: Ratio) -> list[int]:
    return [ratio.num, ratio.den]


def read_with_dfccodec(data: bytes) -> dict[str, Any]:
    """What dfccodec reads, in the form of the JSON of the vectors."""
    reader = StreamReader(io.BytesIO(data))
    h, model = reader.preamble.header, reader.preamble.model
    plain = ("version", "needs", "width", "height", "patch", "clip_frames", "channels", "tile", "overlap", "rotation")
    out: dict[str, Any] = {
        "header": {name: getattr(h, name) for name in plain}
        | {name: pair(getattr(h, name)) for name in ("rate", "time_base", "pixel_aspect")}
        | {"grid": list(h.grid), "colour": dict(h.colour.__dict__)}
        | {"tile_starts": [h.tile_starts(side) if h.tile else [0] for side in (h.height, h.width)]},
        "model": {"name": model.name, "fingerprint": model.fingerprint.hex(), "config": model.config},
        "steps": reader.preamble.steps.tolist(),
        "tool": [list(p) for p in reader.preamble.tool],
        "tags": [list(p) for p in reader.preamble.tags],
        **{name: [] for name in ("streams", "packets", "unknown", "clips")},
    }
    for item in reader:
        assert not isinstance(item, Damage), item
        if isinstance(item, ClipAt):
            out["clips"].append(dfccodec_clip(item, reader))
        elif isinstance(item, StreamInfo):
            changed = {"time_base": pair(item.time_base), "extradata": item.extradata.hex()}
            out["streams"].append({**item.__dict__, **changed})
        elif isinstance(item, Packets):
            out["packets"] += [{"stream": item.stream, **p.__dict__, "data": p.data.hex()} for p in item.packets]
        elif isinstance(item, Chunk) and item.type not in KNOWN:
            out["unknown"].append(item.type.decode())
    verdict = verify(io.BytesIO(data))
    assert verdict.faults == []
    counts = {name: getattr(verdict, name) for name in ("clips", "frames", "kept")}
    return {**out, "totals": {**counts, "latent_hash": verdict.latent_hash.hex(), "bytes": len(data)}}


def dfccodec_clip(at: ClipAt, reader: StreamReader) -> dict[str, Any]:
    clip = at.clip
    values = decode_latents(clip, reader.preamble.header)
    latents, predicted = dequantized(clip, values, reader.preamble), predicted_fields(clip, reader.preamble)
    each = clip.durations if len(clip.durations) == clip.frames else clip.durations * clip.frames
    moved: dict[str, object] = {}
    if clip.fill in (Fill.MOTION, Fill.BLEND, Fill.DIRECT):
        blocks = payload.read_clip(clip, reader.preamble.header).blocks
        raw = blocks.astype("<i2").tobytes() if decisions(clip) else b""
        moved["motion_sha256"] = hashlib.sha256(raw).hexdigest()
        direct = direct_motion(clip, reader.preamble.header)
        if clip.fill == Fill.DIRECT and direct is not None:
            moved["direct_sha256"] = direct_sha256(direct, clip, [References.of(clip.kept)], blocks.shape[1:3])
    if clip.fill == Fill.GENERATE:
        moved = {"waves": 1, "motion_step": 0, "motion_sha256": hashlib.sha256(b"").hexdigest()}
        if (found := motion_latents.read(clip.fill_payload, int(clip.kept.sum()), reader.preamble.header)) is not None:
            raw = found.values.astype("<i2").tobytes()
            moved = {
                "waves": found.values.shape[-1] // 4,
                "motion_step": found.step,
                "motion_sha256": hashlib.sha256(raw).hexdigest(),
            }
    return {
        **moved,
        **predicted,
        "offset": at.offset,
        "size": at.size,
        "first_frame": clip.first_frame,
        "frames": clip.frames,
        "kept": np.flatnonzero(clip.kept).tolist(),
        "importance": clip.importance.tolist(),
        "qp": clip.qp,
        "fill": Fill(clip.fill).name.lower(),
        "coding": Coding(clip.coding).name.lower(),
        "planes": clip.planes,
        "timestamps": clip.timestamps,
        "end": clip.first_pts + sum(each),
        "integers_sha256": hashlib.sha256(values.astype("<i2").tobytes()).hexdigest(),
        "latents_sha256": hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest(),
    }


def dequantized(clip: Clip, values: np.ndarray, preamble: Preamble) -> np.ndarray:
    if clip.coding != Coding.PREDICTED or not clip.kept.any():
        return dequantize(values, preamble.steps, clip.qp)
    qps = divide(clip).types.qp[np.argsort(clip.coding_order)]
    rows = [dequantize(row, preamble.steps, int(qp)) for row, qp in zip(values, qps, strict=True)]
    return np.stack(rows)


def predicted_fields(clip: Clip, preamble: Preamble) -> dict[str, Any]:
    if clip.coding != Coding.PREDICTED or not clip.kept.any():
        return {}
    parts, field = divide(clip), read_kept_motion(clip, preamble.header)
    raw = field.blocks.astype("<i2").tobytes() if parts.motion else b""
    found = [detail for detail in parts.details if detail is not None]
    details = b"".join(decode_detail(detail, preamble.header).astype("<i2").tobytes() for detail in found)
    detail_qps = [None if detail is None else detail.qp for detail in parts.details]
    direct = direct_motion(clip, preamble.header)
    both, grid = [field.references, References.of(clip.kept)], field.blocks.shape[1:3]
    moved = {} if direct is None else {"direct_sha256": direct_sha256(direct, clip, both, grid)}
    return {
        **moved,
        "kept_motion_sha256": hashlib.sha256(raw).hexdigest(),
        "detail_qps": [detail_qps[place] for place in np.argsort(clip.coding_order)],
        "details_sha256": hashlib.sha256(details).hexdigest(),
        "qps": parts.types.qp[np.argsort(clip.coding_order)].tolist(),
        "predicted": field.references.dropped.tolist(),
    }


def direct_sha256(direct: DirectMotion, clip: Clip, moving: list[References], grid: tuple[int, ...]) -> str:
    ends, out = {}, hashlib.sha256()
    for references in moving:
        sides = zip(references.past.tolist(), references.future.tolist(), strict=True)
        ends |= dict(zip(references.dropped.tolist(), sides, strict=True))
    for frame in sorted(ends):
        found = direct.vectors(frame, *ends[frame])
        out.update((np.zeros((*grid, 2, 2), "<i2") if found is None else found.astype("<i2")).tobytes())
    return out.hexdigest()


@pytest.mark.parametrize("name", GOOD)
def test_both_readers_find_what_was_put_in(name: str) -> None:
    data, expected = read_vector(name)
    expected.pop("note")
    assert read_dfc.read(data) == expected
    assert read_with_dfccodec(data) == expected


@pytest.mark.parametrize("name", FAULTY)
def test_independent_reader_refuses_with_the_class(name: str) -> None:
    data, expected = read_vector(name)
    assert independent_verdict(data) == expected["error"]


@pytest.mark.parametrize("name", FAULTY)
def test_dfccodec_refuses_with_the_class(name: str) -> None:
    data, expected = read_vector(name)
    assert dfccodec_verdict(data) == expected["error"]


@pytest.mark.parametrize("judge", [dfccodec_verdict, independent_verdict])
def test_no_fault_costs_a_second(judge: Callable[[bytes], str]) -> None:
    slow = {}
    for name in FAULTY:
        data, _ = read_vector(name)
        start = time.process_time()  # of this process: other work on the machine does not count
        judge(data)
        slow[name] = time.process_time() - start
    assert max(slow.values()) < 1, max(slow, key=lambda name: slow[name])


def test_regenerating_gives_the_same_bytes(tmp_path: Path) -> None:
    spec = tmp_path / "SPEC.md"
    spec.write_text(
        re.sub(r"(<!-- dissection: \S+ -->\n).*?(?=<!-- end -->)", r"\1", SPEC, flags=re.S), encoding="utf-8"
    )
    script = [sys.executable, str(FORMATS / "make_vectors.py"), "--out", str(tmp_path / "v"), "--spec", str(spec)]
    subprocess.run(script, check=True, capture_output=True)
    kinds = (".dfc", ".json", ".md")
    want = {str(p.relative_to(VECTORS)): p.read_bytes() for p in VECTORS.rglob("*") if p.suffix in kinds}
    made = {str(p.relative_to(tmp_path / "v")): p.read_bytes() for p in (tmp_path / "v").rglob("*") if p.is_file()}
    assert sorted(made) == sorted(want)
    assert [name for name in want if made[name] != want[name]] == []
    assert spec.read_text(encoding="utf-8") == SPEC


def test_there_are_enough_and_they_are_small() -> None:
    assert len(GOOD) >= 40
    assert len(FAULTY) >= 100
    assert max((VECTORS / f"{name}.dfc").stat().st_size for name in ALL) < 6000
    assert {read_vector(name)[1]["error"] for name in FAULTY} == {"not-dfc", "unsupported", "damaged", "limit"}


def test_stored_zstd_frames_hold_what_they_stand_for() -> None:
    raw = b"".join(p.data for p in vector_zstd.compressed().raw())
    assert zstandard.ZstdDecompressor().decompress(vector_zstd.COMPRESSED) == raw
    assert zstandard.ZstdDecompressor().decompress(vector_zstd.CHECKSUMMED) == raw
    assert zstandard.get_frame_parameters(vector_zstd.CHECKSUMMED).has_checksum


MUTABLE = [
    read_vector(f"valid/{name}")[0]
    for name in (
        "sound-and-tags",
        "dropped-frames",
        "odd-size",
        "step-per-channel",
        "range-frames",
        "range-and-zstd",
        "fill-motion",
        "motion-square",
    )
]


def chunk_places(data: bytes) -> list[tuple[int, int]]:
    """First byte and byte after the last of each payload."""
    out, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        out.append((place + 8, place + 8 + length))
        place += length + 12
    return out


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(MUTABLE), st.data())
def test_readers_agree_on_changed_fields(data: bytes, draw: st.DataObject) -> None:
    """One byte of a field is another, checksum right: both readers accept or both refuse."""
    start, end = draw.draw(st.sampled_from(chunk_places(data)))
    changed = bytearray(data)
    changed[draw.draw(st.integers(start, end - 1))] = draw.draw(st.integers(0, 255))
    length = int.from_bytes(data[start - 4 : start], "little")
    crc = zlib.crc32(changed[start - 8 : start - 4] + changed[start : start + length])
    changed[start + length : start + length + 4] = crc.to_bytes(4, "little")
    found = [judge(bytes(changed)).replace("limit", "damaged") for judge in (dfccodec_verdict, independent_verdict)]
    assert found[0] == found[1]


@settings(max_examples=200)
@given(st.sampled_from(MUTABLE), st.integers(0, 1 << 20), st.integers(1, 255))
def test_no_reader_accepts_a_flipped_byte(data: bytes, place: int, mask: int) -> None:
    changed = bytearray(data)
    changed[place % len(data)] ^= mask
    assert dfccodec_verdict(bytes(changed)) != "good"
    assert independent_verdict(bytes(changed)) != "good"


def test_the_independent_reader_stands_alone() -> None:
    allowed = {"read_dfc.py": {"numpy", "zstandard", "read_range"}, "read_range.py": set()}
    allowed["read_direct.py"] = {"read_motion"}
    allowed["read_dfc.py"] |= {"read_direct", "read_motion", "read_inter", "read_generate", "read_predicted"}
    allowed["read_dfc.py"] |= {"read_mixed_integers", "read_mixed_motion"}
    allowed["read_mixing.py"] = {"numpy", "zstandard", "read_range"}
    allowed["read_mixed_integers.py"] = {"numpy", "read_mixing"}
    allowed["read_mixed_motion.py"] = {"read_mixing", "read_motion"}
    allowed["read_predicted.py"] = {"read_motion"}
    allowed["read_generate.py"] = {"numpy", "read_range"}
    allowed["read_motion.py"] = {"read_range"}
    allowed["read_inter.py"] = {"numpy", "read_range", "read_motion"}
    sizes = {
        "read_predicted.py": 50,
        "read_direct.py": 90,
        "read_dfc.py": 290,
        "read_mixing.py": 260,
        "read_mixed_integers.py": 220,
        "read_mixed_motion.py": 250,
        "read_range.py": 170,
        "read_motion.py": 170,
        "read_inter.py": 110,
        "read_generate.py": 40,
    }
    for name, most in sizes.items():
        text = (FORMATS / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) < most
        names = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
        assert names <= sys.stdlib_module_names | allowed[name]


def test_the_independent_reader_as_a_program() -> None:
    script = [sys.executable, str(FORMATS / "read_dfc.py")]
    good = subprocess.run([*script, str(VECTORS / "valid/smallest.dfc")], capture_output=True, text=True, check=True)
    assert json.loads(good.stdout)["totals"]["frames"] == 1
    bad = subprocess.run(
        [*script, str(VECTORS / "faulty/head-needs-2.dfc")], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert bad.stderr.startswith("unsupported: ")


def test_the_readmes_name_every_file() -> None:
    text = (FORMATS / "README.md").read_text(encoding="utf-8")
    assert [
        p.name for p in FORMATS.iterdir() if p.is_file() and p.name != "README.md" and f"`{p.name}`" not in text
    ] == []
    listed = (VECTORS / "README.md").read_text(encoding="utf-8")
    assert [name for name in ALL if f"| {name}.dfc |" not in listed] == []
