"""Play count of animations: from GIF and APNG through a .dfc file into a GIF, or a note if it is lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from support import Pipe, decode_to, encode_source, moving_square

from dfccodec.media import loops
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.format import muxer_options, select_tags


def write_animation(path: Path, option: str, value: int) -> Path:
    """Write a GIF or APNG of three frames with an option of its muxer."""
    kind, pixels = ("gif", "rgb8") if path.suffix == ".gif" else ("apng", "rgb24")
    with av.open(str(path), "w", format=kind, options={option: str(value)}) as container:
        stream: Any = container.add_stream(kind, rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for frame in moving_square(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_gif_keeps_play_count(tmp_path: Path) -> None:
    for value, plays in ((-1, 1), (0, 0), (1, 2), (7, 8), (65535, 65536)):
        source = write_animation(tmp_path / "in.gif", "loop", value)
        data = source.read_bytes()
        assert loops.play_count(data) == plays
        for given in (source, Pipe(data)):
            target = tmp_path / "out.gif"
            assert decode_to(target, encode_source(given)) == []
            assert loops.play_count(target.read_bytes()) == plays


def test_apng_keeps_play_count(tmp_path: Path) -> None:
    for value in (0, 1, 3):
        source = write_animation(tmp_path / "in.apng", "plays", value)
        decode_to(tmp_path / "out.gif", encode_source(source))
        assert loops.play_count((tmp_path / "out.gif").read_bytes()) == value


@pytest.mark.parametrize(("plays", "noted"), [(0, False), (1, False), (3, True)])
def test_container_without_play_count_is_noted(plays: int, noted: bool, tmp_path: Path) -> None:
    coded = encode_source(write_animation(tmp_path / "in.apng", "plays", plays))
    notes = decode_to(tmp_path / "out.mp4", coded)
    assert notes == ["the animation plays 3 times, which mp4 cannot store: name a .gif or .mkv to keep it"] * noted
    assert decode_to(tmp_path / "out.mkv", coded) == []
    with VideoSource(tmp_path / "out.mkv") as video:
        assert dict(video.info.tags).get("PLAYS") == (str(plays) if plays else None)


def test_invalid_play_counts_are_ignored() -> None:
    for value in ("", "often", "-1", "9" * 10, "²"):
        assert muxer_options("gif", [("PLAYS", value)]) == {"loop": "0"}
    assert muxer_options("gif", [("plays", "99999999")]) == {"loop": "65535"}
    assert muxer_options("mp4", [("PLAYS", "1")]) == {}
    odd = Fraction(23)
    tags, note = select_tags([("PLAYS", "2"), ("timecode", "01:00:00:00"), ("title", "x")], "mov", odd)
    assert tags == [("title", "x")]
    assert "plays 2 times" in note
    assert "timecode" in note


def test_damaged_headers_do_not_raise(tmp_path: Path) -> None:
    for name, option in (("a.gif", "loop"), ("a.apng", "plays")):
        data = write_animation(tmp_path / name, option, 3).read_bytes()
        for size in range(900):
            assert loops.play_count(data[:size]) in (None, 3, 4)
        for place in range(900):
            loops.play_count(data[:place] + b"\xff" + data[place + 1 :])


def test_loop_after_long_comment_is_found(tmp_path: Path) -> None:
    data = write_animation(tmp_path / "a.gif", "loop", 4).read_bytes()
    place = data.index(b"\x21\xff\x0bNETSCAPE2.0")
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 40 + b"\0"
    (tmp_path / "b.gif").write_bytes(data[:place] + comment + data[place:])
    for source in (tmp_path / "b.gif", Pipe((tmp_path / "b.gif").read_bytes())):
        with VideoSource(source) as video:
            assert ("PLAYS", "5") in video.info.tags
