"""Inter coding: lossless, same bytes as the coder in plain Python, hostile bytes rejected."""

from __future__ import annotations

import numpy as np
import pytest
import read_inter
import read_range
import write_inter
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfccodec.entropy.inter.coding import decode_inter, encode_inter
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.entropy.rans import encode_range
from dfccodec.errors import DamagedError, DfcError, LimitError

GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 4), st.integers(1, 4))
FAR = st.sampled_from([-32768, -81, -1, 0, 0, 1, 3, 64, 32767]) | st.integers(-32768, 32767)


@st.composite
def clips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Integers (K, tiles, rows, columns, 96) and vectors (K, cells, 2)."""
    shape = draw(GRIDS)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    size = draw(st.sampled_from([0.3, 5, 8000])) / (1 + np.arange(96) / 8)
    values = np.rint(rng.laplace(0, size, (*shape, 96))).clip(-32768, 32767).astype(np.int16)
    if draw(st.booleans()):
        values[1:] = values[:1]
    vectors = draw(hnp.arrays(np.int16, (shape[0], int(np.prod(shape[1:])), 2), elements=FAR, fill=st.just(0)))
    vectors[0] = 0
    return values, vectors


def decoded(data: bytes, like: np.ndarray) -> np.ndarray:
    return decode_inter(data, like.shape[0], like.shape[1:4], like.shape[4])


def panned(kept: int, rows: int, columns: int, down: int, right: int, seed: int = 0) -> np.ndarray:
    """Latents (K, 1, rows, columns, 96) of a window that moves over a large picture by integer pixels per frame."""
    rng = np.random.default_rng(seed)
    large = rng.standard_normal((rows * 2 + 20, columns * 2 + 20, 3)).repeat(8, axis=0).repeat(8, axis=1) * 10
    for axis in (0, 1):
        large = np.stack([np.roll(large, i, axis) for i in range(8)]).mean(axis=0)
    out = np.empty((kept, 1, rows, columns, 96), np.int16)
    for k in range(kept):
        part = large[80 + k * down :, 80 + k * right :][: 16 * rows, : 16 * columns]
        cells = part.reshape(rows, 16, columns, 16, 3).swapaxes(1, 2).reshape(rows, columns, 768)
        out[k, 0] = np.rint(cells @ read_inter.BASIS.T / 896)
    return out


@settings(max_examples=60)
@given(clips())
def test_all_integers_and_vectors_round_trip(clip: tuple[np.ndarray, np.ndarray]) -> None:
    values, vectors = clip
    data = encode_inter(values, vectors)
    np.testing.assert_array_equal(decoded(data, values), values)
    assert write_inter.encode_inter(values, vectors, {}) == data
    kept, *grid, channels = values.shape
    found = read_inter.InterDecoder(read_range.RansDecoder(data), kept, grid, channels)
    np.testing.assert_array_equal(np.array(found.v).reshape(values.shape), values)
    np.testing.assert_array_equal(found.vectors, vectors)


def test_motion_compensation_saves_bits() -> None:
    values = panned(4, 7, 9, 6, -10)
    static, moving, first = len(encode_range(values)), len(encode_inter(values)), len(encode_range(values[:1]))
    assert moving - first < 0.7 * (static - first), "only content that enters at the edges is new"
    np.testing.assert_array_equal(decoded(encode_inter(values), values), values)


def test_static_frames_need_no_vectors() -> None:
    values = np.repeat(panned(1, 4, 5, 0, 0), 6, axis=0)
    assert not estimate_motion(values).any()
    assert len(encode_inter(values)) <= len(encode_range(values)) + 16


def test_no_frame_and_one_frame() -> None:
    values = panned(1, 2, 3, 0, 0)
    assert encode_inter(values[:0]) == b""
    assert decode_inter(b"", 0, (1, 2, 3), 96).shape == (0, 1, 2, 3, 96)
    assert encode_inter(values) == encode_range(values), "without vectors, the words equal those of the range coding"


@settings(max_examples=150)
@given(st.binary(max_size=400), st.integers(1, 4), st.integers(0, 2000), st.integers(1, 255))
def test_hostile_words_are_rejected_or_decoded(noise: bytes, kept: int, place: int, mask: int) -> None:
    good = bytearray(encode_inter(panned(kept, 2, 3, 3, 5)))
    good[place % len(good)] ^= mask
    for data in (noise, bytes(good), bytes(good[4 * (place % (len(good) // 4)) :])):
        try:
            assert decode_inter(data, kept, (1, 2, 3), 96).shape == (kept, 1, 2, 3, 96)
        except DfcError as error:
            assert isinstance(error, DamagedError | LimitError)


@pytest.mark.parametrize("symbol", [-1, 6, 16])
def test_an_invalid_vector_choice_is_damaged(symbol: int) -> None:
    values = panned(2, 2, 2, 0, 4)
    data = write_inter.encode_inter(values, None, {(1, 0, "which"): symbol})
    with pytest.raises(DamagedError, match=f"latents: vector choices from {symbol} to {symbol}; only 0 to 5"):
        decoded(data, values)
