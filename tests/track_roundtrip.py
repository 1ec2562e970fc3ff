"""Encoding and decoding of audio and subtitle tracks, and reading of their packets."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from support import flat_model

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import TrackFilter, VideoSink


class Row(NamedTuple):
    """A demuxed packet."""

    pts: int | None
    dts: int | None
    duration: int | None
    data: bytes
    key: bool


def demux_tracks(path: Path) -> tuple[list[tuple[Any, ...]], list[list[Row]], Fraction, float]:
    """Return metadata and packets of audio and subtitle streams; start of the video; start of the first track."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type in ("audio", "subtitle")]
        infos = []
        for s in streams:
            context: Any = s.codec_context
            audio = (context.sample_rate, context.layout.name) if s.type == "audio" else ()
            extra = (context.extradata or b"").split(b"\0\0\0\x14btrt")[0]  # ffmpeg's muxer adds this box for text
            infos.append((s.type, context.codec.canonical_name, s.time_base, extra, s.language, *audio))
        rows: dict[int, list[Row]] = {s.index: [] for s in container.streams}
        for p in container.demux():
            if p.size:
                rows[p.stream_index].append(Row(p.pts, p.dts, p.duration, bytes(p), p.is_keyframe))
        audio = next(
            (float((rows[s.index][0].pts or 0) * Fraction(s.time_base or 1)) for s in streams if rows[s.index]), 0.0
        )
        found = [rows[s.index] for s in streams]
    with VideoSource(path) as video:
        first = next(iter(video)).pts * video.info.time_base
    return infos, found, first, audio


def encode_file(source: Path, **options: Any) -> io.BytesIO:
    """Encode a file with `flat_model`; return the `.dfc` file as a stream."""
    out = io.BytesIO()
    api.encode(source, out, model=flat_model(), **options)
    out.seek(0)
    return out


def decode_file(file: io.BytesIO, target: Path, **options: Any) -> list[str]:
    """Decode a `.dfc` file to a video; return the warnings of the sink. `kinds` selects (audio, subtitles)."""
    decoder = Decoder(file, lambda preamble: flat_model())
    kinds = options.pop("kinds", (True, True))
    with VideoSink(target, decoder.preamble.header, tags=decoder.preamble.tags, **options) as sink:
        decoder.tracks = TrackFilter(sink, *kinds)
        for picture in decoder:
            sink.write(picture.rgb, picture.pts, picture.duration)
    return sink.notes
