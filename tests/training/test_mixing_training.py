"""Training of the tables of context mixing, on two small clips."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import dfccodec as dfc
from dfccodec import native
from dfccodec.entropy.mixing import latents, motion, tables
from dfccodec.entropy.mixing.tables import Content, dump_tables
from dfccodec.errors import InputError
from dfccodec.training import mixing_tables

pytestmark = pytest.mark.skipif(native.kernels is None, reason="the extension is not built: there is no C compiler")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, out = np.random.default_rng(3), tmp_path_factory.mktemp("coded")
    texture = rng.integers(0, 256, (20, 20, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    for number, speed in enumerate((1, 3)):
        frames = np.stack([texture[t * speed : 96 + t * speed, t : 96 + t] for t in range(8)])
        frames = (frames + rng.normal(0, 5, frames.shape)).clip(0, 255).astype(np.uint8)
        dfc.encode(frames, out / f"{number}.dfc", budget="40%", qp=20, refine=0)
    return out


def test_trained_tables_save_bytes_and_can_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coded = mixing_tables.read_files(folder)
    assert len(coded.latents[Content.INTRA]) == len(coded.motion[Content.KEPT_MOTION]) == 2
    found = mixing_tables.train(coded)
    target = folder / "mixing.tables"
    target.write_bytes(dump_tables(found))
    monkeypatch.setattr(tables, "_FILE", target)
    tables.load_tables.cache_clear()
    try:
        loaded = tables.load_tables()
        for before, after in zip(found, loaded, strict=True):
            assert np.array_equal(before.counts, after.counts)
            assert np.array_equal(before.linear, after.linear)
            assert np.array_equal(before.partners, after.partners)
            assert np.abs(before.weights - after.weights).max() < tables.WEIGHT_STEP
        values, field = coded.latents[Content.INTRA][0], coded.motion[Content.DROPPED_MOTION][0]
        small = len(latents.encode_mixed(values[:, None], Content.INTRA))
        moving = len(motion.encode_motion(field.references, field.blocks, Content.DROPPED_MOTION))
    finally:
        tables.load_tables.cache_clear()
    monkeypatch.undo()
    assert small < 0.9 * len(latents.encode_mixed(values[:, None], Content.INTRA))
    assert moving < len(motion.encode_motion(field.references, field.blocks, Content.DROPPED_MOTION))


def test_linear_prediction_finds_what_is_linear() -> None:
    rng = np.random.default_rng(5)
    values = rng.integers(-40, 41, (1, 20, 20, 96)).astype(np.int16)
    values[0, :, 1:, 3] = values[0, :, :-1, 0] // 2
    weights = mixing_tables.linear([values])
    assert abs(int(weights[3, 16]) - 128) < 12  # of channel 0 of the cell on the left
    assert (weights[0, :80] == 0).all()
    assert (mixing_tables.partners([values])[1:, 0] < np.arange(1, 96)).all()
    assert abs(mixing_tables.profile([values]).mean() - 256) < 2


def test_a_folder_without_clips_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no clip of coding 3 with intra, residual"):
        mixing_tables.read_files(tmp_path)
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no video"):
            mixing_tables.encode_videos(where, tmp_path)
    monkeypatch.setattr(sys, "argv", ["mixing_tables", "train", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(InputError):
        mixing_tables.main()
    assert not (tmp_path / "out").exists()
