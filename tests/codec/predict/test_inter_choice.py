"""The choice between predicted kept frames and inter coding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion.motion_encoder import Effort
from dfccodec.codec.predict import inter_choice
from dfccodec.codec.predict.encoder import PredictedEncoder
from dfccodec.container.records import Header, Ratio


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return dfc.load_model("mini", dtype="float32")


@pytest.mark.parametrize("size", [(48, 64), (44, 70)])
def test_inter_coding_is_chosen_by_its_decoded_error(
    size: tuple[int, int], mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip is only decoded if the estimates leave the choice open; sizes that are not whole cells are cropped."""
    frames = np.random.default_rng(4).integers(0, 256, (6, *size, 3)).astype(np.uint8)
    header = Header(size[1], size[0], Ratio(25, 1), Ratio(1, 25), patch=16, clip_frames=32, channels=96)
    assert mini.model.steps is not None
    steps, kept = mini.model.steps, np.ones(6, np.bool_)
    encoder = PredictedEncoder(frames, header, mini, steps, Effort.NORMAL, 0, 0.0)
    done = encoder.encode(kept, np.arange(6, dtype=np.uint8), 30)
    chosen = []
    for factor in (1e-3, 1e3):
        monkeypatch.setattr(inter_choice, "MIN_INTER_ERROR", 0.0)
        monkeypatch.setattr(inter_choice, "LINEAR_MARGIN", np.inf)
        monkeypatch.setattr(inter_choice, "REFINED_ERROR", factor)
        easy = dataclasses.replace(done, errors=[10 * error for error in done.errors])
        chosen.append(inter_choice.inter_latents(frames, easy, header, mini, steps, 0.0))
    assert chosen[1] is None
    assert chosen[0] is not None
    assert chosen[0].shape == (6, *header.grid, 96)
    monkeypatch.setattr(inter_choice, "MIN_INTER_ERROR", np.inf)
    assert inter_choice.inter_latents(frames, done, header, mini, steps, 0.0) is None
