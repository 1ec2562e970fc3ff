"""GIF with a palette for each frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import moving_square

from dfccodec.container.records import Header, Ratio
from dfccodec.media.output.sink import VideoSink


@pytest.mark.parametrize(("rate", "frames"), [(Fraction(25), 12), (Fraction(30000, 1001), 12), (Fraction(200), 7)])
def test_frames_and_times(tmp_path: Path, rate: Fraction, frames: int) -> None:
    pictures = moving_square(12, 48, 64)
    ticks = Ratio(rate.numerator, rate.denominator), Ratio(rate.denominator, rate.numerator)
    with VideoSink(tmp_path / "a.gif", Header(64, 48, *ticks, clip_frames=32)) as gif:
        for number, picture in enumerate(pictures):
            gif.write(picture, number, 1)
    with av.open(str(tmp_path / "a.gif")) as container:
        back = list(container.decode(video=0))
    assert len(back) == frames
    times = [float(frame.pts * frame.time_base) for frame in back]
    assert times[-1] == pytest.approx((frames - 1) / float(min(rate, Fraction(100))), abs=0.011)
    # 256 colours that are chosen for the picture: far closer than a fixed palette.
    assert np.abs(back[0].to_ndarray(format="rgb24").astype(int) - pictures[0]).mean() < 5
    assert b"NETSCAPE2.0" in (tmp_path / "a.gif").read_bytes()
