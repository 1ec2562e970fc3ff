"""`trim` with a coding: the same integers in another coding, without a model."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from command import run, run_and_list_imports
from support import DATA, encode_bytes, flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Coding
from dfccodec.errors import UsageError


def recode(data: bytes, coding: str, budget: int | None = None) -> bytes:
    out = io.BytesIO()
    dfc.trim(data, out, budget, coding=coding)
    assert not dfc.verify(out.getvalue()).faults
    return out.getvalue()


@pytest.mark.parametrize("coding", ["zstd", "range", "inter"])
@pytest.mark.parametrize("fill", ["token", "motion"])
def test_recoding_changes_only_the_coding(coding: str, fill: str, mini: LoadedModel) -> None:
    coded = encode_bytes(moving_square(40), mini, fill=fill, coding="range", refine=0)
    changed = recode(coded, coding)
    before, after = dfc.open(coded), dfc.open(changed)
    assert before.summary.index is not None
    assert after.summary.index is not None
    assert after.summary.index.latent_hash == before.summary.index.latent_hash
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.latents, other.latents)
        np.testing.assert_array_equal(one.record.importance, other.record.importance)
        assert other.record.coding == Coding[coding.upper()]
        assert (one.record.fill, one.record.durations) == (other.record.fill, other.record.durations)
    assert [head.fill_bytes for head in before.summary.clips] == [head.fill_bytes for head in after.summary.clips]
    np.testing.assert_array_equal(
        np.stack([picture.rgb for picture in dfc.decode(changed, model=mini)]),
        np.stack([picture.rgb for picture in dfc.decode(coded, model=mini)]),
    )


def test_a_budget_and_a_coding_together(mini: LoadedModel) -> None:
    coded = encode_bytes(moving_square(40), mini, fill="motion", coding="inter", refine=0)
    both, small = dfc.open(recode(coded, "zstd", 4)), io.BytesIO()
    dfc.trim(coded, small, 4)
    for one, other in zip(dfc.open(small.getvalue()), both, strict=True):
        np.testing.assert_array_equal(one.latents, other.latents)
        assert other.record.coding == Coding.ZSTD
    assert dict(both.summary.preamble.tool)["trim"].endswith("--budget 4 --coding zstd")


def test_files_without_latents_are_not_recoded(mini: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(DATA / "flower_96x64.mp4", out, model=mini, refine=0)
    with pytest.raises(UsageError, match=r"frames 0 to 31 are predicted .* --coding zstd, or --preset latents"):
        recode(out.getvalue(), "zstd")


@pytest.mark.parametrize(
    ("coding", "says"),
    [
        ("inter", "needs 96 channels .* the latents have 3"),
        ("predicted", "needs the pictures"),
        ("x", "'x' is unknown"),
    ],
)
def test_impossible_codings(coding: str, says: str) -> None:
    coded = encode_bytes(moving_square(4), flat_model(), fill="token")
    with pytest.raises(UsageError, match=says):
        recode(coded, coding)


def test_several_files_are_recoded_on_the_command_line(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dfc.encode(moving_square(8), tmp_path / f"{name}.dfc", model=flat_model(), fill="token", coding="range")
    command = ["trim", tmp_path / "a.dfc", tmp_path / "b.dfc", "--output-dir", tmp_path / "out", "--coding", "zstd"]
    result, imported = run_and_list_imports(*command)
    assert result.returncode == 0, result.stderr
    assert not imported & {"torch", "av"}
    for name in ("a", "b"):
        with dfc.open(tmp_path / "out" / f"{name}.dfc") as file:
            assert file[0].record.coding == Coding.ZSTD
    nothing = run("trim", tmp_path / "a.dfc", "-o", tmp_path / "x.dfc")
    assert nothing.returncode == 2
    assert b"nothing to trim: give --budget, --frames or --coding" in nothing.stderr
