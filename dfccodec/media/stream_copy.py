"""Output streams for packets that are copied without re-encoding, and checks that a container accepts them."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.stream import Stream

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.media.packet_trim import NO_TIMESTAMP

_TEMPLATE_FORMATS = ("matroska", "avi", "mov")
"""Formats that together support every audio codec."""
_AVI_TIMED_CODECS = ("mp2", "mp3", "ac3", "vorbis")
"""Codecs, besides PCM, for which ffmpeg's AVI muxer counts samples correctly."""
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_TS_AUDIO_CODECS = ("aac", "aac_latm", "ac3", "dts", "eac3", "mp1", "mp2", "mp3", "opus", "s302m", "truehd")
_TS_SUBTITLE_CODECS = ("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle")
_SELF_CONTAINED_ADPCM = ("adpcm_g722", "adpcm_yamaha", "adpcm_swf", "adpcm_ima_qt", "adpcm_adx")
"""ADPCM codecs whose packets decode without data from the container."""
_CONTAINER_BLOCK_CODECS = (
    "wmav1", "wmav2", "wmapro", "wmavoice", "wmalossless", "xma1", "xma2", "cook", "sipr", "ra_288", "atrac1",
    "atrac3", "atrac3al", "atrac3p", "atrac3pal", "imc", "iac",
)  # fmt: skip
"""Other codecs whose packets have a block size that only the container stores."""
_PRIMED_CODECS = {"aac": ("aac", 1024), "mp3": ("libmp3lame", 1105), "opus": ("libopus", 312)}
"""Codecs with encoder delay (priming): an encoder of each, and its number of priming samples."""
_ALAC_HEAD_BYTES, _ALAC_MAX_SAMPLES = 7, 1 << 20
"""Number of leading bytes of an ALAC packet that hold its sample count, and the maximum count that is trusted."""
_CODEC_DELAY = b"\x56\xaa"
"""ID of Matroska's CodecDelay element, in nanoseconds."""
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def add_copied_stream(container: OutputContainer, info: StreamInfo, priming: int = 0) -> Stream:
    """Add a stream for packets that are already encoded.

    Args:
        container: the output.
        info: metadata of the stream.
        priming: number of priming samples to skip in playback; Matroska stores it in its header.

    Raises:
        ValueError, av.error.FFmpegError: the container does not accept the codec.
    """
    if info.kind == 1 and not info.extradata:
        stream = container.add_mux_stream(info.codec)
    else:
        stream = _add_from_template(container, info, priming)
    stream.time_base = Fraction(info.time_base.num, info.time_base.den)
    return stream


def channel_layout(info: StreamInfo) -> str:
    """Return the channel layout. If the file states only a channel count, return its usual layout: mp4 needs one."""
    if not info.layout or info.layout.endswith("channels"):
        return _LAYOUTS.get(info.channels, info.layout or "stereo")
    return info.layout


def check_fits(name: str, info: StreamInfo) -> None:
    """Write an empty file with this stream only. Some muxers check the codec only when they write the header.

    Raises:
        ValueError, av.error.FFmpegError: the container does not accept the stream.
    """
    if needs_container(info.codec):
        raise ValueError("its packets cannot be decoded without the container that they came from")
    if info.codec.startswith("adpcm_") and name != "nut" and (name, info.codec) != ("mov", "adpcm_ima_qt"):
        raise ValueError(f"{name} would store a wrong block size")
    if (
        name == "mpegts" and info.codec not in _TS_AUDIO_CODECS + _TS_SUBTITLE_CODECS
    ):  # the muxer would write unnamed private data
        raise ValueError(f"mpegts has no stream type for {info.codec}")
    scratch = av.open(io.BytesIO(), "w", format=name)
    add_copied_stream(scratch, info)
    scratch.start_encoding()
    scratch.close()


def _add_from_template(container: OutputContainer, info: StreamInfo, priming: int) -> Stream:
    """Add a stream from a template. PyAV then opens no codec, but it cannot build a template from parameters."""
    length = _samples_per_packet(info) if container.format.name == "avi" and info.kind == 0 else 0
    template = _template_from_decoder(info) if length or not _has_encoder(info.codec) else _template_from_encoder(info)
    if priming and info.codec in _PRIMED_CODECS:
        template = _template_with_priming(info, priming)
    stream = container.add_stream_from_template(template, opaque=True)
    context = stream.codec_context
    context.extradata = info.extradata or None
    if isinstance(context, AudioCodecContext):
        context.sample_rate = info.sample_rate
        context.layout = channel_layout(info)
        if length:  # in PyAV, frame_size can be set only as an option of an opened codec
            context.options = {"frame_size": str(length)}
            context.open()
    return stream


def priming_samples(info: StreamInfo, first: Packet | None) -> int:
    """Return the number of priming samples (before time 0) of a stream, from its first packet."""
    if first is None or info.codec not in _PRIMED_CODECS or first.pts >= 0 or first.pts == NO_TIMESTAMP:
        return 0
    tick = Fraction(info.time_base.num, info.time_base.den) * info.sample_rate
    usual = int.from_bytes(info.extradata[10:12], "little") if info.codec == "opus" else _PRIMED_CODECS[info.codec][1]
    found = -first.pts * tick
    return usual if abs(found - usual) <= tick else round(found)  # containers round timestamps


def count_samples(info: StreamInfo, data: bytes) -> int:
    """Return the number of samples in a packet at the stream's rate; 0 if only decoding can tell."""
    if info.codec == "opus" and data:
        mode, frames = data[0] >> 3, {0: 1, 3: data[1] & 63 if len(data) > 1 else 0}.get(data[0] & 3, 2)
        size = (
            (480, 960, 1920, 2880)[mode & 3] if mode < 12 else (480, 960)[mode & 1] if mode < 16 else 120 << (mode & 3)
        )
        return frames * size * info.sample_rate // 48000
    if info.codec == "alac" and len(data) >= _ALAC_HEAD_BYTES:
        head = int.from_bytes(data[:_ALAC_HEAD_BYTES], "big")
        if head >> 36 & 1:  # the packet states its sample count, as the last one of a stream does
            return min(head >> 1 & 0xFFFFFFFF, _ALAC_MAX_SAMPLES)
        cookie = info.extradata[12:] if info.extradata[4:8] == b"alac" else info.extradata
        return min(int.from_bytes(cookie[:4], "big"), _ALAC_MAX_SAMPLES)
    return (1152 if info.sample_rate >= 32000 else 576) if info.codec == "mp3" else 0


def packet_duration(info: StreamInfo, data: bytes, base: Fraction) -> int:
    """Return the duration of an audio packet in time-base units, from its data; 0 if only decoding can tell."""
    return round(Fraction(count_samples(info, data), info.sample_rate) / base) if info.sample_rate else 0


def _template_with_priming(info: StreamInfo, samples: int) -> Stream:
    """Return a stream template with `samples` of encoder priming.

    PyAV cannot set priming on a stream, but reads it from a file that has it.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as scratch:
        stream = scratch.add_stream(_PRIMED_CODECS[info.codec][0], rate=info.sample_rate, layout="stereo")
        scratch.start_encoding()
        packet: AvPacket[Stream] = AvPacket(bytes(64))
        packet.pts = packet.dts = 0
        packet.stream, packet.time_base = stream, Fraction(1, info.sample_rate)
        scratch.mux(packet)
    data = file.getvalue()
    place = data.rindex(_CODEC_DELAY) + len(_CODEC_DELAY) + 1  # the last match: random IDs precede it
    size = data[place - 1] & 7  # length of the number in bytes
    delay = min(round(samples * 10**9 / info.sample_rate), 256**size - 1)
    return av.open(io.BytesIO(data[:place] + delay.to_bytes(size, "big") + data[place + size :])).streams[0]


def _has_encoder(codec: str) -> bool:
    try:
        return av.codec.Codec(codec, "w").is_encoder
    except ValueError:
        return False


def _template_from_encoder(info: StreamInfo) -> Stream:
    """Return a template from an output that is never written; its format accepts every codec with an encoder."""
    return cast(Stream, av.open(io.BytesIO(), "w", format="null").add_stream(info.codec))


def _template_from_decoder(info: StreamInfo) -> Stream:
    """Return a template that has the codec's decoder, from a file with one packet of zeros."""
    for name in _TEMPLATE_FORMATS:
        file = io.BytesIO()
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            with av.open(file, "w", format=name) as scratch:
                stream = scratch.add_mux_stream(info.codec, rate=info.sample_rate)
                scratch.start_encoding()
                packet: AvPacket[Stream] = AvPacket(bytes(64))
                packet.pts = packet.dts = 0
                packet.stream, packet.time_base = stream, stream.time_base or Fraction(1, info.sample_rate)
                scratch.mux(packet)
            file.seek(0)
            found = av.open(file, "r").streams
            if found and found[0].codec_context is not None:
                return found[0]
    raise ValueError(f"{info.codec} is unknown to PyAV's ffmpeg")


def _samples_per_packet(info: StreamInfo) -> int:
    """Return the number of samples per packet, which AVI uses to count time; 0 if its muxer finds it.

    Raises:
        ValueError: the number varies or is unknown.
    """
    if info.codec in _AVI_TIMED_CODECS or info.codec.startswith("pcm_"):
        return 0
    if info.codec == "aac":
        return 1024 * max(1, round(info.sample_rate / (_aac_core_rate(info.extradata) or info.sample_rate)))
    if info.codec == "flac":
        head = info.extradata[8:] if info.extradata.startswith(b"fLaC") else info.extradata
        if head[:2] == head[2:4]:
            return int.from_bytes(head[:2], "big")
    if info.codec in ("dts", "eac3"):
        return {"dts": 512, "eac3": 1536}[info.codec]
    raise ValueError("avi cannot time its packets")


def _aac_core_rate(config: bytes) -> int:
    """Return the core sample rate of AAC; HE-AAC plays at twice that rate. 0 if unknown."""
    if len(config) < 2:
        return 0
    number = int.from_bytes(config[:2], "big") >> 7 & 15
    return _AAC_RATES[number] if number < len(_AAC_RATES) else 0


def to_av_packet(packet: Packet, base: Fraction, stream: Stream | None = None) -> AvPacket[Stream]:
    """Convert a packet for ffmpeg; `base` is the time base of its timestamps in seconds."""
    out: AvPacket[Stream] = AvPacket(packet.data)
    out.pts = None if packet.pts == NO_TIMESTAMP else packet.pts
    out.dts = None if packet.dts == NO_TIMESTAMP else packet.dts
    out.duration, out.time_base, out.is_keyframe = packet.duration, base, packet.key
    if stream is not None:
        out.stream = stream
    return out


def needs_container(codec: str) -> bool:
    """Return whether audio packets can be decoded only with data from the header of their container."""
    return codec in _CONTAINER_BLOCK_CODECS or (codec.startswith("adpcm_") and codec not in _SELF_CONTAINED_ADPCM)


def create_audio_decoder(info: StreamInfo) -> AudioCodecContext:
    """Create an audio decoder from the stream metadata that a .dfc file stores.

    Raises:
        ValueError: this ffmpeg has no such decoder.
    """
    decoder = cast(AudioCodecContext, av.CodecContext.create(info.codec, "r"))
    decoder.sample_rate, decoder.layout = info.sample_rate, channel_layout(info)
    if info.extradata:
        decoder.extradata = info.extradata
    return decoder
