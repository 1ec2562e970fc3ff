"""The generator of dropped frames: shapes, an untrained network warps, one reference is as good as the same twice."""

from __future__ import annotations

import torch

from dfccodec.models.regen import Reference, Regen, RegenConfig

TINY = RegenConfig(width=8, fine=8, middle=8, coarse=8)


def reference(times: list[float], motion: torch.Tensor | None = None, height: int = 48, width: int = 80) -> Reference:
    torch.manual_seed(1)
    cells = -(-height // 32), -(-width // 32)
    return Reference(
        torch.rand(1, 3, height, width),
        torch.randn(1, 96, height // 16, width // 16),
        torch.zeros(1, 16, *cells) if motion is None else motion,
        torch.tensor(times),
        torch.ones(len(times), dtype=torch.bool),
    )


def test_without_motion_an_untrained_generator_repeats_the_kept_frame() -> None:
    ref = reference([-0.5, 0.25])
    with torch.inference_mode():
        made = Regen(TINY).eval().generate([ref], torch.zeros(1, 3, 48, 80))
    torch.testing.assert_close(made, ref.picture.expand(2, -1, -1, -1), atol=1e-4, rtol=0)


def test_constant_motion_shifts_the_picture() -> None:
    motion = torch.zeros(1, 16, 2, 3)
    motion[:, 1] = 8  # amplitude of the first sine, to the right
    ref = reference([1.0], motion)  # sin(π/2) = 1
    with torch.inference_mode():
        made = Regen(TINY).eval().warp([ref]).picture
    torch.testing.assert_close(made[0, :, :, :72], ref.picture[0, :, :, 8:], atol=1e-3, rtol=0)


def test_several_steps_and_both_references() -> None:
    refs = [reference([-0.5, 0.3, 0.4]), reference([0.5, -0.3, -0.2])]
    with torch.inference_mode():
        made = Regen(TINY).eval().generate(refs, torch.randn(1, 3, 48, 80), steps=3)
    assert made.shape == (3, 3, 48, 80)
    assert made.isfinite().all()


def test_a_reference_that_does_not_exist_has_no_weight() -> None:
    ref, other = reference([0.5]), reference([0.1])
    none = Reference(1 - other.picture, other.content, other.motion, other.time, torch.zeros(1, dtype=torch.bool))
    with torch.inference_mode():
        model = Regen(TINY).eval()
        torch.testing.assert_close(model.warp([ref, none]).picture, model.warp([ref]).picture)
