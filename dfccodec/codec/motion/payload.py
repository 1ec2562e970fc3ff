"""Write and read the payload of fill policy `motion` (SPEC.md 7.8): modes and motion vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import context_model
from dfccodec.codec.motion.blocks import BLOCK, FIELDS, MODES, MotionField, References, uses
from dfccodec.codec.motion.context_model import BlockContexts, Pass
from dfccodec.codec.motion.tables import initial_counts
from dfccodec.container.records import Clip, Header
from dfccodec.entropy.context_model import Coder
from dfccodec.entropy.mixing.motion import decode_motion, encode_motion
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import decisions, dropped_content
from dfccodec.entropy.rans import check_stream_size, new_decoder, new_encoder
from dfccodec.errors import DamagedError
from dfccodec.native import kernels

__all__ = ["MotionField", "References", "code", "grid", "read", "read_clip", "trim", "write"]

Shorts = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]


def grid(header: Header) -> tuple[int, int]:
    """Number of block rows and columns of a picture."""
    return -(-header.height // BLOCK), -(-header.width // BLOCK)


def write(field: MotionField, content: Content | None = None) -> bytes:
    """Encode the motion field of a clip; no bytes if every block uses the network prediction.

    Args:
        field: the motion field.
        content: the tables of context mixing; None for the coding of section 7.8.1.
    """
    if not field.blocks[..., 0].any():
        return b""
    if content is not None:
        return encode_motion(field.references, field.blocks, content)
    count, rows, columns, _ = field.blocks.shape
    coded = _run_kernel(True, field.references, rows, columns, b"", field.blocks)
    if isinstance(coded, bytes):
        return coded
    flat = field.blocks.reshape(count, rows * columns, FIELDS)
    contexts, writer = BlockContexts(field.references, rows, columns), new_encoder(initial_counts())
    for step in contexts.passes():
        blocks = flat[step.frames, step.cells]
        modes, vectors = blocks[:, 0].astype(np.uint8), blocks[:, 1:].reshape(-1, 2, 2)
        code(step, writer, modes, vectors)
        contexts.put(step, modes, vectors)
    return writer.finish()


def read_clip(clip: Clip, header: Header) -> MotionField:
    """Decode the motion of the dropped frames of a clip whose fill policy has some; errors as for :func:`read`."""
    return read(decisions(clip), clip.kept, header, dropped_content(clip))


def read(payload: bytes, kept: npt.NDArray[np.bool_], header: Header, content: Content | None = None) -> MotionField:
    """Decode a payload of :func:`write`.

    Args:
        payload: the bytes; none mean the network prediction everywhere.
        kept: (T,) bool.
        header: header of the file.
        content: as for :func:`write`.

    Raises:
        LimitError: more blocks than the bytes can hold; nothing was allocated.
        DamagedError: the bytes are invalid, or name a reference that does not exist.
    """
    references = References.of(kept)
    count = len(references.dropped)
    if payload and count in (0, len(kept)):
        raise DamagedError(f"fill payload: {len(payload)} bytes, but {'no' if count else 'every'} frame is kept")
    return read_field(payload, references, header, content=content)


def read_field(
    payload: bytes, references: References, header: Header, what: str = "fill payload", content: Content | None = None
) -> MotionField:  # fmt: skip
    """As :func:`read`, with the frames that move and their references given; `what` names the bytes in errors."""
    rows, columns = grid(header)
    count = len(references.dropped)
    if not payload:
        # A view of one number: the number of frames is untrusted and must not take memory.
        return MotionField(references, np.broadcast_to(np.int16(0), (count, rows, columns, FIELDS)))
    check_stream_size(what, payload, count * rows * columns)
    blocks = np.zeros((count, rows, columns, FIELDS), np.int16)
    if content is not None:
        if not decode_motion(payload, references, blocks, content):
            raise DamagedError(f"{what}: the coded motion is damaged")
        return MotionField(references, blocks)
    if _run_kernel(False, references, rows, columns, payload, blocks):
        return MotionField(references, blocks)
    del blocks  # no kernels, or damaged bytes: then the code below finds the reason
    contexts, reader = BlockContexts(references, rows, columns), new_decoder(payload, initial_counts(), what)
    for step in contexts.passes():
        modes, vectors = code(step, reader, what=what)
        _check_modes(modes, step, references, what)
        contexts.put(step, modes, vectors)
    reader.finish()
    return contexts.decisions()


def _run_kernel(
    encoding: bool, references: References, rows: int, columns: int, data: bytes, blocks: Shorts
) -> bytes | bool:
    """Code `blocks` in C; False if there are no kernels or the bytes are damaged."""
    if kernels is None:
        return False
    frames = [side.astype(np.int32) for side in (references.dropped, references.past, references.future)]
    coded: bytes | bool = kernels.motion(
        encoding, rows, columns, context_model.PART, *frames, initial_counts(), data,
        np.array(blocks, np.int16) if encoding else blocks,
    )  # fmt: skip
    return coded


def code(
    step: Pass, coder: Coder, modes: Bytes | None = None, vectors: Shorts | None = None, what: str = "fill payload"
) -> tuple[Bytes, Shorts]:  # fmt: skip
    """Code the modes (n,) and vectors (n, 2, 2) of a pass; None means decode.

    Raises:
        DamagedError: an invalid symbol.
    """
    ranks = None if modes is None else np.argmax(step.modes == modes[:, None], axis=1).astype(np.int32)
    ranks = coder.code(step.mode_context, None, ranks)
    _check(ranks, MODES, f"{what}: mode")
    modes = np.take_along_axis(step.modes, ranks[:, None], axis=1)[:, 0]
    # The vectors in use: first all into the past, then all into the future.
    side, block = np.nonzero(uses(modes).T)
    mvs = None if vectors is None else vectors[block, side]
    out = step.known.vectors[0].copy()
    out[block, side] = step.known.select(block, side).code(coder, mvs, what)
    return modes, out


def _check(symbols: Ints, count: int, what: str) -> None:
    if symbols.size and not (symbols.min() >= 0 and symbols.max() < count):
        raise DamagedError(f"{what} symbol {symbols.min()} or {symbols.max()}: 0 to {count - 1}")


def _check_modes(modes: Bytes, step: Pass, references: References, what: str) -> None:
    there = np.stack([references.past >= 0, references.future >= 0], axis=1)[step.frames]
    wrong = np.flatnonzero((uses(modes) & ~there).any(axis=1))
    if wrong.size:
        frame = references.dropped[step.frames[wrong[0]]]
        raise DamagedError(f"{what}: mode {modes[wrong[0]]} in frame {frame}: it has no such reference frame")


def trim(
    payload: bytes, header: Header, old: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_], first: int,
    content: Content | None = None,
) -> bytes:  # fmt: skip
    """The payload of a clip after kept frames, or frames at its ends, were removed.

    A frame keeps its motion if it was dropped before and has the same reference frames. All others get the network
    prediction.

    Args:
        payload: the previous payload.
        header: header of the file.
        old, new: (T,) and (T',) bool, the kept frames before and after.
        first: number of the old frame that is now the first.
        content: as for :func:`write`.
    """
    if not payload:  # network prediction everywhere
        return b""
    field = read(payload, old, header, content)
    before, after = field.references, References.of(new)
    out = np.zeros((len(after.dropped), *field.blocks.shape[1:]), np.int16)
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
            out[number] = field.blocks[was]
    return write(MotionField(after, out), content)
