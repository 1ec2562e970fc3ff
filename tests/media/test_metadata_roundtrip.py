"""Roundtrip of chapters, tags, track titles, dispositions and languages."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support import flat_model, moving_square, write_av
from track_roundtrip import decode_file, encode_file

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.container.reader import Packets, StreamReader
from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.media.chapters import Chapter, from_tags, to_tags, trim_chapters
from dfccodec.media.input.tracks import read_title
from dfccodec.media.output.sink import VideoSink


def test_chapters_and_tags_roundtrip(tmp_path: Path) -> None:
    source = write_av(
        tmp_path / "in.mkv", moving_square(30), [], tags={"title": "Three of us", "artist": "Nobody"}, chapters=2
    )
    decode_file(encode_file(source), tmp_path / "out.mkv")
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        assert b.metadata["title"] == "Three of us"
        assert b.metadata["ARTIST" if "ARTIST" in a.metadata else "artist"] == "Nobody"
        times = [[(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in x.chapters()] for x in (a, b)]
        assert times[0] == times[1]
        assert [c["metadata"]["title"] for c in b.chapters()] == ["Part 1", "Part 2"]


def test_tags_are_left_out_on_demand_and_chapters_stay(tmp_path: Path) -> None:
    tags = {"title": "At home", "location": "+52.5200+013.4050/"}
    source = write_av(tmp_path / "in.mp4", moving_square(30), ["aac"], tags=tags, chapters=2)
    for name, options in (("api", None), ("cli", ["--no-tags"])):
        out = tmp_path / f"{name}.dfc"
        if options is None:
            dfc.encode(source, out, model=flat_model(), tags=False)
        else:
            assert main(["encode", str(source), "-o", str(out), "--budget", "1", "--refine", "0", *options]) == 0
        data = out.read_bytes()
        found = dict(StreamReader(io.BytesIO(data)).preamble.tags)
        assert found
        assert all(key.startswith(("CHAPTER", "TRACK")) for key in found)
        assert b"At home" not in data
        assert b"+52.52" not in data


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_track_titles_and_default_flag_roundtrip(suffix: str, tmp_path: Path) -> None:
    items = list(
        reader := StreamReader(encode_file(write_av(tmp_path / "plain.mkv", moving_square(3), ["aac", "aac"])))
    )
    tags = [("TRACK001NAME", "The director speaks")]
    dispositions = {1: 0x8, 2: 0x1}  # the second track is the default
    with VideoSink(source := tmp_path / "in.mkv", reader.preamble.header, tags=tags) as sink:
        for info in (item for item in items if isinstance(item, StreamInfo)):
            sink.declare(replace(info, disposition=dispositions[info.id]))
        for item in (item for item in items if isinstance(item, Packets)):
            sink.packets(item.stream, item.packets)
        sink.write(moving_square(1)[0], 0, 1)
    file = encode_file(source)
    assert tags[0] in StreamReader(io.BytesIO(file.getvalue())).preamble.tags
    decode_file(file, out := tmp_path / f"out{suffix}")
    with av.open(str(out)) as container:
        sounds = container.streams.audio
        assert [read_title(s) for s in sounds] == ["The director speaks", ""]
        assert [int(s.disposition) & 0x9 for s in sounds] == [0x8, 0x1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_forced_flag_and_languages_roundtrip(suffix: str, tmp_path: Path) -> None:
    infos = [
        StreamInfo(1, 1, Ratio(1, 1000), "subrip", language="deu", disposition=0x41),  # forced, default
        StreamInfo(2, 1, Ratio(1, 1000), "subrip", language="fra", disposition=0x80),  # for the hearing impaired
    ]
    tags = [("TRACK001NAME", "Signs"), ("TRACK002NAME", "All")]
    with VideoSink(source := tmp_path / "in.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25)), tags=tags) as sink:
        for info in infos:
            sink.declare(info)
            sink.packets(info.id, [Packet(100, 100, 300, b"hello")])
        for n, frame in enumerate(moving_square(25)):
            sink.write(frame, n, 1)
    notes = decode_file(encode_file(source), out := tmp_path / f"out{suffix}")
    with av.open(str(out)) as container:
        texts = container.streams.subtitles
        assert [read_title(s) for s in texts] == ["Signs", "All"]
        assert [s.language for s in texts] == [{".mov": "ger"}.get(suffix, "deu"), "fra"]
        if suffix != ".mov":
            assert [int(s.disposition) & 0xFF for s in texts] == [0x41, 0x80]
    told = "subtitle track 1 (subrip, deu) is forced, which mov cannot store: name an .mp4 or .mkv to keep the flag"
    assert (told in notes) == (suffix == ".mov")


def test_chapters_as_tags() -> None:
    chapters = [Chapter(Fraction(0), Fraction(1, 3), "α"), Chapter(Fraction(1, 3), Fraction(7300))]
    found, others = from_tags([("title", "x"), *to_tags(chapters)])
    assert others == [("title", "x")]
    assert [c.title for c in found] == ["α", ""]
    assert max(abs(a.end - b.end) for a, b in zip(chapters, found, strict=True)) < Fraction(1, 10**9)
    plain = [("CHAPTER01", "odd"), ("CHAPTER001", "00:00:00.000"), ("CHAPTER002", "00:01:00.5"), ("CHAPTER003", "?")]
    assert from_tags(plain)[0] == [
        Chapter(Fraction(0), Fraction(121, 2)),
        Chapter(Fraction(121, 2), Fraction(121, 2)),
    ]
    assert trim_chapters(found, Fraction(1), Fraction(10)) == [Chapter(Fraction(0), Fraction(9))]
