from __future__ import annotations

import numpy as np
import pytest

from dfccodec.codec import fill
from dfccodec.container.records import Fill
from dfccodec.errors import UnsupportedError, UsageError

KEPT = np.array([0, 1, 0, 0, 0, 1, 0], bool)
LATENTS = np.array([[[4.0]], [[8.0]]], np.float32)


def filled(policy: Fill, kept: np.ndarray = KEPT, latents: np.ndarray = LATENTS) -> tuple[list[float], list[bool]]:
    slots, known = fill.policy(policy).fill(latents, kept, b"")
    return slots[:, 0, 0].tolist(), known.tolist()


def test_token_leaves_dropped_frames_to_the_model() -> None:
    slots, known = filled(Fill.TOKEN)
    assert known == KEPT.tolist()
    assert (slots[1], slots[5]) == (4, 8)


def test_hold_repeats_and_reaches_both_ends() -> None:
    assert filled(Fill.HOLD) == ([4, 4, 4, 4, 4, 8, 8], [True] * 7)


def test_lerp_interpolates_and_holds_the_ends() -> None:
    assert filled(Fill.LERP) == ([4, 4, 5, 6, 7, 8, 8], [True] * 7)


@pytest.mark.parametrize("policy", list(Fill))
def test_nothing_kept_is_left_to_the_model(policy: Fill) -> None:
    slots, known = filled(policy, np.zeros(3, bool), np.zeros((0, 1, 1), np.float32))
    assert known == [False] * 3
    assert slots == [0, 0, 0]


def test_unknown_policies_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="fill policy 9"):
        fill.policy(9)
    with pytest.raises(UsageError, match="token, hold, lerp"):
        fill.parse("guess")
