"""Files of latents decode with another decoder of their latent space; predicted frames need their own."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import ModelId
from dfccodec.errors import ModelError
from dfccodec.models.identity import LATENT_SPACES, with_latent_space


@pytest.fixture(scope="module")
def other(mini: LoadedModel) -> LoadedModel:
    """Another decoder of the latent space of `mini`; with the same weights, so that pictures can be compared."""
    config = with_latent_space("{}", LATENT_SPACES["mini-1"])
    return dataclasses.replace(mini, identity=ModelId("better", b"\5" * 32, config))


def coded(model: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(moving_square(6), out, model=model, refine=0, budget=0.5, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("coding", ["zstd", "range", "inter"])
def test_latents_decode_in_both_directions(mini: LoadedModel, other: LoadedModel, coding: str) -> None:
    for maker, reader in ((mini, other), (other, mini)):
        data = coded(maker, coding=coding)
        own, made = ([p.rgb for p in dfc.decode(data, model=model)] for model in (maker, reader))
        np.testing.assert_array_equal(own, made)


def test_predicted_frames_need_the_decoder_that_made_them(mini: LoadedModel, other: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"predicted from pictures that model 'mini' .*use: --model mini"):
        list(dfc.decode(coded(mini, coding="predicted"), model=other))


def test_without_the_models_own_name_the_author_is_asked(mini: LoadedModel, other: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"that model 'better' .*from the author of the file"):
        list(dfc.decode(coded(other, coding="predicted"), model=mini))


def test_a_search_in_a_trim_needs_it_too(mini: LoadedModel, other: LoadedModel) -> None:
    with pytest.raises(ModelError, match="another decoder"):
        dfc.trim(coded(mini, coding="predicted"), io.BytesIO(), "1", search=other)
    dfc.trim(coded(mini, coding="inter"), io.BytesIO(), "1", search=other)
