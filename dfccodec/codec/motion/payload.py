"""Decisions of fill policy `motion` <-> bytes (SPEC.md 7.8): a mode and two vectors for every block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, FIELDS, MODES, Decisions, Sides, uses
from dfccodec.codec.motion.tables import first_counts
from dfccodec.codec.motion.walk import Pass, Walk
from dfccodec.container.records import Header
from dfccodec.entropy.range_coding import RangeReader, RangeWriter, check_words
from dfccodec.entropy.range_model import Coder
from dfccodec.errors import DamagedError

__all__ = ["Decisions", "Sides", "code", "grid", "read", "trimmed", "write"]

Shorts = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]


def grid(header: Header) -> tuple[int, int]:
    """(rows, columns) of blocks of a picture."""
    return -(-header.height // BLOCK), -(-header.width // BLOCK)


def write(decisions: Decisions) -> bytes:
    """Code the decisions of a clip: no byte where the model's estimate stands everywhere."""
    if not decisions.blocks[..., 0].any():
        return b""
    count, rows, columns, _ = decisions.blocks.shape
    flat = decisions.blocks.reshape(count, rows * columns, FIELDS)
    walk, writer = Walk(decisions.sides, rows, columns), RangeWriter(first_counts())
    for step in walk.passes():
        own = flat[step.frames, step.cells]
        modes, vectors = own[:, 0].astype(np.uint8), own[:, 1:].reshape(-1, 2, 2)
        code(step, writer, modes, vectors)
        walk.put(step, modes, vectors)
    return writer.finish()


def read(payload: bytes, kept: npt.NDArray[np.bool_], header: Header) -> Decisions:
    """Undo :func:`write`.

    Args:
        payload: the coded bytes; none stand for the model's estimate everywhere.
        kept: (T,) bool.
        header: of the file.

    Raises:
        LimitError: more decisions than so many bytes can hold; nothing was allocated.
        DamagedError: the bytes are not the decisions of that many frames, or name a source that is not there.
    """
    sides, (rows, columns) = Sides.of(kept), grid(header)
    count = len(sides.dropped)
    if not payload:
        # A view of one number: frames without decisions take no memory, however many there are.
        return Decisions(sides, np.broadcast_to(np.int16(0), (count, rows, columns, FIELDS)))
    if count in (0, len(kept)):
        raise DamagedError(f"fill payload: {len(payload)} bytes, but {'no' if count else 'every'} frame is kept")
    check_words("fill payload", payload, count * rows * columns)
    walk, reader = Walk(sides, rows, columns), RangeReader(payload, first_counts(), "fill payload")
    for step in walk.passes():
        modes, vectors = code(step, reader)
        _check_modes(modes, step, sides)
        walk.put(step, modes, vectors)
    reader.finish()
    return walk.decisions()


def code(step: Pass, coder: Coder, modes: Bytes | None = None, vectors: Shorts | None = None) -> tuple[Bytes, Shorts]:
    """Hand the decisions of a pass, modes (n,) and vectors (n, 2, 2), to a coder, or take them from it.

    Raises:
        DamagedError: a symbol that no writer makes.
    """
    ranks = None if modes is None else np.argmax(step.modes == modes[:, None], axis=1).astype(np.int32)
    ranks = coder.code(step.mode_context, None, ranks)
    _check(ranks, MODES, "mode")
    modes = np.take_along_axis(step.modes, ranks[:, None], axis=1)[:, 0]
    # The vectors in use, those into the past first.
    side, block = np.nonzero(uses(modes).T)
    own = None if vectors is None else vectors[block, side]
    out = step.known.vectors[0].copy()
    out[block, side] = step.known.at(block, side).code(coder, own, "fill payload")
    return modes, out


def _check(symbols: Ints, count: int, what: str) -> None:
    if symbols.size and not (symbols.min() >= 0 and symbols.max() < count):
        raise DamagedError(f"fill payload: {what} symbol {symbols.min()} or {symbols.max()}: 0 to {count - 1}")


def _check_modes(modes: Bytes, step: Pass, sides: Sides) -> None:
    there = np.stack([sides.past >= 0, sides.future >= 0], axis=1)[step.frames]
    wrong = np.flatnonzero((uses(modes) & ~there).any(axis=1))
    if wrong.size:
        frame = sides.dropped[step.frames[wrong[0]]]
        raise DamagedError(f"fill payload: mode {modes[wrong[0]]} in frame {frame}: no such source")


def trimmed(
    payload: bytes, header: Header, old: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_], first: int
) -> bytes:
    """The payload of a clip that lost kept frames, or frames at its ends.

    A frame keeps its decisions where it was dropped before and has the same kept frames beside it; all others get the
    model's estimate.

    Args:
        payload: the old one.
        header: of the file.
        old, new: (T,) and (T',) bool, the kept frames before and after.
        first: the old frame that is now the first.
    """
    if not payload:  # nor does a payload of none stand for decisions that would have to be held
        return b""
    decisions = read(payload, old, header)
    before, after = decisions.sides, Sides.of(new)
    out = np.zeros((len(after.dropped), *decisions.blocks.shape[1:]), np.int16)
    at = {int(frame): number for number, frame in enumerate(before.dropped)}
    for number, frame in enumerate((after.dropped + first).tolist()):
        was = at.get(frame)
        if was is None:
            continue
        same = [
            now[number] + first == then[was] if now[number] >= 0 else then[was] < 0
            for now, then in ((after.past, before.past), (after.future, before.future))
        ]
        if all(same):
            out[number] = decisions.blocks[was]
    return write(Decisions(after, out))
