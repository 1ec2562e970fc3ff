"""Splitting of pictures into tiles, and blending of decoded tiles."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.clip import tiles
from dfccodec.container.records import Header, Ratio


def header(width: int, height: int, tile: int = 0, overlap: int = 0) -> Header:
    return Header(width, height, Ratio(25, 1), Ratio(1, 25), tile=tile, overlap=overlap)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([(0, 0), (64, 16), (64, 32), (32, 0)]))
def test_split_and_join_reproduce_the_picture(width: int, height: int, tile: tuple[int, int]) -> None:
    h = header(width, height, *tile)
    frames = np.random.default_rng(width * 1000 + height).random((2, height, width, 3)).astype(np.float32)
    split = tiles.split(tiles.pad(frames, h), h)
    count, rows, columns = h.grid
    assert split.shape == (count, 2, rows * 16, columns * 16, 3)
    assert np.allclose(tiles.join(split, h), frames, atol=1e-6)


def test_padding_repeats_the_last_row_and_column() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 50, 37, 3), np.uint8)
    assert np.array_equal(tiles.pad(frames, header(37, 50)), np.pad(frames, [(0, 0), (0, 14), (0, 11), (0, 0)], "edge"))


def test_tiles_cover_the_picture_without_gaps() -> None:
    for length in range(1, 700):
        starts = header(length, 16, 256, 32).tile_starts(length)
        padded = max(-(-length // 16) * 16, 256)
        assert starts[0] == 0
        assert starts[-1] + 256 == padded
        assert all(b - a <= 224 for a, b in itertools.pairwise(starts))


def test_the_overlap_blends_adjacent_tiles() -> None:
    h = header(448, 256, 256, 64)
    pieces = np.stack([np.zeros((1, 256, 256, 3)), np.ones((1, 256, 256, 3))]).astype(np.float32)
    line = tiles.join(pieces, h)[0, 128, :, 0]
    assert line[191] == 0
    assert line[256] == 1
    assert np.abs(np.diff(line)).max() < 2 / 64
