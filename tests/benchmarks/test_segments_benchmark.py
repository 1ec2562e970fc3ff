"""segments.py: segments of known lengths, and what the place of the embedding is worth with a predictor that works."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from support import moving_square, random_latent_dit

from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import DfcError
from dfccodec.metrics.lpips import find_weights

bench = pytest.importorskip("benchmarks.quality.segments", reason="benchmarks need more packages")


def test_segments_have_all_rates() -> None:
    kept, edges = bench.make_segments(np.zeros((32, 8, 8, 3), np.uint8), np.random.default_rng(0))
    assert sorted(np.diff(edges)) == [4, 8, 16]
    assert edges[0] == 0
    assert edges[-1] == len(kept) == 28
    assert all((np.diff(kept[a:b]) > 0).all() for a, b in pairwise(edges))


def test_only_a_mark_on_the_first_frame_is_found(mini: LoadedModel) -> None:
    try:
        find_weights()
    except DfcError as error:
        pytest.skip(str(error))
    dit = random_latent_dit()
    marks = dit.segments
    with torch.no_grad():  # a mark far beyond all latents
        marks.embedding.zero_()[0] = 1000.0
        marks.predictor.weight.zero_()[0, 0] = 1.0
        marks.predictor.bias.fill_(-500.0)
    clips = [("square", moving_square(32))]
    first, last, none = (bench.measure(place, dit, mini, clips) for place in ("first", "last", "none"))
    assert first["frames"] == first["segments"] == 1
    assert last["frames"] < 1
    assert none["frames"] == pytest.approx(26 / 28)  # the first frame of all is always right
    assert first["psnr"] > last["psnr"] + 1
