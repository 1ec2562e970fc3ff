"""Fill policies that act on the latents."""

from __future__ import annotations

import numpy as np
import pytest

from dfccodec.codec import fill
from dfccodec.container.records import Fill
from dfccodec.errors import UnsupportedError, UsageError

KEPT = np.array([0, 1, 0, 0, 0, 1, 0], bool)
LATENTS = np.array([[[4.0]], [[8.0]]], np.float32)


def fill_latents(
    policy: Fill, kept: np.ndarray = KEPT, latents: np.ndarray = LATENTS
) -> tuple[list[float], list[bool]]:
    slots, known = fill.policy(policy).fill(latents, kept, b"")
    return slots[:, 0, 0].tolist(), known.tolist()


def test_token_leaves_dropped_frames_to_the_network() -> None:
    slots, known = fill_latents(Fill.TOKEN)
    assert known == KEPT.tolist()
    assert (slots[1], slots[5]) == (4, 8)


def test_hold_repeats_kept_frames_up_to_both_ends() -> None:
    assert fill_latents(Fill.HOLD) == ([4, 4, 4, 4, 4, 8, 8], [True] * 7)


def test_lerp_interpolates_and_repeats_at_both_ends() -> None:
    assert fill_latents(Fill.LERP) == ([4, 4, 5, 6, 7, 8, 8], [True] * 7)


@pytest.mark.parametrize("policy", list(Fill))
def test_a_clip_without_kept_frames_is_left_to_the_network(policy: Fill) -> None:
    slots, known = fill_latents(policy, np.zeros(3, bool), np.zeros((0, 1, 1), np.float32))
    assert known == [False] * 3
    assert slots == [0, 0, 0]


def test_unknown_policies_are_rejected() -> None:
    with pytest.raises(UnsupportedError, match="fill policy 9"):
        fill.policy(9)
    with pytest.raises(UsageError, match="token, hold, lerp"):
        fill.parse("guess")
