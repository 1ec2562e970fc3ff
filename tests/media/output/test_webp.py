"""Pictures as WebP."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from support import moving_square

from dfccodec.media.output.webp import encode_webp


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_a_picture_comes_back(size: tuple[int, int]) -> None:
    picture = moving_square(1, *size)[0]
    coded = encode_webp(picture, 90)
    assert coded[:4] == b"RIFF"
    assert len(encode_webp(picture, 10)) < len(coded)
    with av.open(io.BytesIO(coded), format="webp_pipe") as container:
        back = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).mean() < 4
