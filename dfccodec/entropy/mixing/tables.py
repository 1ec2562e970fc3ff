"""Constants and trained tables of context mixing (SPEC.md 7.11.2). `mixing.tables` is written by
`python -m dfccodec.training.mixing_tables`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

INPUTS = 7
"""Contexts of a decision, each with a prediction that is mixed with the others."""

GROUPS = (0, 2, 6, 12, 20, 32, 48, 64, 96)
DETAIL_GROUPS = (0, 3, 9, 18, 36, 60, 90, 130, 192)
"""First channel of each group of latents or residuals, and of details, and the end."""

DEPTHS = len(GROUPS) - 1
UNARY, TOP_BITS = 12, 6
NODES = UNARY + TOP_BITS
"""Decisions about the magnitude of a number: its length in bits, and the bit below the first."""

LINEAR_ROWS, LINEAR_CHANNELS, LINEAR_CELLS = 40, 16, 5
LINEAR_WEIGHTS = LINEAR_CELLS * LINEAR_CHANNELS + 4

MAX_COUNT, MAX_WEIGHT, MAX_LEVEL = 255, 1 << 20, 33
PROBABILITY_STEP, WEIGHT_STEP = 64, 64
"""Units of the probabilities, in the stretched domain, and of the weights, in the file."""

KNOTS = (
    32, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
    40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65504,
)  # fmt: skip
"""65536 / (1 + exp(−x / 256)) at x = −2048, −1920, …, 2048, rounded and limited to 32 … 65504."""


class Content(IntEnum):
    """What a stream codes. Each has tables of its own."""

    INTRA = 0
    RESIDUAL = 1
    KEPT_MOTION = 2
    DROPPED_MOTION = 3
    DETAIL = 4

    @property
    def is_motion(self) -> bool:
        """Whether it is motion; the others are integers."""
        return self in (Content.KEPT_MOTION, Content.DROPPED_MOTION)

    @property
    def groups(self) -> tuple[int, ...]:
        """First channel of each group, and the number of channels; of integers only."""
        return DETAIL_GROUPS if self == Content.DETAIL else GROUPS


@dataclass(frozen=True)
class Keys:
    """Contexts of one kind of decisions: for each of seven inputs `keys[i]` times `nodes`.

    Args:
        keys: number of keys of each input.
        nodes: number of decisions that share a key.
        sets_a, sets_b: number of sets of weights of both kinds.
    """

    keys: tuple[int, ...]
    nodes: int
    sets_a: int
    sets_b: int

    @property
    def contexts(self) -> int:
        """Number of contexts."""
        return self.nodes * sum(self.keys)


def _integer_keys(channels: int) -> tuple[Keys, Keys, Keys]:
    """Of magnitudes, signs and depths."""
    magnitudes = (channels * 25, channels * 24, 24 * 24, 24 * 8 * 4, channels * 8 * 4, 24 * 24, 24 * 7 * 4)
    return (
        Keys(magnitudes, NODES, 192 + 6, 288 + 24),
        Keys((channels * 9, 48, channels * 3, 24 * 48, 21 * 48, channels, 8 * 9), 1, 16, 3),
        Keys((17, 81, 170, 81, 73, 81, 100), DEPTHS, 16, 9),
    )


LATENT_KEYS, DETAIL_KEYS = (_integer_keys(groups[-1]) for groups in (GROUPS, DETAIL_GROUPS))

MODE = Keys((125 * 5, 256 * 3, 125 * 25, 625, 64 * 25, 64 * 5, 125 * 12), 3, 45, 90)
CHOICE = Keys((48 * 12, 15 * 24, 25 * 20, 8 * 25, 16 * 64, 10 * 40, 30 * 40), 6, 12, 108)
DIFFERENCE = Keys((16 * 9, 64 * 2, 64 * 2, 16 * 16, 12 * 8, 32, 25 * 16), NODES, 24 + 6, 96 + 8)
DIFFERENCE_SIGN = Keys((6, 3, 64, 3, 8, 4, 9), 1, 1, 64)
MOTION_KEYS = MODE, CHOICE, DIFFERENCE, DIFFERENCE_SIGN


def keys_of(content: Content) -> tuple[Keys, ...]:
    """The kinds of decisions of a stream."""
    if content.is_motion:
        return MOTION_KEYS
    return DETAIL_KEYS if content == Content.DETAIL else LATENT_KEYS


def first_contexts(kinds: Sequence[Keys]) -> list[list[int]]:
    """First context of each input of each kind."""
    sizes = [kind.nodes * count for kind in kinds for count in kind.keys]
    starts = list(accumulate(sizes[:-1], initial=0))
    return [starts[INPUTS * i : INPUTS * (i + 1)] for i in range(len(kinds))]


@dataclass(frozen=True)
class Tables:
    """What a coder begins with.

    Args:
        probabilities: (contexts,) uint16, of a 1, in 1/65536.
        counts: (contexts,) uint8, decisions that a probability is worth; 0 to 255.
        weights: (sets, 7) int32, in 1/65536: all sets of kind A, then those of kind B.
        profile: (channels,) uint16, mean magnitude of each channel, 256 in the mean; of integers only, as the next two.
        partners: (channels, 2) uint8, earlier channels that tell most about the magnitude of a channel; if not smaller
            than the channel, none.
        linear: (40, 84) int16, weights of the linear prediction of the first channels, in 1/256.
    """

    probabilities: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.uint8]
    weights: npt.NDArray[np.int32]
    profile: npt.NDArray[np.uint16]
    partners: npt.NDArray[np.uint8]
    linear: npt.NDArray[np.int16]

    @property
    def learned(self) -> tuple[np.ndarray, ...]:
        """Squash, probabilities, counts and weights, as the kernels want them."""
        return squash_and_stretch(), self.probabilities, self.counts, self.weights


_FILE = Path(__file__).with_name("mixing.tables")


def _layout(content: Content) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of each part of the tables of a stream, in the order of the file."""
    kinds = keys_of(content)
    contexts, sets = sum(k.contexts for k in kinds), sum(k.sets_a + k.sets_b for k in kinds)
    channels = 0 if content.is_motion else content.groups[-1]
    return [
        ("profile", "<u2", (channels,)), ("partners", "u1", (channels, 2)),
        ("linear", "<i2", (LINEAR_ROWS if channels else 0, LINEAR_WEIGHTS)),
        ("probabilities", "i1", (contexts,)), ("counts", "u1", (contexts,)), ("weights", "<i2", (sets, INPUTS)),
    ]  # fmt: skip


@lru_cache(maxsize=1)
def squash_and_stretch() -> npt.NDArray[np.int16]:
    """Return (2, 4096) int16: squash(x) of x = −2048 … 2047, to be read as unsigned, and stretch of p = 0 … 4095."""
    x = np.arange(-2048, 2048)
    knots, at = np.array(KNOTS), (x + 2048) >> 7
    squash = knots[at] + (((knots[at + 1] - knots[at]) * (x & 127) + 64) >> 7)
    stretch = np.searchsorted(squash, 16 * np.arange(4096) + 8) - 2048
    return np.stack([squash.astype(np.uint16).view(np.int16), stretch.clip(-2047, 2047).astype(np.int16)])


@lru_cache(maxsize=1)
def load_tables() -> tuple[Tables, ...]:
    """Return the tables of each :class:`Content`. Do not change the arrays."""
    data, out, at = zstandard.ZstdDecompressor().decompress(_FILE.read_bytes()), [], 0
    for content in Content:
        parts: dict[str, Any] = {}
        for name, kind, shape in _layout(content):
            parts[name] = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
            at += parts[name].nbytes
        codes = PROBABILITY_STEP * parts["probabilities"].astype(np.int16)
        parts["probabilities"] = squash_and_stretch()[0].view(np.uint16)[codes.clip(-2047, 2047) + 2048]
        parts["weights"] = WEIGHT_STEP * parts["weights"].astype(np.int32)
        out.append(Tables(**parts))
    return tuple(out)


def dump_tables(all_tables: Sequence[Tables]) -> bytes:
    """Return the file `mixing.tables`; probabilities and weights are rounded to the units of the file."""
    stretch, out = squash_and_stretch()[1], []
    for content, tables in zip(Content, all_tables, strict=True):
        codes = np.rint(stretch[tables.probabilities >> 4] / PROBABILITY_STEP)
        codes[tables.counts == 0] = 0
        parts = {**vars(tables), "probabilities": codes, "weights": tables.weights // WEIGHT_STEP}
        out += [parts[name].astype(kind).tobytes() for name, kind, _ in _layout(content)]
    return zstandard.ZstdCompressor(level=19).compress(b"".join(out))
