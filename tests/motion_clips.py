"""Clips and decisions for tests of fill policy motion."""

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
SIDES = References.of(KEPT)


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture (height, width, 3) float32 in 0…1: something a search can hold on to."""
    noise = np.random.default_rng(seed).normal(size=(height + 8, width + 8, 3))
    for axis in (0, 1):
        noise = np.apply_along_axis(lambda line: np.convolve(line, np.hanning(11)[1:-1], "valid"), axis, noise)
    noise -= noise.min()
    out: np.ndarray = (noise / noise.max()).astype(np.float32)
    return out


def sliding(frames: int, height: int = 64, width: int = 80, step: tuple[int, int] = (1, 3)) -> np.ndarray:
    """A texture that moves by `step` pixels a frame: (T, height, width, 3) uint8."""
    whole = texture(height + abs(step[0]) * frames, width + abs(step[1]) * frames)
    views = [whole[t * step[0] : t * step[0] + height, t * step[1] : t * step[1] + width] for t in range(frames)]
    return np.rint(np.stack(views) * 255).astype(np.uint8)


def cleared(blocks: np.ndarray) -> np.ndarray:
    """Decisions with unused vectors 0."""
    out = blocks.copy()
    used = uses(blocks[..., 0].astype(np.uint8))
    out[..., 1:3] *= used[..., :1]
    out[..., 3:] *= used[..., 1:]
    return out


def decisions_of(draw: st.DrawFn, sides: References, rows: int, columns: int) -> np.ndarray:
    out = draw(arrays(np.int16, (len(sides.dropped), rows, columns, 5)))
    for number, (past, future) in enumerate(zip(sides.past >= 0, sides.future >= 0, strict=True)):
        there = [True, past, future, past and future]
        modes = np.flatnonzero(there)
        out[number, ..., 0] = modes[out[number, ..., 0] % len(modes)]
    return out


def composed_all(frames: np.ndarray, decisions: MotionField) -> np.ndarray:
    """A clip (T, H, W, 3) float32 with its dropped frames painted."""
    composer, dropped = Composer(decisions), decisions.references.dropped.tolist()
    for frame in set(range(len(frames))) - set(dropped):
        composer.add_reference(frame, frames[frame])
    return np.stack([composer.reconstruct(n, frame) if n in dropped else frame for n, frame in enumerate(frames)])


def header_of(frames: np.ndarray) -> Header:
    return dataclasses.replace(HEADER, height=frames.shape[1], width=frames.shape[2])
