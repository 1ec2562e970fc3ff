"""Decisions of fill policy `motion` <-> bytes (SPEC.md 6.7): a mode and two vectors for every block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Header
from dfccodec.entropy.range_coding import decode_range, encode_range
from dfccodec.errors import DamagedError

Shorts = npt.NDArray[np.int16]

BLOCK = 8
"""Side of a block in pixels: whatever the model's patch is, the payload is read the same."""

SUB = 2
"""Vectors count half pixels. Quarters cost 9 % more bits and gain nothing."""

MODEL, PAST, FUTURE, BOTH = range(4)
"""Modes: what a block is predicted from."""

FIELDS = 5
"""Of a decision: mode, down and right into the past, down and right into the future."""


@dataclass(frozen=True)
class Sides:
    """The dropped frames of a clip and the kept frames beside each.

    Attributes:
        dropped: (D,) frames.
        past, future: (D,) the kept frames before and after; -1 where there is none.
    """

    dropped: npt.NDArray[np.intp]
    past: npt.NDArray[np.intp]
    future: npt.NDArray[np.intp]

    @classmethod
    def of(cls, kept: npt.NDArray[np.bool_]) -> Sides:
        """Those of a clip whose kept frames are `kept` (T,)."""
        index, dropped = np.flatnonzero(kept), np.flatnonzero(~kept)
        place = np.searchsorted(index, dropped)
        framed = np.concatenate([[-1], index, [-1]])
        return cls(dropped, framed[place], framed[place + 1])


def grid(header: Header) -> tuple[int, int]:
    """(rows, columns) of blocks of a picture."""
    return -(-header.height // BLOCK), -(-header.width // BLOCK)


def write(decisions: Shorts) -> bytes:
    """Code the decisions of a clip; vectors no block uses cost least where they are those of :func:`carry`.

    Args:
        decisions: (D, rows, columns, 5), D at least 1 or the bytes are none.
    """
    if not decisions[..., 0].any():
        return b""
    return encode_range(_differences(carry(decisions))[:, None])


def read(payload: bytes, kept: npt.NDArray[np.bool_], header: Header) -> Shorts:
    """Undo :func:`write`.

    Args:
        payload: the coded bytes; none stand for the model's estimate everywhere.
        kept: (T,) bool.
        header: of the file.

    Returns:
        (D, rows, columns, 5) int16.

    Raises:
        LimitError: more decisions than so many bytes can hold; nothing was allocated.
        DamagedError: the bytes are not the decisions of that many frames, or name a source that is not there.
    """
    sides, (rows, columns) = Sides.of(kept), grid(header)
    count = len(sides.dropped)
    if not payload:
        # A view of one number: frames without decisions take no memory, however many there are.
        return np.broadcast_to(np.int16(0), (count, rows, columns, FIELDS))
    if count in (0, len(kept)):
        raise DamagedError(f"fill payload: {len(payload)} bytes, but {'no' if count else 'every'} frame is kept")
    try:
        differences = decode_range(payload, count, (1, rows, columns), FIELDS)[:, 0]
    except DamagedError as error:
        raise type(error)(f"fill payload: {error}") from None
    out = _summed(differences)
    _check_modes(out[..., 0], sides)
    return out


def _check_modes(modes: Shorts, sides: Sides) -> None:
    has = np.stack([sides.past >= 0, sides.future >= 0])
    allowed = np.stack([np.ones(len(sides.dropped), bool), has[0], has[1], has[0] & has[1]], axis=1)
    for number, (frame, fine) in enumerate(zip(modes, allowed, strict=True)):
        known = (frame >= MODEL) & (frame <= BOTH)
        wrong = frame[~known | ~fine[np.where(known, frame, MODEL)]]
        if wrong.size:
            raise DamagedError(f"fill payload: mode {wrong[0]} in frame {sides.dropped[number]}: no such source")


def carry(decisions: Shorts) -> Shorts:
    """The same with unused vectors taken from the block to the left; in the first column, from the one above."""
    out = decisions.copy()
    modes = out[..., 0]
    for place, other in ((1, FUTURE), (3, PAST)):
        unused = (modes == MODEL) | (modes == other)
        own = out[..., place : place + 2]
        for vectors, free in ((own[:, :, 0], unused[:, :, 0]), (own, unused)):
            index = np.where(free, 0, np.arange(vectors.shape[-2]))
            index = np.maximum.accumulate(index, axis=-1)
            if vectors.ndim == 3:
                vectors[:, 0][free[:, 0]] = 0
            vectors[:] = np.take_along_axis(vectors, index[..., None], axis=-2)
    return out


def _differences(decisions: Shorts) -> Shorts:
    """Vectors as differences to the block to the left, or above in the first column; modulo 2^16."""
    out = decisions.copy()
    vectors = decisions[..., 1:]
    out[:, :, 1:, 1:] -= vectors[:, :, :-1]
    out[:, 1:, 0, 1:] -= vectors[:, :-1, 0]
    return out


def _summed(differences: Shorts) -> Shorts:
    """Undo :func:`_differences`."""
    out = differences.copy()
    vectors = out[..., 1:]
    np.cumsum(vectors[:, :, 0], axis=1, dtype=np.int16, out=vectors[:, :, 0])
    np.cumsum(vectors, axis=2, dtype=np.int16, out=vectors)
    return out


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
    decisions = read(payload, old, header)
    before, after = Sides.of(old), Sides.of(new)
    out = np.zeros((len(after.dropped), *decisions.shape[1:]), np.int16)
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
            out[number] = decisions[was]
    return write(out)
