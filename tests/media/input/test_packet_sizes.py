"""Sizes of packets."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import moving_square, write_av, write_video

from dfccodec.errors import InputError
from dfccodec.media.input.packet_sizes import read_packet_sizes


def test_frames_are_in_order_of_presentation(tmp_path: Path) -> None:
    found = read_packet_sizes(write_video(tmp_path / "a.mp4", moving_square(30)))
    assert len(found.frames) == 30
    assert found.keyframes[0]
    assert sum(found.keyframes) == 1
    assert found.frames[0] == max(found.frames)
    assert (found.sound, found.codec, found.note) == (0, "h264", "")


def test_sound_is_counted_apart(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.mkv", moving_square(8), audio=["aac"])
    found = read_packet_sizes(path)
    assert found.sound > 0
    assert sum(found.frames) + found.sound < path.stat().st_size


def test_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.mp4"):
        read_packet_sizes(tmp_path / "a.mp4")
