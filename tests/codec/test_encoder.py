"""The file header of an encode: picture geometry and maximum clip length."""

from fractions import Fraction

import pytest
from support import flat_model

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.encoder import CLIP_PIXELS, make_header
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.media.picture import SourceInfo

BUDGET = Budget.parse("8")


@pytest.mark.parametrize(
    ("width", "height", "frames", "kept"),
    [(640, 360, 32, 8), (1920, 1080, 32, 8), (3840, 2160, 16, 4), (7680, 4320, 4, 1), (16384, 8192, 1, 1)],
)
def test_large_pictures_get_shorter_clips_and_the_same_kept_share(
    width: int, height: int, frames: int, kept: int, mini: LoadedModel
) -> None:
    header = make_header(SourceInfo(width, height, Fraction(25), Fraction(1, 25)), mini)
    assert header.clip_frames == frames
    assert width * height * frames <= CLIP_PIXELS
    assert BUDGET.count(frames, header.clip_frames) == kept


def test_clip_frames_argument_limits_the_clip_length() -> None:
    header = make_header(SourceInfo(64, 48, Fraction(25), Fraction(1, 25)), flat_model(), clip_frames=5)
    assert header.clip_frames == 5
