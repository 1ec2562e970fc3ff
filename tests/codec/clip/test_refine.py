"""Latent refinement: lower RD cost in the file, and deterministic."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from support import FlatModel, flat_model, moving_square

from dfccodec.codec.api import load_model
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip.decode import decode_clip
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.clip.refine import MAX_STEP, default_iterations, descend
from dfccodec.codec.encoder import encode_pictures, make_header
from dfccodec.codec.settings import Settings
from dfccodec.container.reader import Preamble
from dfccodec.container.records import Fill
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture, SourceInfo

FRAMES = moving_square(5, 48, 64)
PICTURES = [Picture(frame, number, 1) for number, frame in enumerate(FRAMES)]
INFO = SourceInfo(64, 48, Fraction(25), Fraction(1, 25))
PLAIN = Settings(Budget("top", 16), 24, Fill.TOKEN, refine=0)


def encode_clip_cost(settings: Settings) -> tuple[int, float]:
    """Return the latent bytes of the clip and the squared error of its kept frames."""
    loaded = load_model("mini", dtype="float32")
    header = make_header(INFO, loaded)
    coder = ClipCoder(header, loaded, settings)
    clip, _ = coder.code(PICTURES, 0)
    preamble = Preamble(header, loaded.identity, coder.steps, ())
    decoded = decode_clip(clip, preamble, loaded)
    return len(clip.latents), float(((decoded - FRAMES.astype(float))[clip.kept] ** 2).sum())


def test_refinement_lowers_the_rd_cost() -> None:
    size, error = encode_clip_cost(PLAIN)
    refined_size, refined_error = encode_clip_cost(replace(PLAIN, refine=24))
    rd_lambda = np.log(2) / 6 * (0.02 * 2**3 * 255) ** 2
    assert refined_error + rd_lambda * 8 * refined_size < 0.97 * (error + rd_lambda * 8 * size)


def test_refinement_is_deterministic() -> None:
    assert encode_clip_cost(replace(PLAIN, refine=3)) == encode_clip_cost(replace(PLAIN, refine=3))


def test_iterations_out_of_range_are_reported() -> None:
    with pytest.raises(UsageError, match="-1"):
        Settings(refine=-1)


def test_refinement_accepts_a_flat_model() -> None:
    out = io.BytesIO()
    encode_pictures(PICTURES, INFO, out, flat_model(), replace(PLAIN, refine=2))
    assert out.getvalue()


def test_few_iterations_give_most_of_the_gain() -> None:
    """The curvature is known, so a few iterations suffice."""
    rd_lambda = np.log(2) / 6 * (0.02 * 2**3 * 255) ** 2
    plain, one, few, many = (
        error + rd_lambda * 8 * size
        for size, error in (encode_clip_cost(replace(PLAIN, refine=n)) for n in (0, 1, 2, 12))
    )
    assert plain - few > 0.75 * (plain - many) > 0
    assert plain - one > 0.5 * (plain - many)


def test_default_is_one_iteration_for_models_with_a_known_gain() -> None:
    assert (
        encode_clip_cost(replace(PLAIN, refine=None))
        == encode_clip_cost(replace(PLAIN, refine=1))
        != encode_clip_cost(PLAIN)
    )
    assert default_iterations(flat_model()) == 0


@pytest.mark.parametrize("curvature_known", [True, False])
def test_descent_on_a_parabola_finds_the_minimum(curvature_known: bool) -> None:
    """The curvatures of the three channels are 1, 2 and 4 times a base value, known or unknown to `descend`."""
    minimum = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)) / 3
    curvature = 1e-3 * torch.tensor([1.0, 2.0, 4.0])
    evaluations = []

    def gradient(y: torch.Tensor) -> torch.Tensor:
        evaluations.append(y)
        return curvature * (y - minimum)

    y = descend(torch.zeros_like(minimum), gradient, 3, torch.full((), 2e-3) if curvature_known else None, (0, 1))
    assert len(evaluations) == 3
    assert torch.allclose(y, minimum, atol=1e-3)


def test_descent_steps_are_limited() -> None:
    y = torch.zeros(4, 2)
    assert descend(y, lambda _: torch.full_like(y, -1e9), 1, torch.full((), 1.0), (0,)).max() == MAX_STEP
    assert torch.equal(descend(y, torch.zeros_like, 3, None, (0,)), y)


def test_a_model_without_gradients_is_rejected() -> None:
    with pytest.raises(UsageError, match="'flat' cannot be refined"):
        encode_pictures(
            PICTURES, INFO, io.BytesIO(), replace(flat_model(), model=NoGradientModel()), replace(PLAIN, refine=1)
        )


class NoGradientModel(FlatModel):
    """A model whose decoder blocks the gradient."""

    def decode(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().decode(*args, **kwargs).detach()
