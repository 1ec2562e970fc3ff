"""Pad frames to complete patches, and split them into overlapping tiles for models with a fixed grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dfccodec.container.records import Header


def padded_size(header: Header) -> tuple[int, int]:
    """(height, width) in pixels after padding to complete patches, and to at least one tile if tiles are used."""
    patch = header.patch
    height, width = (-(-side // patch) * patch for side in (header.height, header.width))
    return max(height, header.tile), max(width, header.tile)


def pad(frames: Sequence[np.ndarray], header: Header) -> np.ndarray:
    """Stack frames (H, W, 3), padded by repeating the last row and column. np.pad takes three times as long."""
    height, width = padded_size(header)
    h, w, channels = frames[0].shape
    out = np.empty((len(frames), height, width, channels), frames[0].dtype)
    for padded, frame in zip(out, frames, strict=True):
        padded[:h, :w], padded[h:, :w] = frame, frame[-1]
        padded[:, w:] = padded[:, w - 1 : w]
    return out


def split(frames: np.ndarray, header: Header) -> np.ndarray:
    """Split frames from `pad` (T, H, W, 3) into tiles (n, T, h, w, 3) in raster order; without tiling, n is 1."""
    if not header.tile:
        return frames[None]
    side = header.tile
    return np.stack(
        [
            frames[:, y : y + side, x : x + side]
            for y in header.tile_starts(header.height)
            for x in header.tile_starts(header.width)
        ]
    )


def join(tiles: Sequence[np.ndarray], header: Header) -> np.ndarray:
    """Join n tiles (T, h, w, 3) float into frames (T, H, W, 3) float; overlaps are blended with linear ramps."""
    if not header.tile:
        return tiles[0][:, : header.height, : header.width]
    height, width = padded_size(header)
    side = header.tile
    out: np.ndarray = np.zeros((len(tiles[0]), height, width, 3), np.float32)
    weight = np.zeros((height, width, 1), np.float32)
    rows, columns = header.tile_starts(header.height), header.tile_starts(header.width)
    distance = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
    ramp = np.minimum(distance / max(header.overlap, 1), 1).astype(np.float32)
    window = (ramp[:, None] * ramp[None, :])[..., None]
    for number, tile in enumerate(tiles):
        y, x = rows[number // len(columns)], columns[number % len(columns)]
        out[:, y : y + side, x : x + side] += tile * window
        weight[y : y + side, x : x + side] += window
    out /= weight
    return out[:, : header.height, : header.width]
