"""The conformance vectors of coding 0, zstd (SPEC.md 7.3)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, integers, zstd
from vector_files import File, Packets, Stream
from vector_parts import Chunk, Head, Part, join

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=48, height=32, channels=4)  # grid (1, 2, 3)
GOOD_RAW = [Part(b"\0\2\4", "content")]

# The raw bytes of `compressed()` by libzstd 1.5.7, level 19, with and without checksum: kept here as bytes, since other
# releases may give others.
COMPRESSED = bytes.fromhex(
    "28b52ffd20d01d0200d2840c0950281f4ac622aca013400f17ad9f17c48da66be1499db7f1d12f5f476f1e225c9eac1a"
    "1aa84c5c2b06e2104b32c9fa0c040500859b4280819d69bbadc5dd2c"
)
CHECKSUMMED = bytes.fromhex(
    "28b52ffd24d01d0200d2840c0950281f4ac622aca013400f17ad9f17c48da66be1499db7f1d12f5f476f1e225c9eac1a"
    "1aa84c5c2b06e2104b32c9fa0c040500859b4280819d69bbadc5dd2c946597e8"
)


def compressed() -> Clip:
    """A clip with something to compress."""
    values = np.zeros((4, 1, 2, 3, 4), np.int16)
    values[::2] = integers((1, 2, 3, 4), 3)
    return Clip(frames=8, kept=(0, 2, 5, 6), values=values, filters=np.array([[0, 1, 2, 3]] * 4, np.uint8), planes=2)


def valid_zstd() -> Iterator[Good]:
    """An ordinary file."""
    coded = [Part(COMPRESSED, "latents")]
    yield "compressed", "latents in compressed blocks", File(SMALL, [replace(compressed(), latents=coded)])


def uncommon_zstd() -> Iterator[Good]:
    """Frames that a careless reader refuses."""
    clip = compressed()
    yield (
        "zstd-checksum",
        "a zstd frame with its own checksum",
        File(SMALL, [replace(clip, latents=[Part(CHECKSUMMED, "latents")])]),
    )
    content = [Part(b"\0" * 4 + b"\2" * 24, "content")]
    ones = np.ones((1, 1, 2, 3, 4), np.int16)
    yield "zstd-blocks", "three blocks", File(SMALL, [Clip(values=ones, latents=zstd(content, blocks=3))])
    yield (
        "zstd-window",
        "a window of 2^27 bytes, the largest",
        File(SMALL, [Clip(values=ones, latents=zstd(content, window=17 << 3))]),
    )
    wide = Head(width=512, height=256, patch=2, channels=1)
    zeros = np.zeros((3, 1, 128, 256, 1), np.int16)
    flat = [Part(bytes(3 * (1 + 128 * 256)), "content")]
    yield (
        "zstd-rle",
        "98 307 bytes in one RLE block of 4 bytes",
        File(wide, [Clip(frames=3, kept=(0, 1, 2), values=zeros, latents=zstd(flat, rle=True))]),
    )
    many = Head(channels=1024)
    zeros = np.zeros((1, 1, 1, 1, 1024), np.int16)
    yield (
        "channels-1024",
        "the most channels",
        File(many, [Clip(values=zeros, latents=zstd([Part(bytes(2048), "content")], rle=True))]),
    )
    yield from _uncommon_header()


def _uncommon_header() -> Iterator[Good]:
    """Rare but valid headers of a frame (RFC 8878, 3.1.1.1)."""
    block = b"\x19\0\0\0\2\4"  # last, raw, 3 bytes
    for name, note, header in (
        ("dictionary-0", "Dictionary_ID is there and 0", b"\x21\0\3"),
        ("size-of-8-bytes", "Frame_Content_Size of 8 bytes", b"\xe0\3" + bytes(7)),
        ("unused-bit", "the unused bit of the header is set", b"\x30\3"),
    ):
        yield f"zstd-{name}", note, File(*_small([Part(b"\x28\xb5\x2f\xfd" + header + block, "latents")]))


def _small(coded: list[Part], **more: object) -> tuple[Head, list[Clip | Stream | Packets | Chunk]]:
    """A small clip with these coded latents; its integers would be 1, 2."""
    clip = Clip(frames=1, values=np.array([1, 2], np.int16).reshape(1, 1, 1, 2, 1), latents=coded)
    return Head(width=32), [replace(clip, **more)]  # type: ignore[arg-type]


def latents(coded: list[Part], **more: object) -> bytes:
    """A file of one small clip with these coded latents; its integers would be 1, 2."""
    return join(File(*_small(coded, **more)).chunks()[0])


def faulty_zstd() -> Iterator[Row]:
    """Faults of the zstd frame and of its content."""
    good = b"".join(p.data for p in zstd(GOOD_RAW))

    def one(data: bytes) -> bytes:
        return latents([Part(data, "latents")])

    yield "latents-none", "damaged", "7", "no byte for a kept frame", one(b"")
    yield "latents-not-zstd", "damaged", "7.3", "eleven zeros", one(bytes(11))
    yield (
        "latents-skippable",
        "damaged",
        "7.3",
        "a skippable frame of three bytes",
        one(b"\x50\x2a\x4d\x18\3\0\0\0\0\2\4"),
    )
    long = zstd([Part(b"\0\2\4\6", "content")])
    yield "latents-one-more", "damaged", "7.3", "content size 4, 3 wanted", latents(long)
    claim = good[:4] + b"\xa0" + struct.pack("<I", 1 << 31) + good[6:]
    yield "latents-claim-2-gib", "damaged", "7.3", "content size 2^31, 3 wanted", one(claim)
    yield "latents-no-size", "damaged", "7.3", "no content size", one(good[:4] + b"\0\0" + good[6:])
    yield "latents-content-short", "damaged", "7.3", "a block of two bytes where three are claimed", one(
        good[:6] + struct.pack("<I", 2 << 3 | 1)[:3] + b"\0\2"
    )  # fmt: skip
    yield "latents-content-long", "damaged", "7.3", "a block of four bytes where three are claimed", one(
        good[:6] + struct.pack("<I", 4 << 3 | 1)[:3] + b"\0\2\4\6"
    )  # fmt: skip
    yield "latents-cut", "damaged", "7.3", "the last byte of the frame is missing", one(good[:-1])
    yield "latents-trailing-byte", "damaged", "7.3", "one byte after the frame", one(good + b"\0")
    yield "latents-two-frames", "damaged", "7.3", "a second, empty frame", one(good + b"\x28\xb5\x2f\xfd\x20\0\1\0\0")
    yield from _coded_header(good, one)


def _coded_header(good: bytes, one: Callable[[bytes], bytes]) -> Iterator[Row]:
    yield "latents-dictionary", "damaged", "7.3", "dictionary 7", one(good[:4] + b"\x21\7" + good[5:])
    yield (
        "latents-checksum",
        "damaged",
        "7.3",
        "a wrong content checksum",
        one(good[:4] + b"\x24" + good[5:] + bytes(4)),
    )
    yield (
        "latents-reserved-block",
        "damaged",
        "7.3",
        "block type 3",
        one(good[:6] + struct.pack("<I", 3 << 3 | 7)[:3] + good[9:]),
    )
    window = b"".join(p.data for p in zstd(GOOD_RAW, window=20 << 3))
    least = b"".join(p.data for p in zstd(GOOD_RAW, window=17 << 3 | 1))
    yield "latents-window-144-mib", "limit", "7.3", "a window of 2^27 × 9 / 8 bytes", one(least)
    yield "latents-reserved-bit", "damaged", "7.3", "the reserved bit is set", one(good[:4] + b"\x28" + good[5:])
    yield "latents-no-checksum", "damaged", "7.3", "a checksum announced and none there", one(
        good[:4] + b"\x24" + good[5:]
    )  # fmt: skip
    yield "latents-window-1-gib", "limit", "7.3", "a window of 2^30 bytes", one(window)
    yield "latents-filter-4", "damaged", "7.2", "filter 4", latents(zstd([Part(b"\4\2\4", "content")]))
