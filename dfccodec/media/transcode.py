"""Sound decoded and coded anew for a container that is being written."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.media.decode_errors import DecodeErrorCounter, reason
from dfccodec.media.stream_copy import av_packet, decoder_of, layout_of

_LAYOUTS = ("7.1", "5.1", "stereo", "mono")
"""What encoders take, most channels first."""
_RATES = {"libopus": 48000, "opus": 48000}  # whatever else they take, players expect this
_AAC = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1")
"""Layouts with a number in AAC; it spells others out, which browsers and QuickTime do not read."""
_GAP, _LONGEST = Fraction(1, 10), 10
"""Seconds without sound from which on, and up to which, they are filled with silence; less is a clock's jitter."""


class Conformed:
    """Decoded frames as an encoder takes them, one right after another.

    Args:
        context: of the encoder, not open yet; its layout and rate are set.
        base: seconds per tick of frames that say nothing else.
    """

    def __init__(self, context: AudioCodecContext, base: Fraction) -> None:
        self._context, self._base = context, base
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._next: int | None = None  # sample at which a frame begins if it comes right after the one before
        self.lost = False  # whether something is missing before the next frame

    def frames(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """What becomes of the next frame, and of silence where the source has none."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:  # broadcasts change their channels on the way
            if not self._context.is_open:
                self._context.open(strict=False)
            size = self._context.frame_size or None  # known once it is open
            # An encoder takes one short frame, its last: here the few samples of another are left out.
            yield from (part for part in self.rest() if part.samples == (size or part.samples))
            self._kind, self._next = kind, None
            self._resampler = AudioResampler(
                self._context.format, self._context.layout, self._context.sample_rate, size
            )
        assert self._resampler is not None
        for part in self._timed(frame):
            heard = _from_zero(part)
            if heard is not None:
                yield from self._resampler.resample(heard)

    def rest(self) -> Iterator[AudioFrame]:
        """What is left at the end."""
        if self._resampler is not None:
            yield from self._resampler.resample(None)

    def _timed(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frame with its time in samples, after silence where something is lost.

        Containers round times, which would leave tiny gaps between frames.
        """
        rate, base = frame.sample_rate, frame.time_base or self._base
        said = self._next if frame.pts is None else round(frame.pts * base * rate)
        said, expected = said or 0, self._next
        if expected is not None and abs(said - expected) <= base * rate + 1:
            said = expected
        gap = 0 if expected is None else said - expected
        out = [frame]
        if ((self.lost and gap > 0) or gap > _GAP * rate) and gap <= _LONGEST * rate:
            out.insert(0, _silence(frame, gap))
            out[0].pts = expected
        self.lost = False
        for part in out:
            part.time_base = Fraction(1, rate)
        frame.pts, self._next = said, said + frame.samples
        return out


def _from_zero(frame: AudioFrame) -> AudioFrame | None:
    """What of a frame does not play before 0, where sources hide the start of a decoder; None is nothing."""
    before = -(frame.pts or 0)
    if before <= 0:
        return frame
    if before >= frame.samples:
        return None
    out = AudioFrame(frame.format.name, frame.layout.name, frame.samples - before)
    out.sample_rate, out.time_base, out.pts = frame.sample_rate, frame.time_base, 0
    count = frame.layout.nb_channels
    planes, step = (count, 1) if frame.format.is_planar else (1, count)
    step *= frame.format.bytes
    for plane, source in zip(out.planes[:planes], frame.planes[:planes], strict=True):
        samples = bytes(source)[before * step : frame.samples * step]
        plane.update(samples.ljust(plane.buffer_size, b"\0"))
    return out


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    out = AudioFrame(like.format.name, like.layout.name, samples)
    out.sample_rate = like.sample_rate
    middle = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for plane in out.planes[: like.layout.nb_channels if like.format.is_planar else 1]:  # PyAV sees one more of eight
        plane.update(middle * plane.buffer_size)
    return out


class Transcoded:
    """Sound is decoded and encoded anew.

    Args:
        container: where it goes.
        info: of the source.
        codec: ffmpeg's name of an encoder.
        broken: counts the packets that do not decode; silence takes their place.

    Raises:
        ValueError, LookupError, av.error.FFmpegError: the container or the encoder does not take it.
    """

    def __init__(self, container: OutputContainer, info: StreamInfo, codec: str, broken: DecodeErrorCounter) -> None:
        self._base, self._broken = Fraction(info.time_base.num, info.time_base.den), broken
        self._decoder = decoder_of(info)
        self._decoder.open()
        rate = _rate(codec, info.sample_rate)
        self.layout = fitting_layout(codec, rate, layout_of(info))
        with contextlib.closing(av.open(io.BytesIO(), "w", format=container.format.name)) as scratch:
            _encoder(scratch, codec, rate, self.layout)
            scratch.start_encoding()  # some muxers look at a codec no sooner
        self.stream = _encoder(container, codec, rate, self.layout)
        self._conformed = Conformed(self.stream.codec_context, self._base)

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        """The packets of the output that are ready after these of the source."""
        for packet in packets:
            yield from self._coded(av_packet(packet, self._base))

    def _coded(self, packet: AvPacket[Stream] | None) -> Iterator[AvPacket[Stream]]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._broken.add(reason(error))
            self._conformed.lost = True
            return
        for frame in frames:
            for part in self._conformed.frames(frame):
                yield from self.stream.encode(part)

    def flush(self) -> Iterator[AvPacket[Stream]]:
        """What decoder and encoder still hold."""
        yield from self._coded(None)
        if self.stream.codec_context.is_open:
            for part in self._conformed.rest():
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


def fitting_layout(codec: str, rate: int, wanted: str) -> str:
    """The layout of channels nearest to the one wanted that the encoder takes; where it takes none, that one.

    Raises:
        ValueError: it is no encoder of sound.
    """
    found = av.codec.Codec(codec, "w")
    if found.type != "audio" or not found.is_encoder:
        raise ValueError(f"{codec} is no encoder of sound")
    plain = wanted.partition("(")[0]
    first = (_aac_layout(wanted), wanted) if found.canonical_name == "aac" else (wanted, plain)
    for layout in dict.fromkeys((*first, *_LAYOUTS)):
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            if layout in first or AudioLayout(layout).nb_channels <= AudioLayout(wanted).nb_channels:
                context = found.create("audio")
                context.sample_rate, context.layout, context.time_base = rate, layout, Fraction(1, rate)
                if found.audio_formats:
                    context.format = found.audio_formats[0]
                context.open()
                return layout
    return wanted


def _aac_layout(wanted: str) -> str:
    """The layout that AAC has a number for and that has all channels of the one wanted; without such, that one."""
    places = _places(wanted)
    return next((layout for layout in _AAC if places <= _places(layout)), wanted)


def _places(layout: str) -> set[str]:
    """Where its channels stand; those at the sides are at the back unless others are."""
    names = {channel.name for channel in AudioLayout(layout).channels}
    return names if "BL" in names else {name.replace("SL", "BL").replace("SR", "BR") for name in names}
