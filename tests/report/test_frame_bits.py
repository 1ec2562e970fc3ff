"""Bits of frames: they add up to the coded bytes, and agree with the sizes of shorter streams."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion import payload
from dfccodec.container.records import Clip, Coding
from dfccodec.entropy.inter.coding import encode_inter
from dfccodec.entropy.rans import encode_range
from dfccodec.errors import DfcError
from dfccodec.report.frame_bits import _motion_lengths, clip_bits

VECTORS = Path(__file__).resolve().parents[2] / "formats" / "vectors"


def coded_bytes(clip: Clip) -> int:
    """Bytes of the streams of a clip: the predicted coding begins with a table of the frames."""
    table = 9 + int(clip.kept.sum()) if clip.coding == Coding.PREDICTED and clip.kept.any() else 0
    return len(clip.latents) + len(clip.fill_payload) - table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Path:
    """A file in each coding."""
    made = tmp_path_factory.mktemp("bits")
    for coding in ("zstd", "range", "inter"):
        dfc.encode(
            moving_square(20, 64, 96), made / f"{coding}.dfc", model=mini, budget="6", coding=coding, refine=0
        )  # fmt: skip
    return made


@pytest.mark.parametrize("coding", ["zstd", "range", "inter"])
def test_bits_add_up_to_the_coded_bytes(folder: Path, coding: str) -> None:
    with dfc.open(folder / f"{coding}.dfc") as file:
        (view,) = file
        clip = view.read()
        found = clip_bits(clip, file.header)
    dropped = ~clip.kept
    assert clip.coding == Coding[coding.upper()]
    assert (found.latents + found.motion).sum() == pytest.approx(8 * coded_bytes(clip))
    assert (found.latents[clip.kept] > 0).all()
    assert (found.latents[dropped] == 0).all()
    assert (found.motion[dropped] > 0).any()
    assert found.estimated == (coding == "zstd")


@pytest.mark.parametrize(("coding", "encode"), [("range", encode_range), ("inter", encode_inter)])
def test_bits_of_the_first_frames_are_the_size_of_their_own_stream(folder: Path, coding: str, encode: object) -> None:
    with dfc.open(folder / f"{coding}.dfc") as file:
        values = file[0].latents
        found = clip_bits(file[0].read(), file.header).latents[file[0].kept]
    assert callable(encode)
    for count in range(1, len(values) + 1):
        assert abs(found[:count].sum() - 8 * len(encode(values[:count]))) <= 64


def test_code_lengths_of_motion_are_the_size_of_the_payload(folder: Path) -> None:
    with dfc.open(folder / "inter.dfc") as file:
        clip = file[0].read()
        field = payload.read_clip(clip, file.header)
    assert _motion_lengths(field).sum() == pytest.approx(8 * len(payload.write(field)), abs=64)


@pytest.mark.parametrize("path", sorted((VECTORS / "valid").glob("*.dfc")), ids=lambda path: path.stem)
def test_every_valid_vector_has_bits(path: Path) -> None:
    with dfc.open(path) as file:
        for view in file:
            clip = view.read()
            found = clip_bits(clip, file.header)
            assert (found.latents + found.motion).sum() == pytest.approx(8 * coded_bytes(clip))
            assert ((found.latents > 0) <= clip.kept).all()


def test_damaged_bytes_are_an_error(folder: Path) -> None:
    with dfc.open(folder / "range.dfc") as file:
        clip = file[0].read()
        broken = dataclasses.replace(clip, latents=clip.latents[: len(clip.latents) // 8 * 4 - 4] + b"\1\0\0\0")
        with pytest.raises(DfcError):
            clip_bits(broken, file.header)
    assert np.isfinite(clip_bits(clip, file.header).latents).all()
