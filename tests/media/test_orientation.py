"""Orientation of frames: the display matrix of phones and cameras."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from support import moving_square, write_video

from dfccodec.media.input.source import VideoSource


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["", "horizontal", "vertical"])
def test_display_matrix_is_applied(degrees: int, flip: str, tmp_path: Path) -> None:
    plain = write_video(tmp_path / "a.mp4", moving_square(2, 48, 64))
    told = f"rotate={degrees}" + f":flip={flip}" * bool(flip)
    with av.open(str(plain)) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        turn = BitStreamFilterContext(
            f"h264_metadata=display_orientation=insert:{told}", source.streams.video[0], stream
        )
        for packet in source.demux(video=0):
            for made in turn.filter(packet if packet.dts is not None else None):
                made.stream = stream
                target.mux(made)
    with VideoSource(plain) as straight, VideoSource(tmp_path / "b.mp4") as video:
        stored, found = next(iter(straight)).rgb, next(iter(video)).rgb
        shown = np.rot90(found, -video.info.rotation)
    # The SEI message rotates counter-clockwise, after mirroring (ITU-T H.264, D.2.27).
    flipped = {"": stored, "horizontal": stored[:, ::-1], "vertical": stored[::-1]}[flip]
    wanted = np.rot90(flipped, degrees // 90)
    np.testing.assert_array_equal(shown, wanted)
