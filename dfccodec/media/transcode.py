"""Audio re-encoding for a container."""

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
from dfccodec.media.decode_errors import DecodeErrorCounter, describe_error
from dfccodec.media.stream_copy import channel_layout, create_audio_decoder, to_av_packet

_LAYOUTS = ("7.1", "5.1", "stereo", "mono")
"""Fallback layouts for encoders, most channels first."""
_FIXED_RATES = {"libopus": 48000, "opus": 48000}  # the only rate that all players expect
_AAC_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1")
"""Layouts with a channel configuration number in AAC. Browsers and QuickTime cannot read other layouts."""
_MIN_GAP, _MAX_GAP = Fraction(1, 10), 10
"""Minimum and maximum length in seconds of a gap that is filled with silence. Shorter gaps are clock jitter."""


class AudioConformer:
    """Converts decoded frames to the format of an encoder, without gaps.

    Args:
        context: the encoder, not opened yet; its layout and rate are set.
        base: time base in seconds of frames that state none.
    """

    def __init__(self, context: AudioCodecContext, base: Fraction) -> None:
        self._context, self._base = context, base
        self._resampler: AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None
        self._next_sample: int | None = None  # expected sample position of the next frame
        self.has_loss = False  # whether data before the next frame was lost

    def convert(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Yield the converted frame, after silence if the source has a gap."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._format:  # broadcasts change their channel layout
            if not self._context.is_open:
                self._context.open(strict=False)
            size = self._context.frame_size or None  # available once the codec is open
            # An encoder accepts only one short frame, its last. The few remaining samples here are discarded.
            yield from (part for part in self.flush() if part.samples == (size or part.samples))
            self._format, self._next_sample = kind, None
            self._resampler = AudioResampler(
                self._context.format, self._context.layout, self._context.sample_rate, size
            )
        assert self._resampler is not None
        for part in self._place_in_time(frame):
            trimmed = _trim_before_zero(part)
            if trimmed is not None:
                yield from self._resampler.resample(trimmed)

    def flush(self) -> Iterator[AudioFrame]:
        """Yield the samples that the resampler still holds."""
        if self._resampler is not None:
            yield from self._resampler.resample(None)

    def _place_in_time(self, frame: AudioFrame) -> list[AudioFrame]:
        """Set the frame's PTS in samples, and insert silence before it if data was lost.

        Containers round timestamps. Without this, tiny gaps would remain between frames.
        """
        rate, base = frame.sample_rate, frame.time_base or self._base
        start = self._next_sample if frame.pts is None else round(frame.pts * base * rate)
        start, expected = start or 0, self._next_sample
        if expected is not None and abs(start - expected) <= base * rate + 1:
            start = expected
        gap = 0 if expected is None else start - expected
        out = [frame]
        if ((self.has_loss and gap > 0) or gap > _MIN_GAP * rate) and gap <= _MAX_GAP * rate:
            out.insert(0, _make_silence(frame, gap))
            out[0].pts = expected
        self.has_loss = False
        for part in out:
            part.time_base = Fraction(1, rate)
        frame.pts, self._next_sample = start, start + frame.samples
        return out


def _trim_before_zero(frame: AudioFrame) -> AudioFrame | None:
    """Remove the samples before time 0, where sources put decoder start-up; return None if none remain."""
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


def _make_silence(like: AudioFrame, samples: int) -> AudioFrame:
    out = AudioFrame(like.format.name, like.layout.name, samples)
    out.sample_rate = like.sample_rate
    middle = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for plane in out.planes[: like.layout.nb_channels if like.format.is_planar else 1]:  # PyAV may list one too many
        plane.update(middle * plane.buffer_size)
    return out


class AudioTranscoder:
    """A track of re-encoded audio.

    Args:
        container: the output.
        info: metadata of the source stream.
        codec: ffmpeg's name of an encoder.
        errors: counts packets that do not decode; silence replaces them.

    Raises:
        ValueError, LookupError, av.error.FFmpegError: the container or the encoder does not accept the stream.
    """

    def __init__(self, container: OutputContainer, info: StreamInfo, codec: str, errors: DecodeErrorCounter) -> None:
        self._base, self._errors = Fraction(info.time_base.num, info.time_base.den), errors
        self._decoder = create_audio_decoder(info)
        self._decoder.open()
        rate = _nearest_rate(codec, info.sample_rate)
        self.layout = choose_layout(codec, rate, channel_layout(info))
        with contextlib.closing(av.open(io.BytesIO(), "w", format=container.format.name)) as scratch:
            _add_encoder(scratch, codec, rate, self.layout)
            scratch.start_encoding()  # some muxers check the codec only here
        self.stream = _add_encoder(container, codec, rate, self.layout)
        self._conformer = AudioConformer(self.stream.codec_context, self._base)

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        """Yield the output packets that are ready after these source packets."""
        for packet in packets:
            yield from self._encode(to_av_packet(packet, self._base))

    def _encode(self, packet: AvPacket[Stream] | None) -> Iterator[AvPacket[Stream]]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._errors.add(describe_error(error))
            self._conformer.has_loss = True
            return
        for frame in frames:
            for part in self._conformer.convert(frame):
                yield from self.stream.encode(part)

    def flush(self) -> Iterator[AvPacket[Stream]]:
        """Yield the packets that decoder and encoder still hold."""
        yield from self._encode(None)
        if self.stream.codec_context.is_open:
            for part in self._conformer.flush():
                yield from self.stream.encode(part)
            yield from self.stream.encode(None)


def _add_encoder(container: OutputContainer, codec: str, rate: int, layout: str) -> AudioStream:
    stream = cast(AudioStream, container.add_stream(codec, rate=rate))
    stream.codec_context.layout = layout
    stream.codec_context.time_base = stream.time_base = Fraction(1, rate)
    return stream


def _nearest_rate(codec: str, wanted: int) -> int:
    """Return the sample rate of the encoder nearest to `wanted`."""
    if codec in _FIXED_RATES:
        return _FIXED_RATES[codec]
    rates = av.codec.Codec(codec, "w").audio_rates
    return min(rates, key=lambda rate: abs(rate - wanted)) if rates else wanted


def choose_layout(codec: str, rate: int, wanted: str) -> str:
    """Return the channel layout of the encoder nearest to `wanted`; `wanted` itself if none opens.

    Raises:
        ValueError: the codec is not an audio encoder.
    """
    found = av.codec.Codec(codec, "w")
    if found.type != "audio" or not found.is_encoder:
        raise ValueError(f"{codec} is not an audio encoder")
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
    """Return the first numbered AAC layout that contains all channels of `wanted`; `wanted` itself if there is none."""
    places = _speaker_positions(wanted)
    return next((layout for layout in _AAC_LAYOUTS if places <= _speaker_positions(layout)), wanted)


def _speaker_positions(layout: str) -> set[str]:
    """Return the speaker positions of a layout; side speakers count as back speakers if it has no others there."""
    names = {channel.name for channel in AudioLayout(layout).channels}
    return names if "BL" in names else {name.replace("SL", "BL").replace("SR", "BR") for name in names}
