"""Sound decoded and coded anew for a container that is being written."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
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
from dfccodec.media.untouched import av_packet, layout_of

_LAYOUTS = ("7.1", "5.1", "stereo", "mono")
"""What encoders take, most channels first."""
_RATES = {"libopus": 48000, "opus": 48000}  # whatever else they take, players expect this


class Transcoded:
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
            yield from self._coded(av_packet(packet, self._base))

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
