"""Muxes audio and subtitles into a container: copied, or converted to a codec that the container supports."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import av
from av.audio.layout import AudioLayout
from av.container import OutputContainer
from av.packet import Packet as AvPacket
from av.packet import PacketSideData
from av.stream import Stream

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.errors import DfcError, UsageError
from dfccodec.media.decode_errors import DecodeErrorCounter, describe_error
from dfccodec.media.output.text_subtitles import (
    CODEC_HEADERS,
    Cue,
    CueSplitter,
    build_packet,
    parse_packet,
    substitute_text_codec,
)
from dfccodec.media.packet_trim import NO_TIMESTAMP
from dfccodec.media.stream_copy import (
    add_copied_stream,
    check_fits,
    count_samples,
    needs_container,
    packet_duration,
    priming_samples,
    to_av_packet,
)
from dfccodec.media.track_titles import track_label
from dfccodec.media.transcode import AudioTranscoder

_NONSTRICT_TIMESTAMPS = 0x20000
"""ffmpeg's flag AVFMT_TS_NONSTRICT of containers in which timestamps need not increase strictly."""

_SKIP_SAMPLES = 11
"""ffmpeg's side data type AV_PKT_DATA_SKIP_SAMPLES: number of samples not to play."""
_FORCED_FLAG = 0x40
"""Disposition flag of subtitles that are displayed even if subtitles are off."""
_QUICKTIME_LANGUAGES = {
    "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "nld": "dut", "sqi": "alb", "swe": "sve", "zho": "chi",
    "cze": "ces", "fre": "fra", "rum": "ron", "slo": "slk",
}  # fmt: skip
"""Language codes under the names in ffmpeg's list for QuickTime."""
_SUGGESTED_ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}
"""Audio encoders to suggest by container; for others, aac."""
_LOSSLESS_CODECS = {"matroska": "flac", "mp4": "flac", "mov": "pcm_s16le", "avi": "pcm_s16le"}
"""Replacement of audio codecs that neither this container nor Matroska supports."""
_SUGGESTED_CONTAINERS = {
    "matroska": ".mkv",
    "mp4": ".mp4",
    "mov": ".mov",
    "avi": ".avi",
    "mpegts": ".ts",
    "webm": ".webm",
}
"""Containers to suggest, with their suffixes; the most compatible first."""


class _CopiedTrack:
    """A stream that is copied without re-encoding, except for audio packets that must not be played.

    Audio before time 0 is decoder start-up, or was cut by an edit list. mp4 and Matroska can hide it. In other
    containers it would be played, so it is discarded.
    """

    def __init__(self, container: OutputContainer, info: StreamInfo, known: Sequence[Packet]) -> None:
        name = container.format.name
        self._info, self._base = info, Fraction(info.time_base.num, info.time_base.den)
        check_fits(name, info)
        self._is_audio, self._can_hide, self._is_avi = info.kind == 0, name in ("mp4", "mov"), name == "avi"
        first = next((packet for packet in known if self._is_written(packet)), None)
        hidden = priming_samples(info, first) if name in ("matroska", "webm") else 0
        self.stream = add_copied_stream(container, info, hidden)
        self._marks_padding = name in ("matroska", "webm")  # these can mark padding at the end of a packet
        self._gap_data = (
            b"\0\0" if info.codec == "mov_text" else None
        )  # mp4 muxers write the gaps between texts themselves
        self._needs_increasing_dts = self._is_audio and not container.format.flags & _NONSTRICT_TIMESTAMPS
        self._last_dts: int | None = None

    def _is_written(self, packet: Packet) -> bool:
        """Return whether to write a packet. The last one before 0 starts the decoder, but avi would play it too."""
        if self._can_hide or not self._is_audio or packet.pts == NO_TIMESTAMP:
            return True
        length = max(packet.duration, 1)
        return packet.pts + (Fraction(length, 2) if self._is_avi else 2 * length) > 0

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            if packet.data != self._gap_data and self._is_written(packet):
                out = to_av_packet(packet, self._base, self.stream)
                if self._is_audio and not out.duration:  # without a duration, mp4 would not play the last packet
                    out.duration = packet_duration(self._info, packet.data, self._base)
                if self._needs_increasing_dts and out.dts is not None:
                    # Joined videos have equal audio timestamps, which such a container rejects.
                    out.dts = out.dts if self._last_dts is None else max(out.dts, self._last_dts + 1)
                    out.pts = out.dts if out.pts is None else max(out.pts, out.dts)
                    self._last_dts = out.dts
                if self._marks_padding and packet.duration:
                    self._mark_padding(out, packet)
                yield out

    def _mark_padding(self, out: AvPacket[Stream], packet: Packet) -> None:
        """Mark the padding of a packet that is longer than its duration, as at the end of a stream."""
        tick = self._base * self._info.sample_rate
        padding = round(count_samples(self._info, packet.data) - packet.duration * tick)
        if padding > tick:
            side = PacketSideData(_SKIP_SAMPLES, 10)  # type: ignore[call-arg]  # missing in the stubs of PyAV 18
            memoryview(side)[:] = struct.pack("<IIxx", 0, padding)
            out.set_sidedata(side)

    def flush(self) -> Iterator[AvPacket[Stream]]:
        return iter(())


class _ConvertedTextTrack:
    """Text subtitles converted to another codec. mp4 displays one at a time, so overlapping ones are combined."""

    def __init__(self, container: OutputContainer, info: StreamInfo, kind: str) -> None:
        self._base = Fraction(info.time_base.num, info.time_base.den)
        self._codec, self._target, self._count = info.codec, kind, 0
        self.stream = add_copied_stream(container, replace(info, codec=kind, extradata=CODEC_HEADERS[kind]))
        self._queue = CueSplitter() if kind == "mov_text" else None

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            stamp = packet.dts if packet.pts == NO_TIMESTAMP else packet.pts
            runs = tuple(parse_packet(self._codec, packet.data))
            if runs and stamp != NO_TIMESTAMP:
                start = stamp * self._base
                cue = Cue(start, start + packet.duration * self._base if packet.duration else None, runs)
                yield from self._to_packets([cue] if self._queue is None else self._queue.add(cue))

    def _to_packets(self, cues: Iterable[Cue]) -> Iterator[AvPacket[Stream]]:
        for cue in cues:
            start = round(cue.start / self._base)
            length = 0 if cue.end is None else round(cue.end / self._base) - start
            data = build_packet(self._target, cue.runs, self._count)
            yield to_av_packet(Packet(start, start, length, data), self._base, self.stream)
            self._count += 1

    def flush(self) -> Iterator[AvPacket[Stream]]:
        return self._to_packets(self._queue.finish() if self._queue else ())


_Track = _CopiedTrack | _ConvertedTextTrack | AudioTranscoder


class TrackMuxer:
    """The audio and subtitle streams of an output.

    Args:
        container: the output; declare all streams before its first packet.
        audio_codec: ffmpeg's name of an encoder for all audio; None copies packets without re-encoding.
        titles: titles of streams, keyed by id.

    Attributes:
        notes: messages for the user on what is discarded or converted.
    """

    def __init__(
        self, container: OutputContainer, audio_codec: str | None = None, titles: Mapping[int, str] | None = None
    ) -> None:
        self._container, self._audio_codec, self._titles = container, audio_codec, titles or {}
        self._tracks: dict[int, _Track] = {}
        self.notes: list[str] = []

    def declare(self, info: StreamInfo, known: Sequence[Packet] = ()) -> None:
        """Add a stream.

        Args:
            info: metadata of the stream.
            known: its first packets, if already read.

        Raises:
            UsageError: the container does not support the codec; the message names alternatives.
        """
        try:
            track = (
                self._transcode(info, self._audio_codec)
                if self._audio_codec and not info.kind
                else self._copy_or_convert(info, known)
            )
            _set_metadata(track.stream, info, self._titles.get(info.id, ""), self._container.format.name)
        except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError) as error:
            raise UsageError(self._rejection_message(info, describe_error(error))) from None
        self._tracks[info.id] = track
        if info.disposition & _FORCED_FLAG and self._container.format.name == "mov":
            self.notes.append(
                f"{track_label(info)} is forced, which mov cannot store: name an .mp4 or .mkv to keep the flag"
            )

    def _transcode(self, info: StreamInfo, codec: str) -> _Track:
        track = AudioTranscoder(self._container, info, codec, DecodeErrorCounter(self.notes, f"{track_label(info)}"))
        if AudioLayout(track.layout).nb_channels < info.channels:
            self.notes.append(f"{track_label(info)} becomes {track.layout}: {codec} has no more channels")
        return track

    def _copy_or_convert(self, info: StreamInfo, known: Sequence[Packet]) -> _Track:
        """Copy a track, or convert it if the container does not support its codec."""
        try:
            return _CopiedTrack(self._container, info, known)
        except (av.error.FFmpegError, ValueError):
            instead = _substitute_codec(self._container.format.name, info)
            if instead is None:
                raise
        track = _ConvertedTextTrack(self._container, info, instead) if info.kind else self._transcode(info, instead)
        self.notes.append(f"{track_label(info)} becomes {instead}")
        return track

    def _rejection_message(self, info: StreamInfo, why: str) -> str:
        name = self._container.format.name
        track = track_label(info)
        if self._audio_codec and info.kind == 0:
            return f"{track} does not fit into {name} with --audio-codec {self._audio_codec}: {why}; or give --no-audio"
        fix = (
            "give --no-subtitles"
            if info.kind
            else f"give --audio-codec {_SUGGESTED_ENCODERS.get(name, 'aac')} or --no-audio"
        )
        if info.kind == 0 and needs_container(info.codec):
            return f"{track} does not fit into {name}: {why}; encode it again, or give --no-audio"
        other = next(
            (suffix for format, suffix in _SUGGESTED_CONTAINERS.items() if format != name and _accepts(format, info)),
            "",
        )
        article = "an" if other in (".mkv", ".mp4", ".mov", ".avi") else "a"
        return f"{track} does not fit into {name}: {f'name {article} {other}, or ' if other else ''}{fix}"

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a declared stream; packets of other streams are ignored.

        Raises:
            DfcError: ffmpeg rejects a packet.
        """
        if stream in self._tracks:
            self._mux(stream, self._tracks[stream].packets(packets))

    def finish(self) -> None:
        """Flush all tracks."""
        for ident, track in self._tracks.items():
            self._mux(ident, track.flush())

    def _mux(self, stream: int, packets: Iterator[AvPacket[Stream]]) -> None:
        try:
            for packet in packets:
                if self._container.format.name == "avi":  # negative timestamps would shift the video frames
                    packet.pts, packet.dts = (t if t is None else max(t, 0) for t in (packet.pts, packet.dts))
                self._container.mux(packet)
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            fix = "another --audio-codec" if self._audio_codec else "--audio-codec"
            raise DfcError(
                f"cannot write track {stream} into {self._container.format.name}: {describe_error(error)}; "
                f"give {fix} or --no-audio"
            ) from None


def _fits(container: str, info: StreamInfo) -> bool:
    try:
        check_fits(container, info)
    except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError):  # including timestamps out of range
        return False
    return True


def _substitute_codec(container: str, info: StreamInfo) -> str | None:
    """Return the codec that replaces one that a container does not support; None if there is none.

    Audio that Matroska supports is not replaced, because an .mkv can be suggested. Other audio, of telephones, cameras
    and old formats, is converted without loss.
    """
    if info.kind:
        return substitute_text_codec(container, info.codec)
    if container not in _LOSSLESS_CODECS or needs_container(info.codec):
        return None
    twin = re.sub(r"^(pcm_[a-z0-9]+)[bl]e(_planar)?$", r"\1le", info.codec)  # same samples in little-endian order
    if twin != info.codec and _fits(container, replace(info, codec=twin)):
        return twin
    return None if _fits("matroska", info) else _LOSSLESS_CODECS[container]


def _accepts(container: str, info: StreamInfo) -> bool:
    return _fits(container, info) or _substitute_codec(container, info) is not None


def _set_metadata(stream: Stream, info: StreamInfo, title: str, container: str) -> None:
    language = _QUICKTIME_LANGUAGES.get(info.language, info.language) if container == "mov" else info.language
    for key, value in (("language", language), ("title", title)):
        if value:
            stream.metadata[key] = value
    stream.disposition = info.disposition  # type: ignore[assignment]
