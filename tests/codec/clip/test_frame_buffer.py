"""The frame buffer: decode order, rounding, motion compensation and memory."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

from dfccodec.codec.clip.frame_buffer import ClipFrameBuffer, decode_order
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import FUTURE, MotionField, References
from dfccodec.container.records import Clip, Fill, Header, Ratio
from dfccodec.errors import DamagedError

HEADER = Header(40, 24, Ratio(25, 1), Ratio(1, 25))
KEPT = np.array([0, 1, 0, 0, 1, 0], bool)


def clip(fill: Fill = Fill.TOKEN, blocks: np.ndarray | None = None, kept: np.ndarray = KEPT) -> Clip:
    data = b"" if blocks is None else payload.write(MotionField(References.of(kept), blocks))
    return Clip(0, kept, np.zeros(len(kept), np.uint8), 24, 0, (1,), b"", fill=fill, fill_payload=data)


def frames() -> np.ndarray:
    return np.random.default_rng(3).random((6, 24, 40, 3), np.float32) * 1.2 - 0.1


def test_decode_order_lists_kept_frames_first() -> None:
    assert decode_order(KEPT) == [1, 4, 0, 2, 3, 5]


def test_frames_are_clamped_and_rounded_half_up() -> None:
    network_frames = frames()
    network_frames[0, 0, 0] = (np.nan, 2, -2)
    network_frames[0, 0, 1] = np.array([0.5, 1.5, 1.4999]) / 255
    with ClipFrameBuffer(clip(), HEADER, threads=2) as buffer:
        buffer.add_all(network_frames)
    assert buffer.frames[0, 0, :2].tolist() == [[0, 255, 0], [1, 2, 1]]
    np.testing.assert_array_equal(buffer.frames[1:], (np.clip(network_frames[1:], 0, 1) * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_dropped_frames_are_motion_compensated(threads: int) -> None:
    network_frames, blocks = frames(), np.zeros((4, 3, 5, 5), np.int16)
    blocks[1:3, ..., 0] = FUTURE  # frames 2 and 3 repeat frame 4 without motion
    with ClipFrameBuffer(clip(Fill.MOTION, blocks), HEADER, threads) as buffer:
        buffer.add_all(network_frames)
    rounded = (np.clip(network_frames, 0, 1) * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(buffer.frames[[0, 1, 4, 5]], rounded[[0, 1, 4, 5]])
    assert np.abs(buffer.frames[2:4].astype(int) - rounded[4]).max() <= 1  # the overlapping windows add up to nearly 1


def test_float_frames_are_not_stored() -> None:
    header = Header(320, 240, Ratio(25, 1), Ratio(1, 25))
    floats = 4 * 240 * 320 * 3
    tracemalloc.start()
    try:
        with ClipFrameBuffer(clip(kept=np.arange(32) % 4 == 0), header, threads=2) as buffer:
            for number in range(32):
                buffer.add_frame(number, np.full((240, 320, 3), number / 255, np.float32))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < buffer.frames.nbytes + 5 * floats


def test_a_frame_buffer_is_freed_without_the_garbage_collector() -> None:
    """A reference cycle would keep the frames of one clip in memory while the next clip is decoded."""
    gc.disable()
    try:
        with ClipFrameBuffer(clip(Fill.MOTION), HEADER, threads=2) as buffer:
            buffer.add_all(frames())
        reference = weakref.ref(buffer)
        del buffer
        assert reference() is None
    finally:
        gc.enable()


def test_an_invalid_fill_payload_is_rejected_first() -> None:
    damaged = Clip(0, KEPT, np.zeros(6, np.uint8), 24, 0, (1,), b"", fill=Fill.MOTION, fill_payload=b"\1\2\3")
    with pytest.raises(DamagedError):
        ClipFrameBuffer(damaged, HEADER, threads=1)
