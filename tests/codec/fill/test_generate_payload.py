"""The payload of fill policy `generate`: motion latents to bytes and back, limits, trimming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.generate.payload import MotionLatents
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import DfcError

HEADER = Header(80, 48, Ratio(25, 1), Ratio(1, 25))


@given(
    arrays(np.int16, st.tuples(st.integers(1, 3), st.just(2), st.just(3), st.sampled_from([4, 16]))),
    st.integers(0, 63),
)
def test_latents_come_back(values: np.ndarray, step: int) -> None:
    data = payload.write(MotionLatents(values, step))
    found = payload.read(data, len(values), HEADER)
    if not values.any():
        assert data == b""
        assert found is None
    else:
        assert found is not None
        assert found.step == step
        np.testing.assert_array_equal(found.values, values)


@given(st.binary(max_size=80), st.integers(0, 3))
def test_any_bytes_give_latents_or_an_error(data: bytes, kept: int) -> None:
    try:
        found = payload.read(data, kept, HEADER)
    except DfcError as error:
        assert "fill payload" in str(error)
    else:
        assert (found is None) == (data == b"")


def test_quantization_error_is_at_most_half_a_step() -> None:
    amplitudes = np.random.default_rng(1).normal(0, 9, (2, 16, 2, 3)).astype(np.float32)
    found = MotionLatents.quantize(amplitudes, 24)
    assert payload.step_size(24) == 0.5
    np.testing.assert_allclose(found.amplitudes(), amplitudes, atol=0.2501)


def test_trim_keeps_the_latents_of_the_frames_that_remain() -> None:
    values = np.arange(3 * 2 * 3 * 4, dtype=np.int16).reshape(3, 2, 3, 4)
    old = np.zeros(12, bool)
    old[[2, 6, 9]] = True
    new = np.zeros(7, bool)  # frames 4 … 10, frame 9 dropped
    new[2] = True
    data = payload.trim(payload.write(MotionLatents(values, 8)), HEADER, old, new, 4)
    found = payload.read(data, 1, HEADER)
    assert found is not None
    np.testing.assert_array_equal(found.values, values[1:2])


@pytest.mark.parametrize("head", [b"\0\x18\0\0", b"\x11\x18\0\0", b"\1\x40\0\0", b"\1\x18\1\0"])
def test_impossible_fields_are_named(head: bytes) -> None:
    with pytest.raises(DfcError, match="is impossible"):
        payload.read(head + bytes(4), 1, HEADER)
