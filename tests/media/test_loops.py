"""How often an animation plays: from GIF and APNG through a .dfc file into a GIF, and a note where it is lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from support import Pipe, decoded_into, encoded, moving

from dfccodec.media import loops
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.format import fitting_tags, muxer_options


def animation(path: Path, option: str, value: int) -> Path:
    """Three pictures in a GIF or APNG, with an option of its muxer."""
    kind, pixels = ("gif", "rgb8") if path.suffix == ".gif" else ("apng", "rgb24")
    with av.open(str(path), "w", format=kind, options={option: str(value)}) as container:
        stream: Any = container.add_stream(kind, rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for frame in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_gif_plays_as_often_as_before(tmp_path: Path) -> None:
    for value, plays in ((-1, 1), (0, 0), (1, 2), (7, 8), (65535, 65536)):
        source = animation(tmp_path / "in.gif", "loop", value)
        data = source.read_bytes()
        assert loops.plays(data) == plays
        for given in (source, Pipe(data)):
            target = tmp_path / "out.gif"
            assert decoded_into(target, encoded(given)) == []
            assert loops.plays(target.read_bytes()) == plays


def test_an_apng_plays_as_often_as_before(tmp_path: Path) -> None:
    for value in (0, 1, 3):
        source = animation(tmp_path / "in.apng", "plays", value)
        decoded_into(tmp_path / "out.gif", encoded(source))
        assert loops.plays((tmp_path / "out.gif").read_bytes()) == value


@pytest.mark.parametrize(("plays", "noted"), [(0, False), (1, False), (3, True)])
def test_a_container_that_cannot_say_it_is_noted(plays: int, noted: bool, tmp_path: Path) -> None:
    coded = encoded(animation(tmp_path / "in.apng", "plays", plays))
    notes = decoded_into(tmp_path / "out.mp4", coded)
    assert notes == ["the animation plays 3 times, which mp4 cannot say: name a .gif or .mkv to keep that"] * noted
    assert decoded_into(tmp_path / "out.mkv", coded) == []
    with VideoSource(tmp_path / "out.mkv") as video:
        assert dict(video.info.tags).get("PLAYS") == (str(plays) if plays else None)


def test_tags_of_other_programs_do_no_harm() -> None:
    for value in ("", "often", "-1", "9" * 10, "²"):
        assert muxer_options("gif", [("PLAYS", value)]) == {"loop": "0"}
    assert muxer_options("gif", [("plays", "99999999")]) == {"loop": "65535"}
    assert muxer_options("mp4", [("PLAYS", "1")]) == {}
    odd = Fraction(23)
    tags, note = fitting_tags([("PLAYS", "2"), ("timecode", "01:00:00:00"), ("title", "x")], "mov", odd)
    assert tags == [("title", "x")]
    assert "plays 2 times" in note
    assert "timecode" in note


def test_damaged_heads_are_read_to_their_end(tmp_path: Path) -> None:
    for name, option in (("a.gif", "loop"), ("a.apng", "plays")):
        data = animation(tmp_path / name, option, 3).read_bytes()
        for size in range(900):
            assert loops.plays(data[:size]) in (None, 3, 4)
        for place in range(900):
            loops.plays(data[:place] + b"\xff" + data[place + 1 :])


def test_a_loop_behind_a_long_comment_is_found(tmp_path: Path) -> None:
    data = animation(tmp_path / "a.gif", "loop", 4).read_bytes()
    place = data.index(b"\x21\xff\x0bNETSCAPE2.0")
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 40 + b"\0"
    (tmp_path / "b.gif").write_bytes(data[:place] + comment + data[place:])
    for source in (tmp_path / "b.gif", Pipe((tmp_path / "b.gif").read_bytes())):
        with VideoSource(source) as video:
            assert ("PLAYS", "5") in video.info.tags
