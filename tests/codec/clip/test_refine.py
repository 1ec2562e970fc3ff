"""Latent refinement: better by its own measure and in the file, never worse, the same every time."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from support import FlatModel, flat_model, moving

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

FRAMES = moving(5, 48, 64)
PICTURES = [Picture(frame, number, 1) for number, frame in enumerate(FRAMES)]
INFO = SourceInfo(64, 48, Fraction(25), Fraction(1, 25))
PLAIN = Settings(Budget("top", 16), 24, Fill.TOKEN, refine=0)


def coded(settings: Settings) -> tuple[int, float]:
    """Bytes of latents of a clip, and the squared error of its kept frames."""
    loaded = load_model("mini", dtype="float32")
    header = make_header(INFO, loaded)
    coder = ClipCoder(header, loaded, settings)
    clip, _ = coder.code(PICTURES, 0)
    preamble = Preamble(header, loaded.identity, coder.steps, ())
    back = decode_clip(clip, preamble, loaded)
    return len(clip.latents), float(((back - FRAMES.astype(float))[clip.kept] ** 2).sum())


def test_refined_latents_are_worth_more() -> None:
    size, error = coded(PLAIN)
    refined_size, refined_error = coded(replace(PLAIN, refine=24))
    slope = np.log(2) / 6 * (0.02 * 2**3 * 255) ** 2
    assert refined_error + slope * 8 * refined_size < 0.97 * (error + slope * 8 * size)


def test_refinement_is_the_same_every_time() -> None:
    assert coded(replace(PLAIN, refine=3)) == coded(replace(PLAIN, refine=3))


def test_steps_out_of_range_are_named() -> None:
    with pytest.raises(UsageError, match="-1"):
        Settings(refine=-1)


def test_a_flat_model_is_refined_or_left_alone() -> None:
    out = io.BytesIO()
    encode_pictures(PICTURES, INFO, out, flat_model(), replace(PLAIN, refine=2))
    assert out.getvalue()


def test_two_steps_find_most_of_what_there_is() -> None:
    """How far to go is known: nobody has to wait for dozens."""
    slope = np.log(2) / 6 * (0.02 * 2**3 * 255) ** 2
    plain, few, many = (
        error + slope * 8 * size for size, error in (coded(replace(PLAIN, refine=n)) for n in (0, 2, 12))
    )
    assert plain - few > 0.75 * (plain - many) > 0


def test_by_default_a_model_that_says_its_gain_is_refined_twice() -> None:
    assert coded(replace(PLAIN, refine=None)) == coded(replace(PLAIN, refine=2)) != coded(PLAIN)
    assert default_iterations(flat_model()) == 0


@pytest.mark.parametrize("known", [True, False])
def test_descent_on_a_parabola_finds_its_bottom(known: bool) -> None:
    """Channels as sharp as 1, 2 and 4 of them all, whether or not anybody knows how sharp that is."""
    bottom = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)) / 3
    sharp = 1e-3 * torch.tensor([1.0, 2.0, 4.0])
    asked = []

    def gradient(y: torch.Tensor) -> torch.Tensor:
        asked.append(y)
        return sharp * (y - bottom)

    y = descend(torch.zeros_like(bottom), gradient, 3, torch.full((), 2e-3) if known else None, (0, 1))
    assert len(asked) == 3
    assert torch.allclose(y, bottom, atol=1e-3)


def test_no_step_goes_farther_than_it_may() -> None:
    y = torch.zeros(4, 2)
    assert descend(y, lambda _: torch.full_like(y, -1e9), 1, torch.full((), 1.0), (0,)).max() == MAX_STEP
    assert torch.equal(descend(y, torch.zeros_like, 3, None, (0,)), y)


def test_a_model_without_gradients_says_so() -> None:
    with pytest.raises(UsageError, match="'flat' cannot be refined"):
        encode_pictures(PICTURES, INFO, io.BytesIO(), replace(flat_model(), model=Blind()), replace(PLAIN, refine=1))


class Blind(FlatModel):
    """A model through whose decoder no gradient comes."""

    def decode(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return super().decode(*args, **kwargs).detach()
