"""Motion compensation of latents, compared with the reader in plain Python (SPEC.md 7.7.2)."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import read_inter
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import FORMATS, SPEC

from dfccodec.codec.api import load_model
from dfccodec.container.records import Coding
from dfccodec.entropy.inter import motion_compensation
from dfccodec.entropy.inter.motion_compensation import LatentReconstruction, basis, motion_compensate
from dfccodec.entropy.latent_coding import default_coding
from dfccodec.models.mini import Mini


def integers(rows: int, columns: int, size: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.laplace(0, size, (rows * columns, 96)) / (1 + np.arange(96) / 9)
    return np.rint(values).clip(-32768, 32767).astype(np.int16)


def test_the_basis_is_that_of_the_specification() -> None:
    data = (FORMATS / "basis.i8").read_bytes()
    assert np.array_equal(np.frombuffer(data, np.int8).reshape(96, 768), basis())
    assert f"`{hashlib.sha256(data).hexdigest()}`" in SPEC
    gram = basis() @ basis().T / motion_compensation.BASIS_SCALE**2
    assert np.abs(gram - np.eye(96)).max() < 0.004
    assert int(np.abs(basis()).sum(axis=1).max()) * motion_compensation.MAX_SAMPLE * 400 < 1 << 53


def test_the_constants_of_the_specification() -> None:
    (taps,) = re.findall(r"^TAP = (.*)$", SPEC, flags=re.M)
    found = [[int(n.replace("−", "-")) for n in row.split(",")] for row in re.findall(r"\(([^)]*)\)", taps)]
    assert found == motion_compensation.TAPS.tolist()
    assert "+ 6422528) // 12845056" in SPEC
    assert motion_compensation._RESULT_SCALE == 12845056


def test_the_default_coding_depends_on_the_transform_of_the_model() -> None:
    model = load_model("mini").model
    assert isinstance(model, Mini)
    assert default_coding(model) == Coding.INTER
    other = Mini()
    with torch.no_grad():
        other.linear.basis.copy_(torch.from_numpy(motion_compensation.linear_transform()))
        assert default_coding(other) == Coding.INTER
        other.linear.basis.copy_(torch.from_numpy(motion_compensation.linear_transform()[::-1].copy()))
        assert default_coding(other) == Coding.RANGE, "its PCA transform is not that of the format"


@settings(max_examples=50)
@given(
    st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.5, 30, 9000]), st.integers(0, 99),
    st.tuples(st.integers(-400, 400) | st.sampled_from([-32768, 32767]), st.integers(-400, 400)),
)  # fmt: skip
def test_it_agrees_with_plain_python(rows: int, columns: int, size: float, seed: int, vector: tuple[int, int]) -> None:
    values = integers(rows, columns, size, seed)
    samples = read_inter.to_samples(values.astype(np.int64), rows, columns)
    own = LatentReconstruction(values, rows, columns)
    np.testing.assert_array_equal(own.inner, samples)
    cells = np.arange(rows * columns)
    found = own.motion_compensate(cells, np.tile(np.array(vector, np.int16), (len(cells), 1)))
    for cell in cells.tolist():
        expected = read_inter.motion_compensate(samples, 16 * (cell // columns), 16 * (cell % columns), vector)
        assert found[cell].tolist() == expected


def test_zero_vectors_change_latents_by_at_most_one() -> None:
    values = integers(3, 4, 30)
    nearly = LatentReconstruction(values, 3, 4).motion_compensate(np.arange(12), np.zeros((12, 2), np.int16))
    assert np.abs(nearly.astype(int) - values).max() <= 1


@pytest.mark.parametrize(("down", "right"), [(64, 0), (0, 64), (-64, 64)])
def test_vectors_of_one_cell_give_the_neighbour(down: int, right: int) -> None:
    values = integers(5, 5, 30)
    vectors = np.tile(np.array([down, right], np.int16), (25, 1))
    found = motion_compensate(values, vectors, (1, 5, 5)).reshape(5, 5, 96)[1:4, 1:4]
    expected = values.reshape(5, 5, 96)[1 + down // 64 : 4 + down // 64, 1 + right // 64 : 4 + right // 64]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_tiles_do_not_see_each_other() -> None:
    values = integers(2, 6, 30)
    vectors = np.tile(np.array([30, 64], np.int16), (12, 1))
    both = motion_compensate(values, vectors, (2, 2, 3))
    for part in (slice(6), slice(6, 12)):
        np.testing.assert_array_equal(both[part], motion_compensate(values[part], vectors[part], (1, 2, 3)))
    assert (both != motion_compensate(values, vectors, (1, 2, 6))).any()
