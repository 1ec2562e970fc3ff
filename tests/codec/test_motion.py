"""Fill policy motion: payload, composition, search, and the whole way through a file."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec import fill
from dfccodec.codec.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import BLOCK, BOTH, FUTURE, MODEL, PAST, SUB, Decisions, Sides, uses
from dfccodec.codec.motion.compose import Composer, composed, fetch, framed, quarters, window
from dfccodec.codec.motion.decide import Effort, MotionSearch, slope_of
from dfccodec.codec.motion.search import Pyramid, vectors_between
from dfccodec.codec.motion.tables import CONTEXTS, first_counts
from dfccodec.codec.motion.walk import Walk, levels, phases
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip, Fill, Header, Ratio
from dfccodec.entropy.vectors import PRIOR
from dfccodec.errors import DamagedError, DfcError, LimitError

FORMATS = Path(__file__).parents[2] / "formats"
HEADER = Header(44, 28, Ratio(25, 1), Ratio(1, 25))  # 4 × 6 blocks
KEPT = np.array([0, 1, 0, 0, 1, 0, 0], bool)
SIDES = Sides.of(KEPT)


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


def decisions_of(draw: st.DrawFn, sides: Sides, rows: int, columns: int) -> np.ndarray:
    out = draw(arrays(np.int16, (len(sides.dropped), rows, columns, 5)))
    for number, (past, future) in enumerate(zip(sides.past >= 0, sides.future >= 0, strict=True)):
        there = [True, past, future, past and future]
        modes = np.flatnonzero(there)
        out[number, ..., 0] = modes[out[number, ..., 0] % len(modes)]
    return out


@st.composite
def coded_clips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Header]:
    frames = draw(st.integers(2, 8))
    kept = np.array(draw(st.lists(st.booleans(), min_size=frames, max_size=frames)))
    kept[draw(st.integers(0, frames - 1))] = True
    header = dataclasses.replace(HEADER, width=draw(st.integers(1, 40)), height=draw(st.integers(1, 40)))
    return kept, decisions_of(draw, Sides.of(kept), *payload.grid(header)), header


def test_sides() -> None:
    assert SIDES.dropped.tolist() == [0, 2, 3, 5, 6]
    assert SIDES.past.tolist() == [-1, 1, 1, 4, 4]
    assert SIDES.future.tolist() == [1, 4, 4, -1, -1]
    assert Sides.of(np.zeros(2, bool)).past.tolist() == [-1, -1]


@settings(max_examples=40, deadline=None)
@given(coded_clips())
def test_payloads_come_back_but_for_unused_vectors(case: tuple[np.ndarray, np.ndarray, Header]) -> None:
    kept, blocks, header = case
    data = payload.write(Decisions(Sides.of(kept), blocks))
    back = payload.read(data, kept, header)
    assert (back.blocks == cleared(blocks)).all()
    assert payload.write(back) == data


def test_smooth_decisions_cost_next_to_nothing() -> None:
    blocks = np.zeros((5, 32, 32, 5), np.int16)
    blocks[1:3] = [BOTH, 3, -8, -3, 8]
    assert len(payload.write(Decisions(SIDES, blocks))) < 220
    blocks[1, 7, 9, 1:3] = 40, 50
    assert len(payload.write(Decisions(SIDES, blocks))) < 260


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_every_block_is_in_one_phase_and_its_neighbours_in_an_earlier_one(rows: int, columns: int) -> None:
    known = np.zeros(rows * columns, bool)
    for phase in phases(rows, columns):
        assert not known[phase.cells].any()
        if phase.near is not None:
            assert (known[phase.near] | (phase.near == phase.cells)).all()
        known[phase.cells] = True
    assert known.all()


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_every_frame_is_in_one_level_and_the_one_before_in_an_earlier_one(kept: list[bool]) -> None:
    kept[len(kept) // 2] = False
    sides, done = Sides.of(np.array(kept)), set[int]()
    for level in levels(sides, 1 << 18):  # two frames at a time
        before = level.frames - 1 if level.before is None else level.before
        for number, then in zip(level.frames.tolist(), before.tolist(), strict=True):
            follows = number > 0 and sides.dropped[number] == sides.dropped[number - 1] + 1
            assert follows == (level.before is not None)
            assert not follows or then in done
        done |= set(level.frames.tolist())
    assert done == set(range(len(sides.dropped)))


def test_levels_of_many_blocks_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FORMATS))
    from read_motion import read_motion

    def need(fine: object, *_: object) -> None:
        assert fine

    rng, blocks = np.random.default_rng(3), np.zeros((5, 4, 6, 5), np.int16)
    blocks[..., 0], blocks[..., 1:] = [[[FUTURE]], [[PAST]], [[BOTH]], [[PAST]], [[MODEL]]], rng.integers(-9, 9, 4)
    blocks[1:3, 1:3, ..., 1:] = rng.integers(-99, 99, (2, 2, 6, 4))
    for part in (1, 2 * 24, 1 << 19):
        monkeypatch.setattr("dfccodec.codec.motion.walk.PART", part)
        monkeypatch.setattr("read_motion.PART", part)
        data = payload.write(Decisions(SIDES, blocks))
        found = payload.read(data, KEPT, HEADER).blocks
        assert np.array_equal(found, cleared(blocks))
        again = read_motion(data, len(KEPT), np.flatnonzero(KEPT).tolist(), {"height": 28, "width": 44}, need)
        assert again["motion_sha256"] == hashlib.sha256(found.astype("<i2").tobytes()).hexdigest()


def test_vectors_of_the_frame_before_are_scaled_to_the_distance() -> None:
    sides = Sides.of(np.array([1, 0, 0, 0, 1], bool))
    walk, seen = Walk(sides, 1, 1), []
    for step in walk.passes():
        seen.append(step.known.vectors[0, 0].tolist())
        walk.put(step, np.array([BOTH], np.uint8), np.array([[[10, -5], [9, 32767]]], np.int16))
    assert seen == [[[0, 0], [0, 0]], [[20, -10], [6, 21845]], [[15, -7], [5, 16384]]]


def test_first_statistics() -> None:
    assert first_counts().shape == (CONTEXTS, 33)
    assert (first_counts().sum(axis=1) == PRIOR).all()
    assert first_counts().min() == 0


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_decisions_or_damaged(data: bytes) -> None:
    clip = Clip(0, KEPT, np.zeros(7, np.uint8), 24, 0, (1,), b"", fill=Fill.MOTION, fill_payload=data)
    try:
        fill.policy(Fill.MOTION).check(clip, HEADER)
    except DfcError as error:
        assert isinstance(error, DamagedError)
        assert "fill payload" in str(error)


@pytest.mark.parametrize(("frame", "mode"), [(0, PAST), (0, BOTH), (3, FUTURE), (4, BOTH)])
def test_modes_without_a_source_are_damaged(frame: int, mode: int) -> None:
    blocks = np.zeros((5, 4, 6, 5), np.int16)
    blocks[frame, 3, 2, 0] = mode
    with pytest.raises(DamagedError, match=f"mode {mode} in frame {SIDES.dropped[frame]}"):
        payload.read(payload.write(Decisions(SIDES, blocks)), KEPT, HEADER)


def test_payloads_of_nothing_and_claims_are_refused() -> None:
    for kept in (np.zeros(7, bool), np.ones(7, bool)):
        with pytest.raises(DamagedError, match=r"(every|no) frame is kept"):
            payload.read(b"\0\0\0\1", kept, HEADER)
        assert payload.read(b"", kept, HEADER).blocks.sum() == 0
    huge = dataclasses.replace(HEADER, width=16384, height=8192)
    with pytest.raises(LimitError, match="fill payload"):
        payload.read(b"\0\0\0\1", np.array([True, False]), huge)
    assert payload.read(b"", np.array([True] + [False] * 15), huge).blocks.shape == (15, 1024, 2048, 5)


def test_windows_add_up_to_one() -> None:
    assert window()[:BLOCK] + window()[BLOCK:] == pytest.approx(1)
    np.testing.assert_allclose(quarters().sum(axis=0), 1, atol=1e-6)


def by_the_specification(frames: np.ndarray, sides: Sides, number: int, decisions: np.ndarray) -> np.ndarray:
    """SPEC.md 6.7 sample by sample, in binary64."""
    _, height, width, _ = frames.shape
    total, weights = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    model, past, future = (frames[int(s[number])].astype(float) for s in (sides.dropped, sides.past, sides.future))

    def at(picture: np.ndarray, y: int, x: int) -> np.ndarray:
        out: np.ndarray = picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
        return out

    def shifted(picture: np.ndarray, y: int, x: int, v: int, h: int) -> np.ndarray:
        a, b, f, g = v // 2, h // 2, v % 2, h % 2
        low, high = (
            at(picture, y + a, x + b + i) * (1 - f / 2) + at(picture, y + a + 1, x + b + i) * f / 2 for i in (0, 1)
        )
        out: np.ndarray = low + (high - low) * g / 2
        return out

    for row, column in np.ndindex(decisions.shape[:2]):
        mode, *vector = (int(n) for n in decisions[row, column])
        for i, j in np.ndindex(16, 16):
            y, x = row * 8 - 4 + i, column * 8 - 4 + j
            if 0 <= y < height and 0 <= x < width:
                choices = [
                    lambda y=y, x=x: model[y, x],
                    lambda y=y, x=x, v=vector: shifted(past, y, x, *v[:2]),
                    lambda y=y, x=x, v=vector: shifted(future, y, x, *v[2:]),
                ]
                sample = choices[mode]() if mode < 3 else (choices[1]() + choices[2]()) / 2
                weight = np.sin(np.pi * (i + 0.5) / 16) ** 2 * np.sin(np.pi * (j + 0.5) / 16) ** 2
                total[y, x] += weight * sample
                weights[y, x] += weight
    return np.asarray(total / weights)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_pictures_are_those_of_the_specification(draw: st.DataObject) -> None:
    frames = np.random.default_rng(draw.draw(st.integers(0, 99))).random((7, 13, 18, 3), np.float32)
    decisions = draw.draw(st.composite(lambda d: decisions_of(d, SIDES, 2, 3))())
    small = draw.draw(st.booleans())
    decisions[..., 1:] %= 21 if small else 32767
    decisions[..., 1:] -= 10
    want = [by_the_specification(frames, SIDES, n, decisions[n]) for n in range(len(decisions))]
    made = composed_all(frames, Decisions(SIDES, decisions))
    np.testing.assert_allclose(made[SIDES.dropped], want, atol=2e-6)
    np.testing.assert_array_equal(made[KEPT], frames[KEPT])


def test_vectors_far_outside_are_the_nearest_pixel() -> None:
    picture = texture(16, 16)
    vectors = np.array([[-32768, -32768], [32767, 32767]], np.int32)
    corner = fetch(framed(picture), np.zeros((2, 2), np.int32), vectors)
    np.testing.assert_array_equal(corner[0], np.broadcast_to(picture[0, 0], (BLOCK, BLOCK, 3)))
    np.testing.assert_array_equal(corner[1], np.broadcast_to(picture[-1, -1], (BLOCK, BLOCK, 3)))


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("move", [(0, 0), (5, -9), (-31, 32)])
def test_the_search_finds_a_translation(move: tuple[int, int], effort: Effort) -> None:
    whole = texture(260, 280)
    y, x = 70, 80
    now, then = whole[y : y + 128, x : x + 128], whole[y - move[0] : y - move[0] + 128, x - move[1] : x - move[1] + 128]
    found = vectors_between(Pyramid(now), Pyramid(then, SUB), slope_of(0), effort=effort)
    inner = found[6:-6, 6:-6]
    assert (inner == np.array(move) * SUB).mean() > 0.9


@pytest.mark.parametrize("effort", list(Effort))
def test_a_translating_picture_is_recovered(effort: Effort) -> None:
    frames = sliding(9)
    kept = np.isin(np.arange(9), [2, 6])
    sides, decoded = Sides.of(kept), np.full((9, 64, 80, 3), 0.5, np.float32)
    decoded[kept] = frames[kept] / np.float32(255)
    made = decided(MotionSearch(frames, sides, slope_of(8), threads=2, effort=effort), decoded)
    decisions = payload.read(payload.write(made), kept, header_of(frames))
    np.testing.assert_array_equal(decisions.blocks, made.blocks)
    error = ((composed_all(decoded, decisions) - frames / 255.0) ** 2).mean(axis=(1, 2, 3))
    assert error[3:6].max() < 2e-4
    assert error.max() < 4e-3  # what comes in at the edge is in one kept frame only, or in none


def test_what_the_model_knows_is_not_searched() -> None:
    frames = sliding(5)
    decoded = (frames / np.float32(255)).astype(np.float32)
    search = MotionSearch(frames, Sides.of(np.isin(np.arange(5), [2])), slope_of(8))
    assert payload.write(decided(search, decoded)) == b""


def decided(search: MotionSearch, decoded: np.ndarray) -> Decisions:
    """What is found for a clip of which the model makes `decoded` (T, H, W, 3)."""
    with search:
        for number, frame in enumerate(decoded):
            search.show(number, frame)
        return search.decisions()


def composed_all(frames: np.ndarray, decisions: Decisions) -> np.ndarray:
    """A clip (T, H, W, 3) float32 with its dropped frames painted."""
    composer, dropped = Composer(decisions), decisions.sides.dropped.tolist()
    for frame in set(range(len(frames))) - set(dropped):
        composer.know(frame, frames[frame])
    return np.stack([composer.painted(n, frame) if n in dropped else frame for n, frame in enumerate(frames)])


def header_of(frames: np.ndarray) -> Header:
    return dataclasses.replace(HEADER, height=frames.shape[1], width=frames.shape[2])


def coded(frames: np.ndarray, loaded: Loaded, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, **{"budget": "2", "fill": "motion", **options})  # type: ignore[arg-type]
    assert dfc.verify(io.BytesIO(out.getvalue())).faults == []
    return out.getvalue()


def decoded(data: bytes, loaded: Loaded) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])


def clip_of(data: bytes) -> Clip:
    return next(item.clip for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt))


@pytest.mark.parametrize("options", [{}, {"budget": "4", "qp": 40}, {"budget": "all"}])
def test_motion_is_no_worse_than_the_token(options: dict[str, object], mini: Loaded) -> None:
    frames = sliding(12)
    token, motion = (decoded(coded(frames, mini, **options, fill=f), mini) for f in ("token", "motion"))
    errors = [((x.astype(float) - frames) ** 2).mean() for x in (token, motion)]
    assert errors[1] <= errors[0]
    if "budget" not in options:
        assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("size", [(48, 64), (37, 21), (5, 3)])
def test_any_size_and_tiles(tile: int, size: tuple[int, int]) -> None:
    loaded = flat_model(tile)
    frames = moving(5, *size) if min(size) > 20 else sliding(5, *size, step=(0, 1))
    data = coded(frames, loaded, budget="12")
    assert decoded(data, loaded).shape == frames.shape


def test_clips_of_one_frame_and_short_last_clips(mini: Loaded) -> None:
    for count in (1, 33):
        frames = moving(count, 32, 32)
        assert len(decoded(coded(frames, mini, budget="1"), mini)) == count


def test_trimming_keeps_the_motion_of_frames_whose_neighbours_stay(mini: Loaded) -> None:
    frames = sliding(16)
    whole = coded(frames, mini, budget="all")
    data = io.BytesIO()
    dfc.trim(io.BytesIO(whole), data, Budget.parse("4"))
    assert clip_of(data.getvalue()).fill_payload == b""  # nothing was dropped before, so nothing has motion
    data = coded(frames, mini, budget="8")
    before = clip_of(data)
    small = io.BytesIO()
    dfc.trim(io.BytesIO(data), small, Budget.parse("6"))
    after = clip_of(small.getvalue())
    assert dfc.verify(io.BytesIO(small.getvalue())).faults == []
    old, new = (payload.read(c.fill_payload, c.kept, header_of(frames)).blocks for c in (before, after))
    a, b = Sides.of(before.kept), Sides.of(after.kept)
    for number, frame in enumerate(b.dropped.tolist()):
        was = np.flatnonzero(a.dropped == frame)
        same = len(was) and (a.past[was[0]], a.future[was[0]]) == (b.past[number], b.future[number])
        assert (new[number, ..., 0] == (old[was[0], ..., 0] if same else MODEL)).all()


def test_trimming_to_a_range(mini: Loaded) -> None:
    frames = sliding(16)
    data = coded(frames, mini, budget="6")
    part = io.BytesIO()
    before = clip_of(data)
    first, last = (int(k) for k in np.flatnonzero(before.kept)[[0, -1]])
    dfc.trim(io.BytesIO(data), part, start=first, end=last + 1)
    assert dfc.verify(io.BytesIO(part.getvalue())).faults == []
    np.testing.assert_array_equal(decoded(part.getvalue(), mini).shape, frames[first : last + 1].shape)
    old, new = (
        payload.read(c.fill_payload, c.kept, header_of(frames)).blocks for c in (before, clip_of(part.getvalue()))
    )
    inside = (Sides.of(before.kept).dropped > first) & (Sides.of(before.kept).dropped < last)
    assert (old[inside][..., 0] == new[..., 0]).all()


def test_a_broken_payload_costs_its_clip(mini: Loaded) -> None:
    data = coded(sliding(40), mini)
    clip = clip_of(data)
    assert clip.fill_payload
    bad = dataclasses.replace(clip, fill_payload=b"\1\2\3\4" + clip.fill_payload)
    with pytest.raises(DamagedError, match="fill payload: "):
        fill.policy(Fill.MOTION).check(bad, header_of(sliding(1)))


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (2, 40)])
def test_pictures_a_pixel_high_or_wide(size: tuple[int, int], mini: Loaded) -> None:
    # Fault: such a picture lies otherwise in memory, and what was fetched of it came from beyond it.
    wave = 127 + 100 * np.sin((np.arange(max(size)) + 2 * np.arange(6)[:, None]) / 7)
    frames = np.repeat(wave.astype(np.uint8).reshape(6, -1, 1, 1), min(size), axis=2).repeat(3, axis=3)
    frames = frames.reshape(6, *size, 3) if size[1] == 1 else np.ascontiguousarray(frames.swapaxes(1, 2))
    out = io.BytesIO()
    dfc.encode(frames, out, model=mini, budget="2", refine=0)
    one, two = (np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: mini)]) for _ in range(2))
    assert (one == two).all()
    assert np.mean((one.astype(float) - frames) ** 2) < 255**2 / 10**1.8


def test_any_order_in_memory_is_framed_alike() -> None:
    picture = np.random.default_rng(0).random((1, 20, 3), np.float32)
    other = np.asfortranarray(picture)
    assert framed(other).flags.c_contiguous
    assert (framed(other) == framed(picture)).all()


def test_a_missing_neighbour_is_never_looked_at() -> None:
    estimate, past = texture(16, 16), texture(16, 16, 1)
    decisions = np.zeros((2, 2, 5), np.int16)
    decisions[..., 0] = PAST
    decisions[..., 3:] = 99
    np.testing.assert_allclose(composed(estimate, framed(past), None, decisions), past, atol=1e-6)
