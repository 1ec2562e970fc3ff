"""Four small files whose decoding `make_traces.py` writes out symbol by symbol."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from vector_clips import Clip, integers
from vector_files import File
from vector_inter import inter_clip
from vector_parts import Head
from vector_predicted import predicted

Good = tuple[str, str, File]


def valid_traced() -> Iterator[Good]:
    """A file of coding 1, one of coding 2, one of fill policy motion, one of context mixing."""
    values = np.array([[[40, -3, 1], [37, 0, 0]], [[41, -3, 0], [12, 2, 0]]], np.int16).reshape(2, 1, 1, 2, 3)
    clip = Clip(frames=2, kept=(0, 1), values=values, coding=1)
    yield "range-trace", "coding 1, traced in traces/range.txt", File(Head(width=32, channels=3), [clip])
    vectors = np.array([[(0, 0), (0, 0)], [(6, -4), (7, 0)]], np.int16)
    clip = inter_clip((2, 1, 1, 2, 96), vectors, size=3)
    yield "inter-trace", "coding 2, traced in traces/inter.txt", File(Head(width=32, channels=96), [clip])
    decisions = np.zeros((2, 2, 2, 5), np.int16)
    decisions[0] = [[(3, 1, 2, 0, -1), (3, 1, 2, 0, -1)], [(1, 1, 2, 0, 0), (0, 0, 0, 0, 0)]]
    decisions[1] = [[(3, 2, 4, 0, -1), (3, 2, 4, 0, 0)], [(1, 2, 4, 0, 0), (2, 0, 0, 5, 0)]]
    values = integers((2, 1, 1, 1, 1), 2, 9)
    clip = Clip(frames=4, kept=(0, 3), values=values, fill=3, motion=decisions)
    yield "motion-trace", "fill policy motion, traced in traces/motion.txt", File(body=[clip])
    yield "mixing-trace", "context mixing, traced in traces/mixing.txt", mixing_file()


def mixing_file() -> File:
    """An intra frame, a frame predicted from it, and two dropped frames between them."""
    values = np.zeros((2, 1, 1, 2, 96), np.int16)
    values[0, 0, 0, :, :6] = [(9, -3, 1, 0, 2, 0), (14, -2, 0, 0, 0, 1)]
    values[1, 0, 0, 0, :6] = [-1, 2, 0, 0, 0, 1]
    kept, dropped = np.zeros((1, 2, 4, 5), np.int16), np.zeros((2, 2, 4, 5), np.int16)
    kept[0, :, :3, :3] = [[(1, 2, -5), (0, 0, 0), (1, 2, -5)], [(0, 0, 0), (1, 2, -4), (0, 0, 0)]]
    dropped[0, :, :3] = [
        [(3, 1, -2, -1, 3), (3, 1, -2, -1, 3), (3, 0, 4, -1, 3)],
        [(0, 0, 0, 0, 0), (1, 1, 0, 0, 0), (2, 0, 0, -1, 3)],
    ]
    dropped[1, 0, :2] = [(3, 2, -4, 0, 1), (1, 2, -4, 0, 0)]
    clip = predicted(
        (0, 3), 4, bytes([200, 0, 0, 100]), tools=16, values=values, kept_motion=kept, motion=dropped
    )  # fmt: skip
    return File(Head(width=32, channels=96), [clip])
