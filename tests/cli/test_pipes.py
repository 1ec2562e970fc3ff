"""Encode and decode through pipes."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
from command import DFC, ENV
from support import moving_square, write_av

from dfccodec.container.records import Header, Ratio
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink


def test_encode_and_decode_through_pipes(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "in.y4m", Header(64, 48, Ratio(24000, 1001), Ratio(1001, 24000))) as sink:
        for number, frame in enumerate(moving_square(40)):
            sink.write(frame, number, 1)
    pipe = ("-", "-o", "-", "-q")
    encode, decode = [*DFC, "encode", *pipe, "--preset", "fast"], [*DFC, "decode", *pipe]
    with (tmp_path / "in.y4m").open("rb") as stdin, (tmp_path / "out.y4m").open("wb") as stdout:
        first = subprocess.Popen(encode, stdin=stdin, stdout=subprocess.PIPE, env=ENV)
        second = subprocess.Popen(decode, stdin=first.stdout, stdout=stdout, env=ENV)
        assert (first.wait(120), second.wait(120)) == (0, 0)
    with VideoSource(tmp_path / "in.y4m") as source, VideoSource(tmp_path / "out.y4m") as decoded:
        assert (decoded.info.width, decoded.info.height, decoded.info.rate) == (64, 48, source.info.rate)
        assert sum(1 for _ in decoded) == sum(1 for _ in source) == 40


def test_audio_roundtrip_through_pipes(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(8), ["flac"], rate=Fraction(8))
    encode = [*DFC, "encode", "-", "-o", "-", "-q", "--fill", "token", "--refine", "0"]
    decode = [*DFC, "decode", "-", "-o", "-", "-q", "--format", "matroska"]
    with source.open("rb") as stdin, (tmp_path / "out.mkv").open("wb") as stdout:
        feed = subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE)
        first = subprocess.Popen(encode, stdin=feed.stdout, stdout=subprocess.PIPE, env=ENV)
        second = subprocess.Popen(decode, stdin=first.stdout, stdout=stdout, env=ENV)
        assert (feed.wait(120), first.wait(120), second.wait(120)) == (0, 0, 0)
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        packets = [[bytes(p) for p in x.demux(audio=0) if p.size] for x in (a, b)]
    assert packets[0] == packets[1]
