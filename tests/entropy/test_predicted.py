"""Layout of coding 3 and its integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.container.records import Clip, Coding, Fill, Header, Ratio
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.predicted import Detail, FrameTypes, decode_detail, divide, encode_detail, join
from dfccodec.errors import DamagedError, DfcError, UnsupportedError

HEADER = Header(40, 24, Ratio(25, 1), Ratio(1, 25), patch=16, clip_frames=32, channels=96)


def clip_of(
    values: np.ndarray,
    importance: np.ndarray,
    intra: np.ndarray,
    qp: np.ndarray,
    details: list[Detail | None] | None = None,
) -> Clip:
    """A clip that keeps all frames; `values`, `intra`, `qp` and `details` in coding order."""
    count = len(values)
    clip = Clip(0, np.ones(count, bool), importance, 20, 0, (1,), b"", fill=Fill.BLEND, coding=Coding.PREDICTED)
    return dataclasses.replace(clip, latents=join(FrameTypes(qp, intra), b"", values, details or []))


@st.composite
def coded(draw: st.DrawFn) -> tuple[Clip, np.ndarray]:
    count, seed = draw(st.integers(1, 6)), draw(st.integers(0, 1 << 16))
    rng = np.random.default_rng(seed)
    intra = rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    intra[0] = True
    values = np.rint(rng.laplace(0, draw(st.sampled_from([0.3, 3, 300])), (count, 1, 2, 3, 96))).astype(np.int16)
    importance = rng.integers(0, draw(st.sampled_from([3, 256])), count).astype(np.uint8)
    share = draw(st.sampled_from([0.0, 0.5, 1.0]))
    details = [draw_detail(rng) if rng.random() < share else None for _ in range(count)]
    return clip_of(values, importance, intra, rng.integers(0, 64, count).astype(np.uint8), details), values


def draw_detail(rng: np.random.Generator) -> Detail:
    """Random details of the only size that `HEADER` allows."""
    values = np.rint(rng.laplace(0, 0.3, (4, 6, 192))).astype(np.int16)
    return Detail(int(rng.integers(64)), encode_detail(values))


@settings(max_examples=40)
@given(coded())
def test_integers_come_back_in_order_of_frames(case: tuple[Clip, np.ndarray]) -> None:
    clip, values = case
    found = decode_latents(clip, HEADER)
    assert np.array_equal(found[clip.coding_order], values)
    types = divide(clip).types
    assert types.intra[0]
    assert len(types.qp) == len(values)


@settings(max_examples=30)
@given(st.integers(0, 1 << 16), st.lists(st.booleans(), min_size=1, max_size=5))
def test_details_come_back_with_their_frame(seed: int, detailed: list[bool]) -> None:
    rng, count = np.random.default_rng(seed), len(detailed)
    details = [draw_detail(rng) if some else None for some in detailed]
    intra = np.arange(count) == 0
    values = rng.integers(-3, 4, (count, 1, 2, 3, 96)).astype(np.int16)
    clip = clip_of(values, np.zeros(count, np.uint8), intra, np.full(count, 63, np.uint8), details)
    parts = divide(clip)
    assert parts.details == details
    assert parts.types.qp.tolist() == [63] * count
    assert np.array_equal(parts.types.intra, intra)
    for detail in filter(None, parts.details):
        assert encode_detail(decode_detail(detail, HEADER)) == detail.data
    assert clip.latents[0] == 16 + any(detailed)


@settings(max_examples=150)
@given(coded(), st.integers(0, 1 << 16), st.integers(1, 255), st.booleans())
def test_damaged_bytes_raise_an_error_of_this_package_or_decode(
    case: tuple[Clip, np.ndarray], place: int, mask: int, cut: bool
) -> None:
    clip, values = case
    data = bytearray(clip.latents)
    if cut:
        del data[place % len(data) :]
    else:
        data[place % len(data)] ^= mask
    try:
        found = decode_latents(dataclasses.replace(clip, latents=bytes(data)), HEADER)
    except DfcError:
        return
    assert found.shape == values.shape


def test_of_equally_important_frames_the_earlier_is_coded_first() -> None:
    clip = clip_of(
        np.zeros((4, 1, 2, 3, 96), np.int16), np.array([5, 9, 9, 5], np.uint8), np.ones(4, bool), np.zeros(4, np.uint8)
    )
    assert clip.coding_order.tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda data: b"\x20" + data[1:], UnsupportedError, "tools 32"),
        (lambda data: b"\3" + data[1:], DamagedError, "their sizes sum to"),
        (lambda data: b"\1" + data[1:], DamagedError, "their sizes sum to"),
        (lambda data: b"\1" + data[1:10] + b"\x40" + data[11:13], DamagedError, "the head of the details has 9"),
        (lambda data: data[:10], DamagedError, "the head of coding 3 has 11"),
        (lambda data: data[:9] + b"\x14" + data[10:], DamagedError, "first frame in coding order is predicted"),
        (lambda data: data[:10] + b"\x7f" + data[11:], DamagedError, "QP 127"),
        (lambda data: data[:4] + b"\1" + data[5:], DamagedError, "the streams need more than"),
    ],
)
def test_each_broken_rule_is_named(change: object, error: type[DfcError], words: str) -> None:
    good = clip_of(
        np.ones((2, 1, 2, 3, 96), np.int16), np.array([9, 5], np.uint8), np.array([True, False]), np.zeros(2, np.uint8)
    )
    with pytest.raises(error, match=words):
        decode_latents(dataclasses.replace(good, latents=change(good.latents)), HEADER)  # type: ignore[operator]


@pytest.mark.parametrize("fill", [Fill.TOKEN, Fill.MOTION, Fill.GENERATE])
def test_other_fill_policies_are_damage(fill: Fill) -> None:
    good = clip_of(np.ones((1, 1, 2, 3, 96), np.int16), np.zeros(1, np.uint8), np.ones(1, bool), np.zeros(1, np.uint8))
    with pytest.raises(DamagedError, match="needs fill policy 4"):
        decode_latents(dataclasses.replace(good, fill=fill), HEADER)
