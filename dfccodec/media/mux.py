"""Writing sound and subtitle packets into a container: untouched, or transcoded where one asks for that."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.errors import DfcError, UsageError
from dfccodec.media.cut import NO_TIME
from dfccodec.media.opening import reason
from dfccodec.media.untouched import check_fits, layout_of, untouched
from dfccodec.text import shown

_KINDS = ("sound", "subtitle", "data")
_LAYOUTS = ("7.1", "5.1", "stereo", "mono")
"""What encoders take, most channels first."""
_RATES = {"libopus": 48000, "opus": 48000}  # whatever else they take, players expect this

_EQUAL_TIMES = 0x20000
"""ffmpeg's flag of containers in which the times of packets need not rise."""

_FIXES = {"webm": "libopus", "avi": "libmp3lame"}
"""Encoders of sound by container, where it is not aac."""


class _Copied:
    """Packets go through as they are."""

    def __init__(self, container: OutputContainer, info: StreamInfo) -> None:
        self._base = Fraction(info.time_base.num, info.time_base.den)
        check_fits(container.format.name, info)
        self.stream = untouched(container, info)
        self._gap = b"\0\0" if info.codec == "mov_text" else None  # mp4 muxers fill gaps in text themselves
        self._rising = info.kind == 0 and not container.format.flags & _EQUAL_TIMES
        self._last: int | None = None

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            if packet.data != self._gap:
                made = _av_packet(packet, self._base, self.stream)
                if self._rising and made.dts is not None:
                    # Where videos were joined, sound has equal times, which such a container refuses.
                    made.dts = made.dts if self._last is None else max(made.dts, self._last + 1)
                    made.pts = made.dts if made.pts is None else max(made.pts, made.dts)
                    self._last = made.dts
                yield made

    def flush(self) -> Iterator[AvPacket[Stream]]:
        return iter(())


class _Transcoded:
    """Sound is decoded and encoded anew."""

    def __init__(self, container: OutputContainer, info: StreamInfo, codec: str) -> None:
        self._base = Fraction(info.time_base.num, info.time_base.den)
        decoder = cast(AudioCodecContext, av.CodecContext.create(info.codec, "r"))
        decoder.sample_rate, decoder.layout = info.sample_rate, layout_of(info)
        if info.extradata:
            decoder.extradata = info.extradata
        self._decoder = decoder
        rate = _rate(codec, info.sample_rate)
        self.layout = _layout(codec, rate, layout_of(info))
        with contextlib.closing(av.open(io.BytesIO(), "w", format=container.format.name)) as scratch:
            _encoder(scratch, codec, rate, self.layout)
            scratch.start_encoding()  # some muxers look at a codec no sooner
        stream = _encoder(container, codec, rate, self.layout)
        self.stream, self._rate = stream, rate
        self._resampler: AudioResampler | None = None

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            yield from self._coded(_av_packet(packet, self._base))

    def _coded(self, packet: AvPacket[Stream] | None) -> Iterator[AvPacket[Stream]]:
        for frame in self._decoder.decode(packet):
            frame.time_base = frame.time_base or self._base
            for part in self._resampled().resample(frame):
                yield from self.stream.encode(part)

    def _resampled(self) -> AudioResampler:
        if self._resampler is None:  # an encoder knows the length of its frames once it is open
            context = self.stream.codec_context
            context.open(strict=False)
            size = context.frame_size or None
            self._resampler = AudioResampler(context.format, context.layout, self._rate, size)
        return self._resampler

    def flush(self) -> Iterator[AvPacket[Stream]]:
        yield from self._coded(None)
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                yield from self.stream.encode(part)
            yield from self.stream.encode(None)


class TrackMuxer:
    """The sound and subtitle streams of a container that is being written.

    Args:
        container: where they go; all streams are declared before its first packet.
        audio_codec: ffmpeg's name of an encoder for all sound; None copies packets untouched.
        titles: of streams, by id.

    Attributes:
        notes: lines for people on what is lost.
        begun: whether a packet was written; ffmpeg crashes where a stream is declared after that.
    """

    def __init__(
        self, container: OutputContainer, audio_codec: str | None = None, titles: Mapping[int, str] | None = None
    ) -> None:
        self._container, self._audio_codec, self._titles = container, audio_codec, titles or {}
        self._tracks: dict[int, _Copied | _Transcoded] = {}
        self.begun = False
        self.notes: list[str] = []

    def declare(self, info: StreamInfo) -> None:
        """Add a stream.

        Raises:
            UsageError: the container cannot hold the codec; the message has the ways out.
        """
        track: _Copied | _Transcoded
        try:
            if self._audio_codec and info.kind == 0:
                track = _Transcoded(self._container, info, self._audio_codec)
                if AudioLayout(track.layout).nb_channels < info.channels:
                    self.notes.append(f"{name_of_track(info)} becomes {track.layout}: {self._audio_codec} has no more")
            else:
                track = _Copied(self._container, info)
            _label(track.stream, info, self._titles.get(info.id, ""))
        except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError) as error:
            raise UsageError(self._refusal(info, reason(error))) from None
        self._tracks[info.id] = track

    def _refusal(self, info: StreamInfo, why: str) -> str:
        name = self._container.format.name
        track = name_of_track(info)
        if info.kind:
            other = "an .mkv, or " if name != "matroska" else "an .mp4, or " if info.codec == "mov_text" else ""
            return f"{track} does not go into {name}: {other and 'name '}{other}give --no-subtitles"
        if self._audio_codec:
            return f"{track} does not go into {name} with --audio-codec {self._audio_codec}: {why}; or give --no-audio"
        fix = f"give --audio-codec {_FIXES.get(name, 'aac')} or --no-audio"
        return f"{track} does not go into {name}: {fix if name == 'matroska' else f'name an .mkv, or {fix}'}"

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a declared stream; those of others are passed over.

        Raises:
            DfcError: ffmpeg refuses one.
        """
        if stream in self._tracks:
            self._mux(stream, self._tracks[stream].packets(packets))

    def finish(self) -> None:
        """Write what encoders still hold."""
        for ident, track in self._tracks.items():
            self._mux(ident, track.flush())

    def _mux(self, stream: int, packets: Iterator[AvPacket[Stream]]) -> None:
        try:
            for packet in packets:
                self.begun = True
                self._container.mux(packet)
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            fix = "another --audio-codec" if self._audio_codec else "--audio-codec"
            raise DfcError(
                f"cannot write track {stream} into {self._container.format.name}: {reason(error)}; "
                f"give {fix} or --no-audio"
            ) from None


def name_of_track(info: StreamInfo) -> str:
    """A track for people: kind, number, codec, language."""
    return shown(f"{_KINDS[info.kind]} track {info.id} ({info.codec}{', ' + info.language if info.language else ''})")


def _encoder(container: OutputContainer, codec: str, rate: int, layout: str) -> AudioStream:
    stream = cast(AudioStream, container.add_stream(codec, rate=rate))
    stream.codec_context.layout = layout
    stream.codec_context.time_base = stream.time_base = Fraction(1, rate)
    return stream


def _rate(codec: str, wanted: int) -> int:
    """The samples per second nearest to those wanted that the encoder takes."""
    if codec in _RATES:
        return _RATES[codec]
    rates = av.codec.Codec(codec, "w").audio_rates
    return min(rates, key=lambda rate: abs(rate - wanted)) if rates else wanted


def _layout(codec: str, rate: int, wanted: str) -> str:
    """The layout of channels nearest to the one wanted that the encoder takes; where it takes none, that one.

    Raises:
        ValueError: it is no encoder of sound.
    """
    found = av.codec.Codec(codec, "w")
    if found.type != "audio" or not found.is_encoder:
        raise ValueError(f"{codec} is no encoder of sound")
    for layout in dict.fromkeys((wanted, wanted.partition("(")[0], *_LAYOUTS)):
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            if AudioLayout(layout).nb_channels <= AudioLayout(wanted).nb_channels:
                context = found.create("audio")
                context.sample_rate, context.layout, context.time_base = rate, layout, Fraction(1, rate)
                if found.audio_formats:
                    context.format = found.audio_formats[0]
                context.open()
                return layout
    return wanted


def _label(stream: Stream, info: StreamInfo, title: str) -> None:
    for key, value in (("language", info.language), ("title", title)):
        if value:
            stream.metadata[key] = value
    stream.disposition = info.disposition  # type: ignore[assignment]


def _av_packet(packet: Packet, base: Fraction, stream: Stream | None = None) -> AvPacket[Stream]:
    out: AvPacket[Stream] = AvPacket(packet.data)
    out.pts = None if packet.pts == NO_TIME else packet.pts
    out.dts = None if packet.dts == NO_TIME else packet.dts
    out.duration, out.time_base, out.is_keyframe = packet.duration, base, packet.key
    if stream is not None:
        out.stream = stream
    return out
