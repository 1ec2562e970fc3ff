"""Conversion of text subtitles: characters, line breaks and times are kept, non-text is discarded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import decode_to, encode_source, moving_square, write_av

from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.errors import UsageError
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.output.text_subtitles import CODEC_HEADERS, Cue, CueSplitter, Run, build_packet, parse_packet

KINDS = ["mov_text", "subrip", "ass", "webvtt"]
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"),
        st.sampled_from("<>/{}\\&;,biu\n\u2060Nhp1"),
    ),
    max_size=40,
)
STYLES = st.frozensets(st.sampled_from("biu"))


def plain_text(runs: list[Run]) -> str:
    return "".join(run.text for run in runs)


@given(TEXT, st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_text_survives_every_conversion(text: str, first: str, second: str) -> None:
    packet = build_packet(first, [Run(text)])
    again = build_packet(second, parse_packet(first, packet), 7)
    assert plain_text(parse_packet(second, again)) == text.rstrip("\n")


@given(st.lists(st.tuples(TEXT, STYLES), max_size=4), st.sampled_from(KINDS[1:]), st.sampled_from(KINDS[1:]))
def test_styles_survive_if_both_support_them(parts: list[tuple[str, frozenset[str]]], first: str, second: str) -> None:
    runs = [Run(text, style) for text, style in parts]
    one = parse_packet(first, build_packet(first, runs))
    assert plain_text(one) == plain_text(runs).rstrip("\n")
    assert parse_packet(second, build_packet(second, one)) == one


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        ("ass", rb"0,0,Default,,0,0,0,,{\an8\i1}Up{\i0} {comment}there,\Nyes\hno", "Up there,\nyes\u00a0no"),
        ("ass", rb"0,0,Sign,,0,0,0,,{\p1}m 0 0 l 10 0{\p0}text", "text"),
        ("ass", rb"0,0,Sign,,0,0,0,,{\pos(1,2)\p2}m 0 0 l 10 0", ""),
        ("ass", rb"0,0,Default,,0,0,0,,{\bord2\pbo3\t(0,5,\fs3)}open { brace", "open { brace"),
        ("subrip", b'<font color="#ff0000"><B>Loud</B></font>\r\n<I am> a <3 {x}{\\an8}', "Loud\n<I am> a <3 {x}"),
        ("subrip", b"caf\xe9\n\n", "caf\ufffd"),
        ("webvtt", b"<v Fred>Hi <c.x>you</c> <00:00:01.000>&amp; me &lt;3</v>", "Hi you & me <3"),
        ("mov_text", b"\0\x05hello\0\0\0\x16styl\0\x01" + bytes(12), "hello"),
        ("mov_text", b"\0\x06\xfe\xff\0h\0i", "hi"),
        ("mov_text", b"\0\x06\xff\xfeh\0i\0", "hi"),
        ("mov_text", b"\0\x09short", "short"),
        ("mov_text", b"", ""),
        ("text", b"as <i>it</i> is", "as <i>it</i> is"),
    ],
)
def test_non_text_is_discarded(codec: str, data: bytes, text: str) -> None:
    assert plain_text(parse_packet(codec, data)) == text


def test_long_text_is_truncated_at_character() -> None:
    packet = build_packet("mov_text", [Run("é" * 40_000)])
    assert packet == (65_534).to_bytes(2, "big") + "é".encode() * 32_767


def test_overlapping_cues_are_combined() -> None:
    def cue(start: int, end: int | None, text: str) -> Cue:
        return Cue(Fraction(start), None if end is None else Fraction(end), (Run(text),))

    queue, found = CueSplitter(), []
    for item in (cue(0, 10, "a"), cue(5, 8, "b"), cue(8, None, "c"), cue(20, 21, "d"), cue(20, None, "e")):
        found += queue.add(item)
    found += queue.finish()
    assert [(c.start, c.end, plain_text(list(c.runs))) for c in found] == [
        (0, 5, "a"), (5, 8, "a\nb"), (8, 10, "a\nc"), (10, 20, "c"), (20, 21, "d\ne"), (21, 23, "e"),
    ]  # fmt: skip


def read_subtitles(path: Path) -> tuple[str, list[tuple[Fraction, Fraction, str]]]:
    """Return the subtitle codec of a file, and start, duration (seconds) and text of each subtitle."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.subtitles[0]
        codec, base = stream.codec_context.codec.canonical_name, stream.time_base
        cues = [
            (p.pts * base, p.duration * base, plain_text(parse_packet(codec, bytes(p))))
            for p in container.demux(stream)
            if p.size > 2 and p.pts is not None
        ]
    return codec, cues


@pytest.mark.parametrize(
    ("source", "kind", "suffix", "becomes"),
    [
        (".mkv", "subrip", ".mp4", "mov_text"), (".mkv", "ass", ".mov", "mov_text"),
        (".mkv", "webvtt", ".mp4", "mov_text"), (".mkv", "subrip", ".webm", "webvtt"),
        (".mp4", "mov_text", ".webm", "webvtt"), (".mkv", "ass", ".webm", "webvtt"),
        (".mp4", "mov_text", ".mkv", "subrip"), (".mp4", "mov_text", ".nut", "ass"),
    ],
)  # fmt: skip
def test_text_is_converted_for_output(source: str, kind: str, suffix: str, becomes: str, tmp_path: Path) -> None:
    packets = [
        Packet(n * 600 + 100, n * 600 + 100, 300, build_packet(kind, [Run(f"Zeile {n}\nß <b>")], n)) for n in range(2)
    ]
    info = StreamInfo(1, 1, Ratio(1, 1000), kind, language="fra", extradata=CODEC_HEADERS[kind])
    with VideoSink(tmp_path / f"in{source}", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.declare(info)
        sink.packets(1, packets)
        for n, frame in enumerate(moving_square(40)):
            sink.write(frame, n, 1)
    assert sink.notes == []
    out = tmp_path / f"out{suffix}"
    notes = decode_to(out, encode_source(tmp_path / f"in{source}"))
    assert notes == [f"subtitle track 1 ({kind}, fra) becomes {becomes}"]
    codec, cues = read_subtitles(out)
    assert codec == becomes
    assert [text for _, _, text in cues] == [f"Zeile {n}\nß <b>" for n in range(2)]
    if suffix != ".nut":  # nut stores no durations
        assert [cue[:2] for cue in cues] == [(Fraction(n * 600 + 100, 1000), Fraction(3, 10)) for n in range(2)]
    with av.open(str(out)) as container:
        assert container.streams.subtitles[0].language == "fra"


def test_ffmpeg_reads_converted_subtitles(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(40), [], "subrip")
    for suffix in (".mp4", ".webm"):
        decode_to(tmp_path / f"out{suffix}", encode_source(source))
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            found = [s for p in container.demux(subtitles=0) if p.size > 2 for s in p.decode()]
        assert [s.dialogue for s in found] == [b"hello 0", b"hello 1"]


@pytest.mark.parametrize(("codec", "suffix"), [("dvb_subtitle", ".mp4"), ("subrip", ".avi"), ("subrip", ".ts")])
def test_unsupported_subtitles_are_rejected(codec: str, suffix: str, tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / f"a{suffix}", Header(64, 48, Ratio(25, 1), Ratio(1, 25)))
    with pytest.raises(
        UsageError, match=rf"subtitle track 1 \({codec}\) does not fit into .* an .mkv, or give --no-sub"
    ):
        sink.declare(StreamInfo(1, 1, Ratio(1, 1000), codec))
