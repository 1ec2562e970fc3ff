"""Clips and motion fields for tests of the fill policy `motion`."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfccodec.codec.motion.blocks import MotionField, References, uses
from dfccodec.codec.motion.obmc import Composer
from dfccodec.container.records import Header, Ratio

HEADER = Header(44, 28, Ratio(25, 1), Ratio(1, 25))  # 4 × 6 blocks
KEPT = np.array([0, 1, 0, 0, 1, 0, 0], bool)
REFERENCES = References.of(KEPT)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a smooth random picture, (height, width, 3) float32 in 0…1, with enough detail for motion estimation."""
    noise = np.random.default_rng(seed).normal(size=(height + 8, width + 8, 3))
    for axis in (0, 1):
        noise = np.apply_along_axis(lambda line: np.convolve(line, np.hanning(11)[1:-1], "valid"), axis, noise)
    noise -= noise.min()
    out: np.ndarray = (noise / noise.max()).astype(np.float32)
    return out


def sliding_texture(frames: int, height: int = 64, width: int = 80, step: tuple[int, int] = (1, 3)) -> np.ndarray:
    """Return a texture that moves by `step` pixels per frame, (T, height, width, 3) uint8."""
    canvas = texture(height + abs(step[0]) * frames, width + abs(step[1]) * frames)
    views = [canvas[t * step[0] : t * step[0] + height, t * step[1] : t * step[1] + width] for t in range(frames)]
    return np.rint(np.stack(views) * 255).astype(np.uint8)


def clear_unused_vectors(blocks: np.ndarray) -> np.ndarray:
    """Return the blocks with unused vectors set to 0."""
    out = blocks.copy()
    used = uses(blocks[..., 0].astype(np.uint8))
    out[..., 1:3] *= used[..., :1]
    out[..., 3:] *= used[..., 1:]
    return out


def draw_blocks(draw: st.DrawFn, references: References, rows: int, columns: int) -> np.ndarray:
    """Draw modes and vectors; a block uses only references that exist."""
    out = draw(arrays(np.int16, (len(references.dropped), rows, columns, 5)))
    for number, (past, future) in enumerate(zip(references.past >= 0, references.future >= 0, strict=True)):
        available = [True, past, future, past and future]
        modes = np.flatnonzero(available)
        out[number, ..., 0] = modes[out[number, ..., 0] % len(modes)]
    return out


def compensate_clip(frames: np.ndarray, field: MotionField) -> np.ndarray:
    """Return the clip, (T, H, W, 3) float32, with motion-compensated dropped frames."""
    composer, dropped = Composer(field), field.references.dropped.tolist()
    for frame in set(range(len(frames))) - set(dropped):
        composer.add_reference(frame, frames[frame])
    return np.stack([composer.reconstruct(n, frame) if n in dropped else frame for n, frame in enumerate(frames)])


def header_for(frames: np.ndarray) -> Header:
    """Return a header with the size of the frames."""
    return dataclasses.replace(HEADER, height=frames.shape[1], width=frames.shape[2])
