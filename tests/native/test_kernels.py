"""Every kernel in C and its NumPy twin give the same bytes and numbers; wrong sizes are refused."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from motion_clips import HEADER

from dfccodec import native
from dfccodec.codec.clip.frame_buffer import ClipFrameBuffer
from dfccodec.codec.motion import obmc, payload, pyramid, search
from dfccodec.codec.motion.blend import ReferenceBlender
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.motion_encoder import MotionSearch, lambda_for_qp
from dfccodec.container.records import Clip, Coding, Fill, MotionFilter
from dfccodec.entropy import bit_costs, mv_coding, rans, zstd_coding
from dfccodec.entropy.inter import coding, motion_compensation, motion_estimation
from dfccodec.errors import DamagedError

pytestmark = pytest.mark.skipif(native.kernels is None, reason="the extension is not built: there is no C compiler")

KEPT = np.array([0, 1, 0, 0, 0, 1, 0], bool)
SEEDS = st.integers(0, 2**32 - 1)
FILTERS = st.sampled_from(MotionFilter)
SHAPES = st.tuples(
    st.integers(1, 4), st.integers(1, 2), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 2, 7, 40, 96, 130])
)


@contextlib.contextmanager
def twins() -> Iterator[None]:
    """Run the NumPy twins."""
    loaded = [module for name, module in sys.modules.items() if name.startswith("dfccodec.")]
    modules = [module for module in loaded if hasattr(module, "kernels")]
    saved = [module.kernels for module in modules]
    for module in modules:
        module.kernels = None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, kernels in zip(modules, saved, strict=True):
            module.kernels = kernels  # type: ignore[attr-defined]


def latents(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Integers from all zero to over 16 bits, smaller from channel to channel, alike from frame to frame."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-1, 5) / (1 + np.arange(shape[-1]))
    first, more = rng.laplace(size=(1, *shape[1:])), rng.laplace(size=shape) * rng.choice([0, 0.1, 1])
    return np.clip(np.rint((first + more) * size), -32768, 32767).astype(np.int16)


def vectors(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Vectors (K, cells, 2): many alike, some of any size."""
    rng = np.random.default_rng(seed)
    out = rng.integers(-6, 7, (shape[0], int(np.prod(shape[1:4])), 2))
    far = rng.random(out.shape) < 0.05
    out[far] = rng.integers(-32768, 32768, int(far.sum()))
    out[rng.random(out.shape[:2]) < 0.6] = 0
    out[0] = 0
    return out.astype(np.int16)


@settings(max_examples=60)
@given(SHAPES, SEEDS)
def test_range_coding(shape: tuple[int, ...], seed: int) -> None:
    values = latents(shape, seed)
    data = rans.encode_range(values)
    with twins():
        assert rans.encode_range(values) == data
    assert rans.decode_range(data, shape[0], shape[1:4], shape[4]).tobytes() == values.tobytes()  # type: ignore[arg-type]


@settings(max_examples=40)
@given(SHAPES.map(lambda shape: (*shape[:4], 96)), SEEDS)
def test_inter_coding(shape: tuple[int, ...], seed: int) -> None:
    values, mvs = latents(shape, seed), vectors(shape, seed)
    data = coding.encode_inter(values, mvs)
    with twins():
        assert coding.encode_inter(values, mvs) == data
        assert coding.decode_inter(data, shape[0], shape[1:4], 96).tobytes() == values.tobytes()  # type: ignore[arg-type]
        assert coding.decode_mvs(data, shape[0], shape[1:4], 96).tobytes() == mvs.tobytes()  # type: ignore[arg-type]
    assert coding.decode_inter(data, shape[0], shape[1:4], 96).tobytes() == values.tobytes()  # type: ignore[arg-type]
    assert coding.decode_mvs(data, shape[0], shape[1:4], 96).tobytes() == mvs.tobytes()  # type: ignore[arg-type]


def test_several_bands() -> None:
    """Frames of more cells than a band has, whose tiles are not cut where bands are."""
    shape = (3, 2, 130, 70, 9)
    values = latents(shape, 1)
    data = rans.encode_range(values)
    with twins():
        assert rans.encode_range(values) == data
    assert rans.decode_range(data, shape[0], shape[1:4], shape[4]).tobytes() == values.tobytes()
    shape = (2, 2, 130, 70, 96)
    values, mvs = latents(shape, 2), vectors(shape, 2)
    data = coding.encode_inter(values, mvs)
    with twins():
        assert coding.encode_inter(values, mvs) == data
    assert coding.decode_inter(data, shape[0], shape[1:4], 96).tobytes() == values.tobytes()


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.01, 0.03, 0.06])
def test_nearly_certain_symbols(share: float) -> None:
    """Large frequencies: the divisor of the encoder is a special case for the largest, and blocks of equal symbols are
    coded at once, whose quotients are sometimes estimated wrong."""
    values = np.zeros((6, 1, 40, 40, 40), np.int16)
    values[np.random.default_rng(1).random(values.shape) < share] = 1
    data = rans.encode_range(values)
    with twins():
        assert rans.encode_range(values) == data
    assert rans.decode_range(data, 6, (1, 40, 40), 40).tobytes() == values.tobytes()


@settings(max_examples=40)
@given(SHAPES.map(lambda shape: (*shape[:4], 96)), SEEDS, st.booleans())
def test_costs(shape: tuple[int, ...], seed: int, inter: bool) -> None:
    values, mvs = latents(shape, seed), vectors(shape, seed) if inter else None
    lower = np.minimum(values, 32766)
    found = bit_costs.bit_costs(values, lower, mvs)
    slopes = bit_costs.bit_slopes(values, lower, mvs)
    np.testing.assert_array_equal(slopes, found[1] - found[0])
    np.testing.assert_array_equal(bit_costs.bit_slopes(values, lower[-1:], mvs), slopes[-1:])
    savings = bit_costs.bit_savings(values, 1)
    own, none = (bit_costs.bit_costs(values, other)[0, -1:] for other in (lower, np.zeros_like(values)))
    valid = values[-1:] < 32767
    np.testing.assert_array_equal(savings[valid], (own - none)[valid])
    with twins():
        np.testing.assert_array_equal(
            bit_costs.bit_savings(values, 1)[values[-1:] < 32767], savings[values[-1:] < 32767]
        )
        np.testing.assert_array_equal(bit_costs.bit_costs(values, lower, mvs), found)
        np.testing.assert_array_equal(bit_costs.bit_slopes(values, lower, mvs), slopes)


@settings(max_examples=150)
@given(st.binary(min_size=1, max_size=400), st.integers(1, 3), st.booleans())
def test_damaged_latents_give_the_same_error(data: bytes, kept: int, inter: bool) -> None:
    grid, channels = (1, 2, 2), 96
    decode = coding.decode_inter if inter else rans.decode_range
    found = []
    for context in (contextlib.nullcontext(), twins()):
        with context:
            try:
                found.append(decode(data, kept, grid, channels).tobytes())
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}".encode())
    assert found[0] == found[1]


@settings(max_examples=60)
@given(hnp.arrays(np.int16, st.tuples(st.just(5), st.integers(0, 9), st.just(2))), st.booleans())
def test_candidates(five: np.ndarray, adjacent: bool) -> None:
    found = mv_coding.MVCandidates.from_neighbours(five[:4], five[4], adjacent, 100)
    with twins():
        other = mv_coding.MVCandidates.from_neighbours(five[:4], five[4], adjacent, 100)
    for name in ("vectors", "context", "mvd_context"):
        np.testing.assert_array_equal(getattr(found, name), getattr(other, name))


@settings(max_examples=40)
@given(SHAPES.map(lambda shape: (*shape[:4], 96)), SEEDS)
def test_motion_of_latents(shape: tuple[int, ...], seed: int) -> None:
    values, mvs, grid = latents(shape, seed), vectors((2, *shape[1:]), seed)[1], shape[1:4]
    moved = motion_compensation.motion_compensate(values[0].reshape(-1, 96), mvs, grid)  # type: ignore[arg-type]
    found = motion_estimation.estimate_motion(values)
    with twins():
        other = motion_compensation.motion_compensate(values[0].reshape(-1, 96), mvs, grid)  # type: ignore[arg-type]
        np.testing.assert_array_equal(other, moved)
        np.testing.assert_array_equal(motion_estimation.estimate_motion(values), found)


@settings(max_examples=25)
@given(
    st.integers(1, 70), st.integers(1, 70), SEEDS, st.sampled_from(search.Effort), st.booleans(), FILTERS,
    st.sampled_from([(5, 2), (-30, 0), (3, 37)]),
)  # fmt: skip
def test_motion_search(
    height: int, width: int, seed: int, effort: search.Effort, more: bool, motion_filter: MotionFilter,
    move: tuple[int, int],
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    large = rng.random((36, 36, 3), np.float32).repeat(5, axis=0).repeat(5, axis=1)
    large = np.rint(large) if more else large  # the filter overshoots at the edges of black and white
    y, x = rng.integers(30, 70, 2)
    places = (y, x), (y + move[0], x + move[1])
    pictures = [np.ascontiguousarray(large[i : i + height, j : j + width]) for i, j in places]
    now, then = pyramid.Pyramid(pictures[0]), pyramid.Pyramid(pictures[1], motion_filter)
    with twins():
        np.testing.assert_array_equal(pyramid.Pyramid(pictures[1], motion_filter).full.samples, then.full.samples)
    grid = now.rows, now.columns
    known = rng.integers(-300, 300, (*grid, 2)).astype(np.int32) if more else None
    mask = rng.random(grid) < 0.7 if more else None
    weight = float(10 ** rng.uniform(-5, 0))
    found = search.estimate_motion(now, then, weight, known, effort, mask)
    cells = np.arange(grid[0] * grid[1])
    reverse = found[::-1].reshape(-1, 2)
    pair = cells, found.reshape(-1, 2), then.full, reverse
    errors = [pyramid.block_errors(now.full, then.full, *pair, weight) for weight in (16, 0, 5, 32)]
    with twins():
        np.testing.assert_array_equal(search.estimate_motion(now, then, weight, known, effort, mask), found)
        other = [pyramid.block_errors(now.full, then.full, *pair, weight) for weight in (16, 0, 5, 32)]
        np.testing.assert_array_equal(other, errors)


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), SEEDS, st.floats(0, 40), FILTERS)
def test_mode_decision(height: int, width: int, seed: int, qp: float, motion_filter: MotionFilter) -> None:
    rng = np.random.default_rng(seed)
    large = rng.integers(0, 256, (24, 24, 3), np.uint8).repeat(5, axis=0).repeat(5, axis=1)
    places = rng.integers(0, 25, (7, 2)).cumsum(axis=0) // 3
    frames = np.stack([large[y : y + height, x : x + width] for y, x in places])
    estimates = np.where(KEPT[:, None, None, None], frames, 128) / np.float32(255)
    found = []
    for context in (contextlib.nullcontext(), twins()):
        decide = MotionSearch(
            frames, References.of(KEPT), lambda_for_qp(0) * 2 ** (qp / 4), motion_filter=motion_filter
        )
        with context, decide as running:
            for number, picture in enumerate(estimates):
                running.add_frame(number, picture)
            found.append(running.decisions().blocks)
    np.testing.assert_array_equal(found[0], found[1])


def motion_field(rows: int, columns: int, seed: int) -> MotionField:
    """Random modes and vectors of a clip of 7 frames; half of the blocks equal their left neighbour."""
    rng = np.random.default_rng(seed)
    references = References.of(KEPT)
    blocks = np.zeros((5, rows, columns, 5), np.int16)
    blocks[..., 0] = rng.integers(0, 4, blocks.shape[:3])
    blocks[0, ..., 0] &= 2  # no past reference
    blocks[-1, ..., 0] &= 1
    blocks[..., 1:] = rng.integers(-40, 40, (*blocks.shape[:3], 4))
    blocks[..., 1:3] *= (blocks[..., :1] & 1) != 0
    blocks[..., 3:] *= (blocks[..., :1] & 2) != 0
    for column in range(1, columns):
        same = rng.random((5, rows)) < 0.5
        blocks[same, column] = blocks[same, column - 1]
    blocks[2, 0, 0] = 3, 1, 0, 0, 1  # the payload of a field without motion is empty
    return MotionField(references, blocks)


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(1, 50), SEEDS, FILTERS)
def test_compensation_and_payload(height: int, width: int, seed: int, motion_filter: MotionFilter) -> None:
    rng = np.random.default_rng(seed)
    field = motion_field(-(-height // 8), -(-width // 8), seed)
    header = dataclasses.replace(HEADER, height=height, width=width)
    estimate, past, future = rng.random((3, height, width, 3), np.float32)
    sides = obmc.pad_edges(past), None if seed % 4 == 0 else obmc.pad_edges(future)
    found, data = obmc.compensate_frame(estimate, *sides, field.blocks[2], motion_filter), payload.write(field)
    with twins():
        np.testing.assert_array_equal(obmc.compensate_frame(estimate, *sides, field.blocks[2], motion_filter), found)
        assert payload.write(field) == data
        np.testing.assert_array_equal(payload.read(data, KEPT, header).blocks, field.blocks)
    np.testing.assert_array_equal(payload.read(data, KEPT, header).blocks, field.blocks)


@settings(max_examples=40)
@given(st.integers(1, 50), st.integers(1, 50), SEEDS, FILTERS)
def test_compensation_with_direct_motion(height: int, width: int, seed: int, motion_filter: MotionFilter) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = rng.integers(-40, 40, (rows, columns, 5)).astype(np.int16)
    blocks[..., 0] = rng.integers(0, 4, (rows, columns)) * rng.integers(0, 2, (rows, columns))
    past, future = rng.random((2, height, width, 3), np.float32)
    sides = [obmc.pad_edges(past), obmc.pad_edges(future)]
    if seed % 4 == 0:
        sides[seed % 8 // 4], blocks[..., 0] = None, 0  # without a second reference nothing moves
    found = obmc.compensate_frame(past, *sides, blocks, motion_filter, 0.375)
    with twins():
        np.testing.assert_array_equal(obmc.compensate_frame(past, *sides, blocks, motion_filter, 0.375), found)


@settings(max_examples=30)
@example(1, 1, 214235446, MotionFilter.LINEAR)  # all modes but one are those of the estimate
@given(st.integers(1, 50), st.integers(1, 50), SEEDS, FILTERS)
def test_composed_frames(height: int, width: int, seed: int, motion_filter: MotionFilter) -> None:
    """Frames of fill policy `blend`, composed in one pass, equal those of the blender and the compensation."""
    rng = np.random.default_rng(seed)
    field = motion_field(-(-height // 8), -(-width // 8), seed)
    coding, latents = (Coding.PREDICTED, bytes([motion_filter << 1])) if motion_filter else (Coding.INTER, b"")
    clip = Clip(
        0, KEPT, np.zeros(7, np.uint8), 24, 0, (1,), latents, 1, Fill.BLEND, payload.write(field), coding=coding
    )
    head = dataclasses.replace(HEADER, height=height, width=width, tile=0)
    black_and_white = seed % 2 == 0  # of which the filter makes samples below 0 and above 1
    pictures = {number: rng.random((height, width, 3), np.float32) for number in (1, 5)}
    pictures = {number: np.rint(picture) if black_and_white else picture for number, picture in pictures.items()}
    found = []
    for context in (contextlib.nullcontext(), twins()):
        with context, ClipFrameBuffer(clip, head, 1) as buffer:
            assert buffer.fused == (not found)
            add = buffer.add_frame if buffer.fused else ReferenceBlender(KEPT, buffer.add_frame)
            for number, picture in pictures.items():
                add(number, picture)
        found.append(buffer.frames)
    np.testing.assert_array_equal(found[0], found[1])
    composer = obmc.Composer(field, motion_filter)
    for number, picture in pictures.items():
        composer.add_reference(number, picture)
    estimate = pictures[1] + (pictures[5] - pictures[1]) * np.float32(0.25)
    exact = 255 * np.clip(composer.reconstruct(2, estimate), 0, 1)
    assert np.abs(exact - found[0][2]).max() <= 0.5001


def test_truncated_payload_is_damaged() -> None:
    coder = rans.new_decoder(b"\1\0\0\0", np.ones((1, 33), np.int64), "payload")
    with pytest.raises(DamagedError, match="payload: rANS stream ends"):
        coder.code(np.zeros(1000, np.uint8), None, None)


def test_wrong_sizes_are_refused() -> None:
    assert native.kernels is not None
    none, counts = np.zeros(0, np.int16), np.ones((161, 33), np.int64)
    tables = np.zeros(4096, np.float32), counts, np.zeros((2, 2, 2, 2, 8), np.int32), np.zeros((96, 768), np.int8)
    with pytest.raises(ValueError, match="values"):
        native.kernels.latents(0, 1, 1, 2, 2, 96, True, np.zeros(3, np.int16), b"", none, 0, none, none, *tables)
    with pytest.raises(ValueError, match="sizes"):
        native.kernels.latents(0, 1, 0, 2, 2, 96, True, none, b"", none, 0, none, none, *tables)
    with pytest.raises(ValueError, match="context"):
        native.kernels.run_coder(native.kernels.new_coder(False, counts, b""), b"\xff", np.zeros(1, np.int32))


def test_kernels_can_be_disabled() -> None:
    code = "from dfccodec import native; print(native.kernels)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "DFC_NATIVE": "0"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


@given(shape=SHAPES, seed=SEEDS)
@example((3, 2, 4, 5, 96), 1)
def test_latents_of_the_zstd_coding(shape: tuple[int, int, int, int, int], seed: int) -> None:
    values = latents(shape, seed)
    kept, *grid, channels = shape
    data, planes = zstd_coding.encode_zstd(values, level=1)
    tiles, rows, columns = grid
    np.testing.assert_array_equal(zstd_coding.decode_zstd(data, kept, (tiles, rows, columns), channels, planes), values)
    with twins():
        found = zstd_coding.decode_zstd(data, kept, (tiles, rows, columns), channels, planes)
    np.testing.assert_array_equal(found, values)


def test_unknown_filters_are_refused() -> None:
    assert native.kernels is not None
    raw = bytearray(2 * 3 * (1 + 4))
    values = np.empty((2, 1, 2, 2, 3), np.int16)
    assert native.kernels.undo_filters(1, 2, 1, 2, 2, 3, bytes(raw), values)
    raw[5] = 4
    assert not native.kernels.undo_filters(1, 2, 1, 2, 2, 3, bytes(raw), values)
    with pytest.raises(ValueError, match="raw"):
        native.kernels.undo_filters(2, 2, 1, 2, 2, 3, bytes(raw), values)
    with pytest.raises(ValueError, match="sizes"):
        native.kernels.undo_filters(3, 2, 1, 2, 2, 3, bytes(raw), values)
