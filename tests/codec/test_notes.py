"""The encode report lists everything of the source that the file does not store."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

from support import flat_model, moving_square, write_av

from dfccodec.codec import api
from dfccodec.codec.encoder import encode_pictures
from dfccodec.limits import MAX_PAIRS, MAX_TEXT
from dfccodec.media.picture import Picture, SourceInfo


def test_report_counts_discarded_tags() -> None:
    tags = tuple((f"k{n}", "v") for n in range(MAX_PAIRS + 2))
    pictures = [Picture(frame, number, 1) for number, frame in enumerate(moving_square(2))]
    for source_tags, discarded in (
        (tags, 2),
        ((("long", "x" * (MAX_TEXT + 1)),), 1),
        ((("encoder", "Lavf"), ("title", "a")), 0),
    ):
        info = SourceInfo(64, 48, Fraction(25), Fraction(1, 25), tags=source_tags)
        notes = encode_pictures(pictures, info, io.BytesIO(), flat_model()).notes
        assert len(notes) == bool(discarded)
        assert not discarded or notes[0].startswith(f"{discarded} of the source's tags")


def test_ordinary_sources_give_no_notes(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mp4", moving_square(4), ["aac"], tags={"title": "Day"}, chapters=2)
    assert api.encode(source, io.BytesIO(), model=flat_model()).notes == ()


def test_output_names_of_the_maximum_length(tmp_path: Path) -> None:
    for length in (246, 251, 255):
        target = tmp_path / ("ä" * ((length - 5) // 2) + "b" * ((length - 5) % 2 + 1) + ".dfc")
        assert len(target.name.encode()) == length
        api.encode(list(moving_square(2)), target, model=flat_model())
        assert target.read_bytes()[1:4] == b"DFC"
    assert len(list(tmp_path.iterdir())) == 3
