"""Hostile files: large declared sizes are rejected quickly in little memory, and escape sequences are escaped."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import time
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path

import mutate
import numpy as np
import pytest
import zstandard
from support import flat_model

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.codec.clip.decode import check_memory
from dfccodec.codec.clip.frame_buffer import NETWORK_BYTES, OUTPUT_BYTES
from dfccodec.codec.decoder import Decoder
from dfccodec.container import pack
from dfccodec.container.records import Clip, Header, ModelId, Ratio, StreamInfo
from dfccodec.container.scan import scan
from dfccodec.container.writer import Writer
from dfccodec.errors import DfcError, LimitError

HEADER = Header(16, 16, Ratio(25, 1), Ratio(1, 25), channels=3)


def clip(frames: int = 2, kept: int = 0, **more: object) -> Clip:
    fields: dict[str, object] = {
        "first_frame": 0, "kept": np.arange(frames) < kept, "importance": np.zeros(frames, np.uint8), "qp": 24,
        "first_pts": 0, "durations": (1,), "latents": b"",
    }  # fmt: skip
    return Clip(**{**fields, **more})  # type: ignore[arg-type]


def base_chunks(header: Header = HEADER) -> mutate.Chunks:
    """Return the chunks of a valid file: one clip of two dropped frames."""
    out = io.BytesIO()
    writer = Writer(out, header, ModelId("flat", bytes(32)), np.ones(header.channels, np.float32))
    writer.write_clip(clip(), np.zeros((0, *header.grid, header.channels), np.int16))
    writer.finish()
    return mutate.split(out.getvalue())


def replace_payload(kind: bytes, payload: bytes) -> bytes:
    """Return the base file with the payload of one chunk replaced."""
    return mutate.join([(k, payload if k == kind else p) for k, p in base_chunks()])


def insert_chunk(kind: bytes, payload: bytes) -> bytes:
    """Return the base file with another chunk before the clip."""
    found = base_chunks()
    return mutate.join([*found[:3], (kind, payload), *found[3:]])


def with_header_fields(*, tile: int = 0, **sizes: int) -> bytes:
    """Return the base file with HEAD fields that no writer produces."""
    h = HEADER
    width, height, frames = (
        sizes.get(name, default) for name, default in (("width", 16), ("height", 16), ("frames", 32))
    )
    patch = 64 if tile else h.patch
    payload = struct.pack("<BBHHHBBHHH", 1, 1, 0, width, height, patch, frames, h.channels, tile, 0)
    return replace_payload(b"HEAD", payload + base_chunks()[0][1][len(payload) :])


def large_picture(coding: int, latents: bytes, planes: int = 1) -> bytes:
    """Return a file with a 16 384 × 4096 picture in patches of one pixel. Its clip declares 2^28 integers."""
    header = Header(16384, 4096, Ratio(25, 1), Ratio(1, 25), patch=1, channels=1)
    found = [(b"HEAD", pack.pack_header(header)), *base_chunks()[1:]]
    payload = pack.pack_clip(clip(4, 4, latents=latents, coding=coding, planes=planes))
    return mutate.join(mutate.rebuild_index([(k, payload if k == b"CLIP" else p) for k, p in found]))


def zstd_frame(size: int, window: int | None = None) -> bytes:
    """Return a zstd frame that declares `size` bytes and a window of 2^window, but contains one block of zeros."""
    flags = 0xC0 | (0x20 if window is None else 0)
    extra = b"" if window is None else bytes([window - 10 << 3])
    block = (0b11 | 131072 << 3).to_bytes(3, "little") + b"\0"
    return struct.pack("<IB", 0xFD2FB528, flags) + extra + struct.pack("<Q", size) + block


def big_motion() -> bytes:
    """Return a file that declares motion for 64 dropped 8K frames in eight bytes."""
    header = Header(7680, 4320, Ratio(25, 1), Ratio(1, 25), channels=1, clip_frames=64)
    payload = pack.pack_clip(clip(64, 0, fill=3, fill_payload=b"\1" * 8))
    kept = bytearray(payload)
    found = [(b"HEAD", pack.pack_header(header)), *base_chunks()[1:]]
    return mutate.join(mutate.rebuild_index([(k, bytes(kept) if k == b"CLIP" else p) for k, p in found]))


BASE = base_chunks()
BASE_FILE = mutate.join(BASE)
CLIP_START = BASE_FILE[BASE_FILE.index(b"CLIP") :][:8]
INDEX = next(p for k, p in BASE if k == b"indx")
CLAIMS: dict[str, Callable[[], bytes]] = {
    "2^32 clips in the index": lambda: replace_payload(b"indx", struct.pack("<IQQ", 2**32 - 1, 2**32, 0) + INDEX[20:]),
    "2^32 frames in the index": lambda: replace_payload(b"indx", struct.pack("<IQQ", 1, 2**32, 0) + INDEX[20:]),
    "2^32 frames before the first clip": lambda: replace_payload(
        b"CLIP", struct.pack("<I", 2**32 - 2) + next(p for k, p in BASE if k == b"CLIP")[4:]
    ),
    "a chunk of 2^31 bytes": lambda: BASE_FILE.replace(CLIP_START, b"CLIP\0\0\0\x80"),
    "a chunk of 2^28 bytes": lambda: BASE_FILE.replace(CLIP_START, b"CLIP\0\0\0\x10"),
    "65535 × 65535 pixels": lambda: with_header_fields(width=65535, height=65535, frames=1),
    "2^27 pixels, 64 frames": lambda: with_header_fields(width=16384, height=8192, frames=64),
    "a tile of 65472 × 65472": lambda: with_header_fields(tile=65472, frames=1),
    "a tile of 8192, 64 frames": lambda: with_header_fields(tile=8192, frames=64),
    "a zstd frame of 2 GiB for two integers": lambda: replace_payload(
        b"CLIP", pack.pack_clip(clip(2, 2, latents=zstd_frame(1 << 31)))
    ),
    "2^28 integers by zstd": lambda: large_picture(0, zstd_frame(4 * (1 + (1 << 26)))),
    "2^28 integers by zstd in two planes": lambda: large_picture(0, zstd_frame(4 * (1 + (1 << 27))), 2),
    "2^28 integers by the range coder": lambda: large_picture(1, b"\1" * 64),
    "a zstd window of 2 GiB": lambda: replace_payload(b"CLIP", pack.pack_clip(clip(2, 2, latents=zstd_frame(12, 31)))),
    "motion of 64 frames of 8K": big_motion,
    "65535 tags": lambda: insert_chunk(b"tags", b"\xff\xff" + bytes(64)),
    "65535 steps": lambda: replace_payload(b"STEP", b"\xff\xff" + bytes(64)),
    "2^32 packets": lambda: insert_chunk(b"pkts", struct.pack("<HHI", 1, 0, 2**32 - 1) + bytes(64)),
    "a packet of 2^32 bytes": lambda: insert_chunk(
        b"pkts", struct.pack("<HHI", 1, 0, 1) + struct.pack("<qqIIB", 0, 0, 1, 2**32 - 1, 1)
    ),
    "extradata of 2^32 bytes": lambda: insert_chunk(
        b"strm", pack.pack_stream(StreamInfo(1, 0, Ratio(1, 1), "aac"))[:-4] + b"\xff" * 4
    ),
    "JSON nested 600 deep": lambda: replace_payload(
        b"MODL", b"\4\0flat" + bytes(32) + struct.pack("<H", 600) + b"[" * 600
    ),
}  # fmt: skip


def readers(data: bytes) -> dict[str, Callable[[], object]]:
    """Return every way to read a file; each one raises an error or reports a fault."""
    model = flat_model()
    return {
        "inspect": lambda: scan(io.BytesIO(data)),
        "open": lambda: [view.latents for view in dfc.open(data)],
        "verify": lambda: dfc.verify(io.BytesIO(data)).faults,
        "decode": lambda: list(Decoder(io.BytesIO(data), lambda _: model)),
        "conceal": lambda: list(Decoder(io.BytesIO(data), lambda _: model, conceal=True)),
        "trim": lambda: dfc.trim(io.BytesIO(data), io.BytesIO(), end=1),
    }


def attempt(read: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    try:
        found = read()
    except DfcError as error:
        found = error
    return time.process_time() - start, found


@pytest.mark.parametrize("name", CLAIMS)
def test_small_files_with_large_declared_sizes_are_rejected_quickly(name: str) -> None:
    data = CLAIMS[name]()
    assert len(data) < 1024
    for reader, read in readers(data).items():
        attempt(read)  # the first call pays for imports and caches
        seconds, found = min((attempt(read) for _ in range(3)), key=lambda pair: pair[0])
        assert seconds < 0.05, reader
        tracemalloc.start()
        attempt(read)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20, reader
        if reader == "verify":
            assert isinstance(found, DfcError) or found
        if reader == "decode":
            assert isinstance(found, DfcError)


def test_the_base_file_is_valid() -> None:
    assert dfc.verify(io.BytesIO(BASE_FILE)).faults == []
    assert len(list(Decoder(io.BytesIO(BASE_FILE), lambda _: flat_model()))) == 2
    assert zstandard.frame_content_size(zstd_frame(1 << 31)) == 1 << 31
    assert zstandard.get_frame_parameters(zstd_frame(12, 31)).window_size == 1 << 31


def test_clips_larger_than_memory_are_rejected_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header(1920, 1080, Ratio(25, 1), Ratio(1, 25))
    check_memory(clip(32), header, None)
    required = 32 * 1920 * 1080 * OUTPUT_BYTES + 1920 * 1088 * NETWORK_BYTES
    check_memory(clip(32), header, required)
    with pytest.raises(LimitError, match=r"32 frames of 1920×1080 takes 0\.2 GiB to decode, 0\.1 GiB are free: decode"):
        check_memory(clip(32), header, 1 << 27)
    with pytest.raises(LimitError, match="takes"):  # motion compensation needs the kept frames in memory
        check_memory(clip(32, kept=2, fill_payload=b"x"), header, required)
    with pytest.raises(LimitError, match="takes"):  # all frames of a tiled clip are joined at once
        check_memory(clip(32), dataclasses.replace(header, tile=256, overlap=32), required)
    monkeypatch.setattr("dfccodec.codec.clip.decode.available_memory", lambda: 1000)
    with pytest.raises(LimitError, match="are free"):
        list(Decoder(io.BytesIO(BASE_FILE), lambda _: flat_model()))


ESCAPES = "\x1b]0;owned\x07\x9b31m\u202egnp\x7f\r\n\x08"


def control_characters(text: str) -> list[str]:
    """Return the control and format characters of a text, which a terminal may interpret."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.fixture
def escapes_file(tmp_path: Path) -> Path:
    """Write a file with escape sequences in its name and in every text field."""
    path = tmp_path / "a\x1b[31m\u202egnp.dfc"
    with path.open("wb") as out:
        tool = [("encoder" + ESCAPES, ESCAPES), ("source_size", ESCAPES)]
        writer = Writer(out, HEADER, ModelId(ESCAPES, bytes(32)), np.ones(3, np.float32), tool, [(ESCAPES, ESCAPES)])
        writer.write_stream(StreamInfo(1, 0, Ratio(1, 48000), ESCAPES, 48000, 2, ESCAPES, ESCAPES))
        writer.write_clip(clip(), np.zeros((0, *HEADER.grid, 3), np.int16))
        writer.finish()
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "IN"], ["inspect", "IN", "--json"], ["inspect", "IN", "--clips"], ["verify", "IN"],
        ["verify", "IN", "--json"], ["trim", "IN", "-o", "OUT.dfc", "--frames", "0:1"], ["models", "info", "IN.pt"],
        ["decode", "IN", "-o", "OUT.mkv", "--model", "mini"], ["inspect", "IN", "IN"], ["inspect", "--clip", "IN"],
        ["inspect", "IN.gone"], ["encode", "IN", "-o", "OUT.dfc"], ["verify", "BAD"], ["inspect", "BAD"],
        ["models", "info", "IN"], ["decode", "IN", "-o", "OUT.mkv"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_file_contents_and_names_are_escaped_for_terminals(
    arguments: list[str], escapes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncated = escapes_file.with_name("bad" + escapes_file.name)
    truncated.write_bytes(escapes_file.read_bytes()[:-30])
    names = {
        "IN": str(escapes_file),
        "BAD": str(truncated),
        "IN.gone": f"{escapes_file}.gone",
        "IN.pt": f"{escapes_file}.pt",
    }
    names |= {f"OUT.{end}": str(escapes_file.with_suffix(f".out.{end}")) for end in ("dfc", "mkv")}
    main([names.get(argument, argument) for argument in arguments])
    output = capsys.readouterr()
    assert output.out + output.err
    assert control_characters(output.out + output.err) == []


def test_json_preserves_the_text_of_the_file(escapes_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(escapes_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == [[ESCAPES, ESCAPES]]


def test_track_labels_are_escaped(escapes_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The label occurs in warnings of sinks without audio, and in errors of sinks that do not support the codec."""
    from dfccodec.media.track_titles import track_label

    assert control_characters(track_label(StreamInfo(1, 0, Ratio(1, 48000), ESCAPES, language=ESCAPES))) == []


def test_chunk_types_in_errors_are_escaped() -> None:
    data = bytearray(BASE_FILE)
    data[8:12] = b"\x1b[2J"
    error = attempt(lambda: dfc.verify(io.BytesIO(bytes(data))))[1]
    assert isinstance(error, DfcError)
    assert control_characters(str(error)) == []
