"""Small files that claim much: refused at once, with no memory, and with nothing a terminal would obey."""

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


def parts(header: Header = HEADER) -> mutate.Chunks:
    """A good file of one clip of two dropped frames."""
    out = io.BytesIO()
    writer = Writer(out, header, ModelId("flat", bytes(32)), np.ones(header.channels, np.float32))
    writer.write_clip(clip(), np.zeros((0, *header.grid, header.channels), np.int16))
    writer.finish()
    return mutate.split(out.getvalue())


def replaced(kind: bytes, payload: bytes) -> bytes:
    """That file with the payload of one chunk replaced."""
    return mutate.join([(k, payload if k == kind else p) for k, p in parts()])


def inserted(kind: bytes, payload: bytes) -> bytes:
    """That file with a chunk before its clip."""
    found = parts()
    return mutate.join([*found[:3], (kind, payload), *found[3:]])


def head(*, tile: int = 0, **sides: int) -> bytes:
    """The file with other fields in HEAD, which no writer would write."""
    h = HEADER
    width, height, frames = (
        sides.get(name, default) for name, default in (("width", 16), ("height", 16), ("frames", 32))
    )
    patch = 64 if tile else h.patch
    payload = struct.pack("<BBHHHBBHHH", 1, 1, 0, width, height, patch, frames, h.channels, tile, 0)
    return replaced(b"HEAD", payload + parts()[0][1][len(payload) :])


def large(coding: int, latents: bytes, planes: int = 1) -> bytes:
    """A picture of 16 384 × 4096 in patches of one pixel, whose clip claims 2^28 integers in a few bytes."""
    header = Header(16384, 4096, Ratio(25, 1), Ratio(1, 25), patch=1, channels=1)
    found = [(b"HEAD", pack.pack_header(header)), *parts()[1:]]
    payload = pack.pack_clip(clip(4, 4, latents=latents, coding=coding, planes=planes))
    return mutate.join(mutate.reindexed([(k, payload if k == b"CLIP" else p) for k, p in found]))


def zstd_frame(size: int, window: int | None = None) -> bytes:
    """A frame that declares a content of `size` bytes, and a window of 2^window, and holds one block of zeros."""
    flags = 0xC0 | (0x20 if window is None else 0)
    extra = b"" if window is None else bytes([window - 10 << 3])
    block = (0b11 | 131072 << 3).to_bytes(3, "little") + b"\0"
    return struct.pack("<IB", 0xFD2FB528, flags) + extra + struct.pack("<Q", size) + block


def big_motion() -> bytes:
    """Motion of 63 dropped frames of 8K in eight bytes."""
    header = Header(7680, 4320, Ratio(25, 1), Ratio(1, 25), channels=1, clip_frames=64)
    payload = pack.pack_clip(clip(64, 0, fill=3, fill_payload=b"\1" * 8))
    kept = bytearray(payload)
    found = [(b"HEAD", pack.pack_header(header)), *parts()[1:]]
    return mutate.join(mutate.reindexed([(k, bytes(kept) if k == b"CLIP" else p) for k, p in found]))


NOTHING = parts()
RAW = mutate.join(NOTHING)
INDEX = next(p for k, p in NOTHING if k == b"indx")
CLAIMS: dict[str, Callable[[], bytes]] = {
    "2^32 clips in the index": lambda: replaced(b"indx", struct.pack("<IQQ", 2**32 - 1, 2**32, 0) + INDEX[20:]),
    "2^32 frames in the index": lambda: replaced(b"indx", struct.pack("<IQQ", 1, 2**32, 0) + INDEX[20:]),
    "2^32 frames before the first clip": lambda: replaced(
        b"CLIP", struct.pack("<I", 2**32 - 2) + next(p for k, p in NOTHING if k == b"CLIP")[4:]
    ),
    "a chunk of 2^31 bytes": lambda: RAW.replace(b"CLIP" + RAW[RAW.index(b"CLIP") + 4 :][:4], b"CLIP\0\0\0\x80"),
    "a chunk of 2^28 bytes": lambda: RAW.replace(b"CLIP" + RAW[RAW.index(b"CLIP") + 4 :][:4], b"CLIP\0\0\0\x10"),
    "65535 × 65535 pixels": lambda: head(width=65535, height=65535, frames=1),
    "2^27 pixels, 64 frames": lambda: head(width=16384, height=8192, frames=64),
    "a tile of 65472 × 65472": lambda: head(tile=65472, frames=1),
    "a tile of 8192, 64 frames": lambda: head(tile=8192, frames=64),
    "a zstd frame of 2 GiB for two integers": lambda: replaced(
        b"CLIP", pack.pack_clip(clip(2, 2, latents=zstd_frame(1 << 31)))
    ),
    "2^28 integers by zstd": lambda: large(0, zstd_frame(4 * (1 + (1 << 26)))),
    "2^28 integers by zstd in two planes": lambda: large(0, zstd_frame(4 * (1 + (1 << 27))), 2),
    "2^28 integers by the range coder": lambda: large(1, b"\1" * 64),
    "a zstd window of 2 GiB": lambda: replaced(b"CLIP", pack.pack_clip(clip(2, 2, latents=zstd_frame(12, 31)))),
    "motion of 63 frames of 8K": big_motion,
    "65535 tags": lambda: inserted(b"tags", b"\xff\xff" + bytes(64)),
    "65535 steps": lambda: replaced(b"STEP", b"\xff\xff" + bytes(64)),
    "2^32 packets": lambda: inserted(b"pkts", struct.pack("<HHI", 1, 0, 2**32 - 1) + bytes(64)),
    "a packet of 2^32 bytes": lambda: inserted(
        b"pkts", struct.pack("<HHI", 1, 0, 1) + struct.pack("<qqIIB", 0, 0, 1, 2**32 - 1, 1)
    ),
    "extradata of 2^32 bytes": lambda: inserted(
        b"strm", pack.pack_stream(StreamInfo(1, 0, Ratio(1, 1), "aac"))[:-4] + b"\xff" * 4
    ),
    "JSON nested 30 000 deep": lambda: replaced(b"MODL", b"\4\0flat" + bytes(32) + struct.pack("<H", 600) + b"[" * 600),
}  # fmt: skip


def readings(data: bytes) -> dict[str, Callable[[], object]]:
    """Every way to read a file; each raises or tells of a fault."""
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
    begun = time.process_time()
    try:
        found = read()
    except DfcError as error:
        found = error
    return time.process_time() - begun, found


@pytest.mark.parametrize("name", CLAIMS)
def test_a_small_file_that_claims_much_is_refused_at_once(name: str) -> None:
    data = CLAIMS[name]()
    assert len(data) < 1024
    for what, read in readings(data).items():
        attempt(read)  # what is imported or computed once is no cost of the file
        took, found = min((attempt(read) for _ in range(3)), key=lambda pair: pair[0])
        assert took < 0.05, what
        tracemalloc.start()
        attempt(read)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 << 20, what
        if what == "verify":
            assert isinstance(found, DfcError) or found
        if what == "decode":
            assert isinstance(found, DfcError)


def test_the_file_of_these_tests_is_good_when_nothing_is_changed() -> None:
    assert dfc.verify(io.BytesIO(RAW)).faults == []
    assert len(list(Decoder(io.BytesIO(RAW), lambda _: flat_model()))) == 2
    assert zstandard.frame_content_size(zstd_frame(1 << 31)) == 1 << 31
    assert zstandard.get_frame_parameters(zstd_frame(12, 31)).window_size == 1 << 31


def test_a_clip_that_memory_cannot_hold_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    header = Header(1920, 1080, Ratio(25, 1), Ratio(1, 25))
    check_memory(clip(32), header, None)
    need = 32 * 1920 * 1080 * OUTPUT_BYTES + 1920 * 1088 * NETWORK_BYTES
    check_memory(clip(32), header, need)
    with pytest.raises(LimitError, match=r"32 frames of 1920×1080 takes 0\.2 GiB to decode, 0\.1 GiB are free: decode"):
        check_memory(clip(32), header, 1 << 27)
    with pytest.raises(LimitError, match="takes"):  # dropped frames are painted from the kept ones, which are held
        check_memory(clip(32, kept=2, fill_payload=b"x"), header, need)
    with pytest.raises(LimitError, match="takes"):  # tiles are put together of all frames at once
        check_memory(clip(32), dataclasses.replace(header, tile=256, overlap=32), need)
    monkeypatch.setattr("dfccodec.codec.clip.decode.available_memory", lambda: 1000)
    with pytest.raises(LimitError, match="are free"):
        list(Decoder(io.BytesIO(RAW), lambda _: flat_model()))


NASTY = "\x1b]0;owned\x07\x9b31m\u202egnp\x7f\r\n\x08"


def obeyed(text: str) -> list[str]:
    """Characters that a terminal does not just show."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A file with escapes wherever text can be, its own name included."""
    path = tmp_path / "a\x1b[31m\u202egnp.dfc"
    with path.open("wb") as out:
        tool = [("encoder" + NASTY, NASTY), ("source_size", NASTY)]
        writer = Writer(out, HEADER, ModelId(NASTY, bytes(32)), np.ones(3, np.float32), tool, [(NASTY, NASTY)])
        writer.write_stream(StreamInfo(1, 0, Ratio(1, 48000), NASTY, 48000, 2, NASTY, NASTY))
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
def test_nothing_from_a_file_or_its_name_reaches_a_terminal_raw(
    arguments: list[str], nasty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = nasty.with_name("bad" + nasty.name)
    bad.write_bytes(nasty.read_bytes()[:-30])
    names = {"IN": str(nasty), "BAD": str(bad), "IN.gone": f"{nasty}.gone", "IN.pt": f"{nasty}.pt"}
    names |= {f"OUT.{end}": str(nasty.with_suffix(f".out.{end}")) for end in ("dfc", "mkv")}
    main([names.get(argument, argument) for argument in arguments])
    printed = capsys.readouterr()
    assert printed.out + printed.err
    assert obeyed(printed.out + printed.err) == []


def test_json_says_what_the_file_says(nasty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(nasty), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == [[NASTY, NASTY]]


def test_tracks_of_a_decode_are_named_safely(nasty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A note of a sink that has no room for sound, and the refusal of one that cannot take the codec."""
    from dfccodec.media.track_titles import name_of_track

    assert obeyed(name_of_track(StreamInfo(1, 0, Ratio(1, 48000), NASTY, language=NASTY))) == []


def test_every_chunk_type_of_a_damaged_file_is_shown_safely() -> None:
    data = bytearray(RAW)
    data[8:12] = b"\x1b[2J"
    verdict = attempt(lambda: dfc.verify(io.BytesIO(bytes(data))))[1]
    assert isinstance(verdict, DfcError)
    assert obeyed(str(verdict)) == []
