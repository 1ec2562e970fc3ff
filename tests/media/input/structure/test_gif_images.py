"""Pictures of a GIF: pixels that LZW data hold, and damage through which the chain of blocks goes on by chance."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.gif import GifScanner
from dfccodec.media.input.structure.gif_lzw import PixelCount, count_pixels

SIDE, CODE_SIZE = 120, 4
PIXELS = SIDE * SIDE
HEADER = b"GIF89a\x78\0\x78\0\x83\0\0" + bytes(48)
CONTROL = b"\x21\xf9\x04\0\x05\0\0\0"
DESCRIPTOR = b"\x2c\0\0\0\0\x78\0\x78\0\0\x04"


def encode_lzw(pixels: bytes, code_size: int = CODE_SIZE, end: bool = True, clears: bool = True) -> bytes:
    """Return LZW data. Without `clears`, a full table is kept."""
    clear = 1 << code_size
    bits = count = 0

    def put(code: int, width: int) -> None:
        nonlocal bits, count
        bits |= code << count
        count += width

    put(clear, code_size + 1)
    table: dict[tuple[int, int], int] = {}
    width, next_code, prefix = code_size + 1, clear + 2, pixels[0]
    for pixel in pixels[1:]:
        if (prefix, pixel) in table:
            prefix = table[prefix, pixel]
            continue
        put(prefix, width)
        if next_code < 4096:
            table[prefix, pixel] = next_code
            width += next_code == 1 << width
            next_code += 1
        elif clears:
            put(clear, 12)
            table, width, next_code = {}, code_size + 1, clear + 2
        prefix = pixel
    put(prefix, width)
    width += next_code == 1 << width and width < 12
    if end:
        put(clear + 1, width)
    return bits.to_bytes(count + 7 >> 3, "little")


def count_slowly(data: bytes, code_size: int, expected: int) -> PixelCount:
    """Count pixels code by code, as decoders do."""
    clear, bits, total = 1 << code_size, int.from_bytes(data, "little"), 8 * len(data)
    bit = pixels = used = 0
    width, lengths, previous = code_size + 1, [1] * (clear + 2), -1
    while bit + width <= total:
        code = bits >> bit & (1 << width) - 1
        bit += width
        if code == clear:
            width, lengths, previous = code_size + 1, [1] * (clear + 2), -1
            continue
        if code == clear + 1 or code > len(lengths) - (previous < 0) or (previous < 0 and code >= clear):
            return PixelCount(pixels, used + 7 >> 3, code == clear + 1)
        if previous >= 0 and len(lengths) < 4096:
            lengths.append(lengths[previous] + 1)
        width += len(lengths) == 1 << width and width < 12
        previous, used = code, bit
        pixels += lengths[code]
        if pixels >= expected:
            return PixelCount(expected, used + 7 >> 3, True)
    return PixelCount(pixels, used + 7 >> 3, True)


def make_pixels(seed: int, count: int = PIXELS) -> bytes:
    """Return random pixels of 4 bits, which need more codes than a table has."""
    return bytes(b & 15 for b in random.Random(seed).randbytes(count))


def make_image(data: bytes) -> bytes:
    """Return an image with its control extension."""
    parts = [data[n : n + 255] for n in range(0, len(data), 255)]
    return CONTROL + DESCRIPTOR + b"".join(bytes([len(p)]) + p for p in parts) + b"\0"


IMAGES = [make_image(encode_lzw(make_pixels(seed), clears=seed % 2 > 0)) for seed in range(6)]
START = len(CONTROL + DESCRIPTOR)


def scan(data: bytes, steps: tuple[int, ...] = (1 << 20,)) -> GifScanner:
    """Return the scanner after pieces of these sizes, in turn."""
    scanner, place = GifScanner(), 0
    while place < len(data):
        for step in steps:
            scanner.feed(place, data[place : place + step])
            place = min(len(data), place + step)
    scanner.finish()
    return scanner


def scan_images(*images: bytes, end: bytes = b";") -> list[Break]:
    """Return the breaks of a GIF of these images, with positions relative to the first one."""
    found = scan(HEADER + b"".join(images) + end).breaks
    return [Break(b.start - len(HEADER), b.end - len(HEADER), b.certain, b.within) for b in found]


def overwrite(data: bytes, place: int, hole: bytes) -> bytes:
    """Return the data with a hole."""
    return data[:place] + hole + data[place + len(hole) :]


@pytest.mark.parametrize("code_size", range(2, 12))
@pytest.mark.parametrize("clears", [False, True])
def test_pixels_of_encoder(code_size: int, clears: bool) -> None:
    pixels = bytes(b & (1 << min(code_size, 8)) - 1 for b in random.Random(1).randbytes(20_000))
    for data in (pixels, bytes(20_000), pixels[:1]):
        coded = encode_lzw(data, code_size, clears=clears)
        found = count_pixels(coded, code_size, len(data))
        assert found == count_slowly(coded, code_size, len(data))
        assert found is not None
        assert (found.pixels, found.valid) == (len(data), True)
        assert len(coded) - found.used <= 2


@given(
    data=st.binary(max_size=300),
    byte=st.binary(max_size=2),
    repeats=st.integers(0, 4000),
    code_size=st.integers(2, 11),
    expected=st.integers(1, 10**6),
)
@settings(max_examples=200)
def test_pixels_of_any_data(data: bytes, byte: bytes, repeats: int, code_size: int, expected: int) -> None:
    data = byte * repeats + data
    found = count_pixels(data, code_size, expected)
    assert found in (None, count_slowly(data, code_size, expected))


def test_work_on_clear_codes_is_limited() -> None:
    assert count_pixels(b"\x24\x49\x92" * 100_000, 2, 10**6) is None  # codes 4 of 3 bits


def test_healthy_images() -> None:
    assert scan_images(*IMAGES) == []
    assert scan_images(*IMAGES, end=b"") == []
    assert scan_images(IMAGES[0]) == []


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("place", [600, 4000])
def test_garbage_within_sub_blocks(number: int, place: int) -> None:
    """The sizes of the sub-blocks stay."""
    images = list(IMAGES)
    hole = random.Random(place).randbytes(100)
    images[number] = overwrite(images[number], START + place // 256 * 256 + 9, hole)
    (found,) = scan_images(*images)
    start = sum(map(len, images[:number]))
    assert found.within
    assert start < found.start < found.end == start + len(images[number])


@pytest.mark.parametrize("place", [600, 4000])
def test_whole_sub_blocks_cut_out(place: int) -> None:
    place = START + place // 256 * 256
    (found,) = scan_images(*IMAGES[:2], IMAGES[2][:place] + IMAGES[2][place + 512 :], *IMAGES[3:])
    assert found.within


def test_two_images_become_one() -> None:
    """The hole begins after all pixels of an image and ends in the next one: a picture is lost."""
    merged = IMAGES[2][:-1] + IMAGES[3][START:]
    (found,) = scan_images(*IMAGES[:2], merged, *IMAGES[4:])
    start = len(b"".join(IMAGES[:2]))
    assert found.within
    assert start + len(IMAGES[2]) - 5 < found.start < start + len(IMAGES[2])


@pytest.mark.parametrize("bad", [b"", bytes(300)])
def test_habit_of_encoder_is_no_damage(bad: bytes) -> None:
    """All images have too few pixels, or bytes that nobody reads."""
    pixels = PIXELS if bad else PIXELS - 500
    images = [make_image(encode_lzw(make_pixels(n, pixels)) + bad) for n in range(5)]
    assert scan_images(*images) == []
    (found,) = scan_images(IMAGES[0], IMAGES[1], images[0], IMAGES[2])
    assert found.within
    (found,) = scan_images(images[0], IMAGES[1], IMAGES[2])  # the others tell
    assert found.end == len(images[0])
    assert scan_images(images[0]) == []


def test_missing_end_code_is_no_damage() -> None:
    images = [make_image(encode_lzw(make_pixels(n), end=False)) for n in range(3)]
    assert scan_images(*images, *IMAGES) == []


def test_damage_and_break_of_the_chain_are_one_place() -> None:
    hole = random.Random(4).randbytes(1000)
    broken = overwrite(IMAGES[1], START + 1000, hole[:300] + bytes(400) + hole[700:])
    (found,) = scan_images(IMAGES[0], broken, *IMAGES[2:])
    assert not found.within
    assert abs(found.start - len(IMAGES[0]) - START - 1000) < 100
    assert found.end == len(IMAGES[0]) + len(IMAGES[1])


@pytest.mark.parametrize("name", [b"\x21\x77\x05", b"\x21\xf9\x05", b"\x21\xf9\x04\0\0\0\0\x05"])
def test_unusual_extension_hides_an_image(name: bytes) -> None:
    hidden = name + bytes([255] * 5 + [200]) + bytes(2000)
    assert scan_images(*IMAGES[:2], hidden, *IMAGES[3:]) != []


def test_usual_extensions() -> None:
    name = b"\x21\xce\x05frame\0"  # of gifsicle
    comment, text = b"\x21\xfe\x03abc\0", b"\x21\x01\x0c" + bytes(12) + b"\x02ab\0"
    assert scan_images(name, *(i + name + comment + text + b"\0" for i in IMAGES)) == []


def test_zeros() -> None:
    assert scan_images(IMAGES[0] + bytes(16), *IMAGES[1:]) == []
    (found,) = scan_images(IMAGES[0] + bytes(300), *IMAGES[1:])
    assert found.end == len(IMAGES[0]) + 300


@pytest.mark.parametrize("end", [4, 100, len(CONTROL) + 5, len(IMAGES[2]) - 200])
def test_file_that_ends_within_an_image(end: int) -> None:
    scanner = scan(HEADER + b"".join(IMAGES[:2]) + IMAGES[2][:end])
    assert scanner.breaks == []
    assert scanner.ends_early


@pytest.mark.parametrize("end", [b";", b"", b"\0", IMAGES[0][:-1]])
def test_file_that_ends_after_all_pixels(end: bytes) -> None:
    assert not scan(HEADER + b"".join(IMAGES) + end).ends_early


@given(
    holes=st.lists(st.tuples(st.integers(0, 30_000), st.binary(max_size=300), st.integers(0, 600)), max_size=3),
    steps=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
)
@settings(max_examples=60)
def test_any_damage_in_any_pieces(holes: list[tuple[int, bytes, int]], steps: list[int]) -> None:
    data = HEADER + b"".join(IMAGES[:4]) + b";"
    for place, hole, size in holes:
        data = data[:place] + hole + data[place + size :]
    data = data or b"\0"
    whole, pieces = scan(data), scan(data, tuple(steps))
    assert pieces.breaks == whole.breaks
    assert pieces.ends_early == whole.ends_early
    assert all(0 <= b.start <= b.end <= len(data) for b in whole.breaks)
