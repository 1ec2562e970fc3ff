"""Context mixing of integers: they come back, the twin writes the same bytes, damage is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec import native
from dfccodec.entropy.mixing import latent_twin, latents
from dfccodec.entropy.mixing.latents import check_declared_size, choose_level, decode_mixed, encode_mixed
from dfccodec.entropy.mixing.tables import Content, load_tables
from dfccodec.entropy.rans import encode_range
from dfccodec.errors import DamagedError, DfcError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES

CONTENTS = st.sampled_from([Content.INTRA, Content.RESIDUAL, Content.DETAIL])
CHANNELS = 96
SEEDS = st.integers(0, 2**32 - 1)


def integers(kept: int, rows: int, columns: int, seed: int, content: Content = Content.INTRA) -> np.ndarray:
    """Integers (K, 1, rows, columns, channels), all 0 up to all of 16 bits; frames resemble one another or do not."""
    rng = np.random.default_rng(seed)
    channels = content.groups[-1]
    size = 10.0 ** rng.uniform(-1.5, 5) / (1 + np.arange(channels)) ** rng.uniform(0, 2)
    shape = (kept, 1, rows, columns, channels)
    both = rng.laplace(size=(1, *shape[1:])) + rng.laplace(size=shape) * rng.choice([0, 0.1, 1])
    values = np.clip(np.rint(both * size), -32768, 32767).astype(np.int16)
    values[rng.random(shape[:4]) < rng.choice([0, 0.5, 1.0])] = 0
    return values


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), CONTENTS, SEEDS)
def test_integers_come_back(kept: int, rows: int, columns: int, content: Content, seed: int) -> None:
    values = integers(kept, rows, columns, seed, content)
    data = encode_mixed(values, content)
    assert len(data) % 4 == 0
    assert np.array_equal(decode_mixed(data, kept, (1, rows, columns), content), values)


@pytest.mark.skipif(native.kernels is None, reason="the extension is not built: there is no C compiler")
@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), CONTENTS, SEEDS)
def test_the_twin_gives_the_same_bytes(kept: int, rows: int, columns: int, content: Content, seed: int) -> None:
    values = integers(kept, rows, columns, seed, content)
    data, tables = encode_mixed(values, content), load_tables()[content]
    frames = np.ascontiguousarray(values[:, 0])
    assert latent_twin.encode(frames, content, choose_level(frames[0], tables.profile), tables) == data
    back, left, ours = np.zeros_like(frames), np.zeros(kept, np.int32), np.zeros(kept, np.int32)
    assert latent_twin.decode(data, back, content, tables, left)
    assert np.array_equal(back, frames)
    decode_mixed(data, kept, (1, rows, columns), content, ours)
    assert np.array_equal(left, ours)
    assert left[-1] == 0


@settings(max_examples=40)
@given(CONTENTS, SEEDS, st.data())
def test_damage_raises_an_error_or_gives_integers(content: Content, seed: int, data: st.DataObject) -> None:
    coded = bytearray(encode_mixed(integers(2, 3, 3, seed, content), content))
    at = data.draw(st.integers(0, len(coded) - 1))
    coded[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(coded)))
    for broken in (bytes(coded), bytes(coded[:cut])):
        try:
            found = decode_mixed(broken, 2, (1, 3, 3), content)
        except DfcError:
            continue
        assert found.shape == (2, 1, 3, 3, content.groups[-1])


def test_a_frame_too_few_or_too_many_is_damaged() -> None:
    data = encode_mixed(integers(2, 3, 3, 1), Content.INTRA)
    for kept in (1, 3):
        with pytest.raises(DamagedError):
            decode_mixed(data, kept, (1, 3, 3), Content.INTRA)
    with pytest.raises(DamagedError):
        decode_mixed(data, 2, (1, 3, 3), Content.RESIDUAL)


def test_sizes_are_checked_first() -> None:
    for data, kept, grid, error in (
        (b"", 1, (1, 1, 1), DamagedError),
        (b"\1\0\0\0", 0, (1, 1, 1), DamagedError),
        (b"\1\0\0\0\1", 1, (1, 1, 1), DamagedError),
        (b"\1\0\0\0\0\0\0\0", 1, (1, 1, 1), DamagedError),
        (b"\1\0\0\0", 1, (1, 1, 16385), LimitError),
        (bytes(1 << 20), 1, (1, 1, MAX_CLIP_VALUES // CHANNELS + 1), LimitError),
    ):
        with pytest.raises(error):
            check_declared_size(data, kept, grid, CHANNELS)
    check_declared_size(b"\1\0\0\0", 1, (1, 1, 16384), CHANNELS)


def test_zeros_keep_the_limit_of_cells() -> None:
    values = np.zeros((8, 1, 120, 120, CHANNELS), np.int16)
    data = encode_mixed(values, Content.RESIDUAL)
    assert len(data) < 100
    assert not decode_mixed(data, 8, (1, 120, 120), Content.RESIDUAL).any()


def test_it_takes_fewer_bytes_than_the_range_coding() -> None:
    rng = np.random.default_rng(7)
    busy = np.exp(rng.normal(0, 1, (3, 1, 12, 12, 1)))
    values = np.rint(rng.laplace(0, 1, (3, 1, 12, 12, CHANNELS)) * busy * 8 / (1 + np.arange(CHANNELS))).astype(
        np.int16
    )
    assert len(encode_mixed(values, Content.RESIDUAL)) < 0.97 * len(encode_range(values))


def test_tables_are_not_trained_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "kernels", None)
    with pytest.raises(RuntimeError, match="C kernels"):
        latents.learn(np.zeros((1, 1, 1, CHANNELS), np.int16), Content.INTRA, load_tables()[0])
