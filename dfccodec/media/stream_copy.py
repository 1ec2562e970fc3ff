"""Streams of an output for packets that are coded already, and whether a container really takes them."""

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
from dfccodec.media.packet_trim import NO_TIME

_SCRATCH = ("matroska", "avi", "mov")
"""Formats that between them hold every codec of sound."""
_COUNTED = ("mp2", "mp3", "ac3", "vorbis")
"""Codecs whose packets ffmpeg's avi muxer counts right by itself; pcm is, too."""
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_TS_SOUND = ("aac", "aac_latm", "ac3", "dts", "eac3", "mp1", "mp2", "mp3", "opus", "s302m", "truehd")
_TS_TEXT = ("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle")
_WHOLE = ("adpcm_g722", "adpcm_yamaha", "adpcm_swf", "adpcm_ima_qt", "adpcm_adx")
"""ADPCM whose packets say all."""
_BLOCKS = (
    "wmav1", "wmav2", "wmapro", "wmavoice", "wmalossless", "xma1", "xma2", "cook", "sipr", "ra_288", "atrac1",
    "atrac3", "atrac3al", "atrac3p", "atrac3pal", "imc", "iac",
)  # fmt: skip
"""Other codecs whose packets are blocks of a length that stands in the container alone."""
_PADDED = {"aac": ("aac", 1024), "mp3": ("libmp3lame", 1105), "opus": ("libopus", 312)}
"""Codecs whose first samples are none of the source's: an encoder of each, and how many that has."""
_ALAC_HEAD, _ALAC_MOST = 7, 1 << 20
"""Bytes of a packet of ALAC that have the number of its samples, and the most that are believed."""
_CODEC_DELAY = b"\x56\xaa"
"""Of Matroska: the number of the element that has the time hidden, in nanoseconds."""
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def add_copied_stream(container: OutputContainer, info: StreamInfo, hidden: int = 0) -> Stream:
    """A stream for packets that are coded already.

    Args:
        container: where it goes.
        info: what is known of it.
        hidden: samples at its beginning that no player is to play, which Matroska says in its head.

    Raises:
        ValueError, av.error.FFmpegError: the container does not take the codec.
    """
    if info.kind == 1 and not info.extradata:
        stream = container.add_mux_stream(info.codec)
    else:
        stream = _from_template(container, info, hidden)
    stream.time_base = Fraction(info.time_base.num, info.time_base.den)
    return stream


def layout_of(info: StreamInfo) -> str:
    """Where its channels stand; the usual places where a file says only how many they are, for mp4 wants to know."""
    if not info.layout or info.layout.endswith("channels"):
        return _LAYOUTS.get(info.channels, info.layout or "stereo")
    return info.layout


def check_fits(name: str, info: StreamInfo) -> None:
    """Write head and tail of a file with this stream alone: some muxers look at a codec no sooner.

    Raises:
        ValueError, av.error.FFmpegError: the container does not take the stream.
    """
    if needs_container(info.codec):
        raise ValueError("its packets cannot be decoded outside of the container that they came from")
    if info.codec.startswith("adpcm_") and name != "nut" and (name, info.codec) != ("mov", "adpcm_ima_qt"):
        raise ValueError(f"{name} would get a wrong length of blocks")
    if name == "mpegts" and info.codec not in _TS_SOUND + _TS_TEXT:  # its muxer writes such as data without a name
        raise ValueError(f"mpegts has no number for {info.codec}")
    scratch = av.open(io.BytesIO(), "w", format=name)
    add_copied_stream(scratch, info)
    scratch.start_encoding()
    scratch.close()


def _from_template(container: OutputContainer, info: StreamInfo, hidden: int) -> Stream:
    """PyAV copies a stream from a template without opening its codec, but makes no template from parameters alone."""
    length = _packet_length(info) if container.format.name == "avi" and info.kind == 0 else 0
    template = _decoded(info) if length or not _has_encoder(info.codec) else _encoded(info)
    if hidden and info.codec in _PADDED:
        template = _hiding(info, hidden)
    stream = container.add_stream_from_template(template, opaque=True)
    context = stream.codec_context
    context.extradata = info.extradata or None
    if isinstance(context, AudioCodecContext):
        context.sample_rate = info.sample_rate
        context.layout = layout_of(info)
        if length:  # PyAV lets nobody set it but as an option of a codec that opens
            context.options = {"frame_size": str(length)}
            context.open()
    return stream


def hidden_samples(info: StreamInfo, first: Packet | None) -> int:
    """Samples before 0, where sound is hidden, of a stream that begins with a packet."""
    if first is None or info.codec not in _PADDED or first.pts >= 0 or first.pts == NO_TIME:
        return 0
    tick = Fraction(info.time_base.num, info.time_base.den) * info.sample_rate
    usual = int.from_bytes(info.extradata[10:12], "little") if info.codec == "opus" else _PADDED[info.codec][1]
    found = -first.pts * tick
    return usual if abs(found - usual) <= tick else round(found)  # containers round times


def samples_of(info: StreamInfo, data: bytes) -> int:
    """Samples of a packet at the stream's rate; 0 where nobody knows without decoding it."""
    if info.codec == "opus" and data:
        mode, frames = data[0] >> 3, {0: 1, 3: data[1] & 63 if len(data) > 1 else 0}.get(data[0] & 3, 2)
        size = (
            (480, 960, 1920, 2880)[mode & 3] if mode < 12 else (480, 960)[mode & 1] if mode < 16 else 120 << (mode & 3)
        )
        return frames * size * info.sample_rate // 48000
    if info.codec == "alac" and len(data) >= _ALAC_HEAD:
        head = int.from_bytes(data[:_ALAC_HEAD], "big")
        if head >> 36 & 1:  # it says how many, as the last one does
            return min(head >> 1 & 0xFFFFFFFF, _ALAC_MOST)
        cookie = info.extradata[12:] if info.extradata[4:8] == b"alac" else info.extradata
        return min(int.from_bytes(cookie[:4], "big"), _ALAC_MOST)
    return (1152 if info.sample_rate >= 32000 else 576) if info.codec == "mp3" else 0


def ticks_of(info: StreamInfo, data: bytes, base: Fraction) -> int:
    """Ticks that a packet of sound lasts whose container did not say; 0 where nobody knows without decoding it."""
    return round(Fraction(samples_of(info, data), info.sample_rate) / base) if info.sample_rate else 0


def _hiding(info: StreamInfo, samples: int) -> Stream:
    """A template that hides samples: PyAV lets nobody say so, but takes it from a file that does."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as scratch:
        stream = scratch.add_stream(_PADDED[info.codec][0], rate=info.sample_rate, layout="stereo")
        scratch.start_encoding()
        packet: AvPacket[Stream] = AvPacket(bytes(64))
        packet.pts = packet.dts = 0
        packet.stream, packet.time_base = stream, Fraction(1, info.sample_rate)
        scratch.mux(packet)
    data = file.getvalue()
    place = data.rindex(_CODEC_DELAY) + len(_CODEC_DELAY) + 1  # the last: before it there are random numbers
    size = data[place - 1] & 7  # bytes of the number that follows
    delay = min(round(samples * 10**9 / info.sample_rate), 256**size - 1)
    return av.open(io.BytesIO(data[:place] + delay.to_bytes(size, "big") + data[place + size :])).streams[0]


def _has_encoder(codec: str) -> bool:
    try:
        return av.codec.Codec(codec, "w").is_encoder
    except ValueError:
        return False


def _encoded(info: StreamInfo) -> Stream:
    """A template of a format that takes every codec with an encoder, in an output that is never written."""
    return cast(Stream, av.open(io.BytesIO(), "w", format="null").add_stream(info.codec))


def _decoded(info: StreamInfo) -> Stream:
    """A template with the codec's decoder: out of a file of one empty packet."""
    for name in _SCRATCH:
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
    raise ValueError(f"{info.codec} is unknown to the ffmpeg of this PyAV")


def _packet_length(info: StreamInfo) -> int:
    """Samples of a packet, which is how avi counts time; 0 where its muxer knows by itself.

    Raises:
        ValueError: they differ from packet to packet, or nobody knows.
    """
    if info.codec in _COUNTED or info.codec.startswith("pcm_"):
        return 0
    if info.codec == "aac":
        return 1024 * max(1, round(info.sample_rate / (_aac_rate(info.extradata) or info.sample_rate)))
    if info.codec == "flac":
        head = info.extradata[8:] if info.extradata.startswith(b"fLaC") else info.extradata
        if head[:2] == head[2:4]:
            return int.from_bytes(head[:2], "big")
    if info.codec in ("dts", "eac3"):
        return {"dts": 512, "eac3": 1536}[info.codec]
    raise ValueError("avi cannot tell the time of its packets")


def _aac_rate(config: bytes) -> int:
    """Of the inner coder, where the packets of HE-AAC play at twice its rate; 0 is unknown."""
    if len(config) < 2:
        return 0
    number = int.from_bytes(config[:2], "big") >> 7 & 15
    return _AAC_RATES[number] if number < len(_AAC_RATES) else 0


def av_packet(packet: Packet, base: Fraction, stream: Stream | None = None) -> AvPacket[Stream]:
    """A packet for ffmpeg, with times in ticks of `base` seconds."""
    out: AvPacket[Stream] = AvPacket(packet.data)
    out.pts = None if packet.pts == NO_TIME else packet.pts
    out.dts = None if packet.dts == NO_TIME else packet.dts
    out.duration, out.time_base, out.is_keyframe = packet.duration, base, packet.key
    if stream is not None:
        out.stream = stream
    return out


def needs_container(codec: str) -> bool:
    """Whether packets of sound can be decoded only with what stands in the head of their container."""
    return codec in _BLOCKS or (codec.startswith("adpcm_") and codec not in _WHOLE)


def decoder_of(info: StreamInfo) -> AudioCodecContext:
    """A decoder that knows of a stream what a .dfc file does.

    Raises:
        ValueError: this ffmpeg has none.
    """
    decoder = cast(AudioCodecContext, av.CodecContext.create(info.codec, "r"))
    decoder.sample_rate, decoder.layout = info.sample_rate, layout_of(info)
    if info.extradata:
        decoder.extradata = info.extradata
    return decoder
