"""zstd coding of latents: lossless; sizes are checked before decompression."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfccodec.entropy import zstd_coding
from dfccodec.entropy.zstd_coding import check_declared_size, decode_zstd, decompressed_size, encode_zstd
from dfccodec.errors import DamagedError, DfcError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_EXPANSION

SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
EXTREME = st.sampled_from([-32768, -32767, -129, -128, -1, 0, 1, 127, 128, 32766, 32767])
VALUES = hnp.arrays(np.int16, SHAPES, elements=EXTREME | st.integers(-32768, 32767))


def decoded(data: bytes, like: np.ndarray, planes: int) -> np.ndarray:
    return decode_zstd(data, like.shape[0], like.shape[1:4], like.shape[4], planes)


def coded(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=False).compress(raw)


@settings(max_examples=200)
@given(VALUES, st.sampled_from([1, 19]))
def test_all_integers_round_trip(values: np.ndarray, level: int) -> None:
    data, planes = encode_zstd(values, level)
    back = decoded(data, values, planes)
    assert back.dtype == np.int16
    np.testing.assert_array_equal(back, values)
    assert check_declared_size(data, values.shape[0], values.shape[1:4], values.shape[4], planes) == decompressed_size(
        values.shape[0], values.shape[1:4], values.shape[4], planes
    )


@settings(max_examples=100)
@given(VALUES.filter(lambda v: v.size > 0), st.data())
def test_all_filters_decode_as_specified(values: np.ndarray, draw: st.DataObject) -> None:
    """An encoder chooses filters freely. This test computes each prediction as SPEC.md 7.2 does."""
    kept, tiles, rows, columns, channels = values.shape
    filters = draw.draw(hnp.arrays(np.uint8, (channels, kept), elements=st.integers(0, 3)))
    folded = []
    for c, k, n, y, x in np.ndindex(channels, kept, tiles, rows, columns):
        near = [None, (k - 1, n, y, x), (k, n, y, x - 1), (k, n, y - 1, x)][filters[c, k]]
        base = int(values[(*near, c)]) if near and min(near) >= 0 else 0
        d = (int(values[k, n, y, x, c]) - base + 32768) % 65536 - 32768
        folded.append(2 * d if d >= 0 else -2 * d - 1)
    low, high = bytes(u & 255 for u in folded), bytes(u >> 8 for u in folded)
    data = coded(filters.tobytes() + low + high)
    np.testing.assert_array_equal(decoded(data, values, 2), values)


def test_one_byte_plane_if_all_errors_fit_a_byte() -> None:
    values = np.full((1, 1, 1, 1, 1), 127, np.int16)
    assert encode_zstd(values)[1] == 1
    assert encode_zstd(values + 1)[1] == 2


@pytest.mark.parametrize(("axis", "number"), [(4, zstd_coding.LEFT), (3, zstd_coding.UP)])
def test_the_best_filter_is_chosen(axis: int, number: int) -> None:
    """Noise is constant along one axis, so all differences along it are 0."""
    noise = np.random.default_rng(2).integers(-99, 99, (1, 1, 1, 6, 6), np.int16)
    still = np.repeat(noise.take([0], axis), 6, axis)
    values = still.reshape(1, 1, 6, 6, 1)
    data, planes = encode_zstd(values)
    assert zstandard.ZstdDecompressor().decompress(data)[0] == number
    np.testing.assert_array_equal(decoded(data, values, planes), values)


def test_a_constant_picture_uses_the_previous_frame() -> None:
    noise = np.random.default_rng(1).integers(-99, 99, (1, 1, 5, 5, 1), np.int16)
    data, planes = encode_zstd(np.repeat(noise, 3, axis=0))
    raw = zstandard.ZstdDecompressor().decompress(data)
    assert list(raw[1:3]) == [zstd_coding.PREVIOUS] * 2
    assert not any(raw[3 + 25 : 3 + 75])
    assert planes == 1


def test_no_kept_frames_give_no_bytes() -> None:
    values = np.zeros((0, 1, 2, 3, 4), np.int16)
    assert encode_zstd(values) == (b"", 1)
    assert decoded(b"", values, 1).shape == (0, 1, 2, 3, 4)
    with pytest.raises(DamagedError, match="1 bytes for no kept frame"):
        decoded(b"\0", values, 1)


GRID = (1, 1, 3)
RAW = b"\0\2\4\6"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes for 1 kept frame"),
        (bytes(20), "not a zstd frame"),
        (coded(RAW + b"\0"), "declares 5 bytes, the header needs 4"),
        (coded(RAW[:3]), "declares 3 bytes"),
        (coded(b"\4\2\4\6"), "filter 4 is unknown"),
        (coded(RAW)[:-1], "zstd reports"),
        (b"\x50\x2a\x4d\x18\4\0\0\0" + RAW, "latents"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(RAW), "the header needs 4"),
    ],
)
def test_invalid_zstd_frames_are_damaged(data: bytes, message: str) -> None:
    with pytest.raises(DamagedError, match=message):
        decode_zstd(data, 1, GRID, 1, 1)


def test_a_valid_frame_is_accepted() -> None:
    np.testing.assert_array_equal(decode_zstd(coded(RAW), 1, GRID, 1, 1).ravel(), [1, 2, 3])


@pytest.mark.parametrize("extra", [b"\0", coded(b"")])
def test_nothing_may_follow_the_frame(extra: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_zstd(coded(RAW) + extra, 1, GRID, 1, 1)


def test_a_window_over_the_limit_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd\x80" + bytes([18 << 3]) + struct.pack("<I", 4) + struct.pack("<I", 4 << 3 | 1)[:3] + RAW
    with pytest.raises(LimitError, match="window"):
        decode_zstd(frame, 1, GRID, 1, 1)


def test_declared_sizes_over_the_limits_are_rejected() -> None:
    with pytest.raises(LimitError, match="over the limit of 268435456 integers"):
        check_declared_size(b"", 1, (1, MAX_CLIP_VALUES, 1), 2, 1)
    data = coded(RAW)
    most = MAX_EXPANSION * len(data) - 1
    with pytest.raises(LimitError, match="over the limit of 32768 times"):
        check_declared_size(data, 1, (1, 1, most + 1), 1, 1)
    with pytest.raises(DamagedError, match="declares 4 bytes"):  # within the limit
        check_declared_size(data, 1, (1, 1, most), 1, 1)


def test_expansion_figure_of_the_security_section() -> None:
    """841 bytes of latents declare at most 26.3 MiB; no zstd frame can expand to more (SPEC.md 12.1)."""
    blocks = (841 - 9) // 4
    rle = b"".join(struct.pack("<I", (1 << 17) << 3 | 2 | (i == blocks - 1))[:3] + b"\0" for i in range(blocks))
    frame = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", blocks << 17) + rle
    assert len(frame) == 841
    assert len(zstandard.ZstdDecompressor().decompress(frame)) == blocks << 17
    assert (blocks << 17) / len(frame) < MAX_EXPANSION
    assert check_declared_size(frame, 1, (1, 1, (blocks << 17) - 1), 1, 1) == blocks << 17


@settings(max_examples=300)
@given(st.data())
def test_any_change_gives_integers_or_a_dfc_error(draw: st.DataObject) -> None:
    values = np.arange(48, dtype=np.int16).reshape(2, 1, 2, 3, 4) * 7
    data = bytearray(encode_zstd(values)[0])
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(data)) | st.just(len(data)))
    try:
        out = decoded(bytes(data[:cut]), values, draw.draw(st.sampled_from([1, 2])))
    except DfcError:
        return
    assert out.shape == values.shape
    assert out.dtype == np.int16
