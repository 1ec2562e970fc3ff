"""Writing sound and subtitles into a container: packets as they are, or what the container takes instead."""

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
from dfccodec.media.decode_errors import DecodeErrorCounter, reason
from dfccodec.media.output.text_subtitles import HEADS, Cue, OneAtATime, kind_for, read, write
from dfccodec.media.packet_trim import NO_TIME
from dfccodec.media.stream_copy import (
    add_copied_stream,
    av_packet,
    check_fits,
    hidden_samples,
    needs_container,
    samples_of,
    ticks_of,
)
from dfccodec.media.track_titles import name_of_track
from dfccodec.media.transcode import Transcoded

_EQUAL_TIMES = 0x20000
"""ffmpeg's flag of containers in which the times of packets need not rise."""

_SKIP_SAMPLES = 11
"""ffmpeg's number of side data that says how many samples are not to be heard."""
_FORCED = 0x40
"""Disposition of subtitles that are shown even to who wants none."""
_MACINTOSH = {
    "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "nld": "dut", "sqi": "alb", "swe": "sve", "zho": "chi",
    "cze": "ces", "fre": "fra", "rum": "ron", "slo": "slk",
}  # fmt: skip
"""Languages under the names that ffmpeg's list of QuickTime's has."""
_FIXES = {"webm": "libopus", "avi": "libmp3lame"}
"""Encoders of sound by container, where it is not aac."""
_LOSSLESS = {"matroska": "flac", "mp4": "flac", "mov": "pcm_s16le", "avi": "pcm_s16le"}
"""What sound becomes that has no place of its own."""
_OTHERS = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov", "avi": ".avi", "mpegts": ".ts", "webm": ".webm"}
"""Containers to suggest, the one for most people first."""


class _Copied:
    """Packets go through as they are, but for those of sound that nobody is to hear.

    What a source has before 0 is the start of a decoder, or cut off by an edit list. Mp4 and Matroska can hide that;
    elsewhere, and if it is long, it would be heard.
    """

    def __init__(self, container: OutputContainer, info: StreamInfo, known: Sequence[Packet]) -> None:
        name = container.format.name
        self._info, self._base = info, Fraction(info.time_base.num, info.time_base.den)
        check_fits(name, info)
        self._sound, self._hides, self._counts = info.kind == 0, name in ("mp4", "mov"), name == "avi"
        first = next((packet for packet in known if self._heard(packet)), None)
        hidden = hidden_samples(info, first) if name in ("matroska", "webm") else 0
        self.stream = add_copied_stream(container, info, hidden)
        self._ends = name in ("matroska", "webm")  # these say how much of a packet's end is not to be heard
        self._gap = b"\0\0" if info.codec == "mov_text" else None  # mp4 muxers fill gaps in text themselves
        self._rising = self._sound and not container.format.flags & _EQUAL_TIMES
        self._last: int | None = None

    def _heard(self, packet: Packet) -> bool:
        """Whether a packet is to be written. A decoder starts on the one before 0; avi would play that, too."""
        if self._hides or not self._sound or packet.pts == NO_TIME:
            return True
        length = max(packet.duration, 1)
        return packet.pts + (Fraction(length, 2) if self._counts else 2 * length) > 0

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            if packet.data != self._gap and self._heard(packet):
                made = av_packet(packet, self._base, self.stream)
                if self._sound and not made.duration:  # an mp4 would not play the last one
                    made.duration = ticks_of(self._info, packet.data, self._base)
                if self._rising and made.dts is not None:
                    # Where videos were joined, sound has equal times, which such a container refuses.
                    made.dts = made.dts if self._last is None else max(made.dts, self._last + 1)
                    made.pts = made.dts if made.pts is None else max(made.pts, made.dts)
                    self._last = made.dts
                if self._ends and packet.duration:
                    self._shorten(made, packet)
                yield made

    def _shorten(self, made: AvPacket[Stream], packet: Packet) -> None:
        """Of a packet that lasts longer than it should, the last of a stream, say so."""
        tick = self._base * self._info.sample_rate
        more = round(samples_of(self._info, packet.data) - packet.duration * tick)
        if more > tick:
            side = PacketSideData(_SKIP_SAMPLES, 10)  # type: ignore[call-arg]  # stubs of PyAV 18 lack it
            memoryview(side)[:] = struct.pack("<IIxx", 0, more)
            made.set_sidedata(side)

    def flush(self) -> Iterator[AvPacket[Stream]]:
        return iter(())


class _Text:
    """Text subtitles become another kind. Mp4 shows one at a time; where two are on display, they share one."""

    def __init__(self, container: OutputContainer, info: StreamInfo, kind: str) -> None:
        self._base = Fraction(info.time_base.num, info.time_base.den)
        self._codec, self._kind, self._count = info.codec, kind, 0
        self.stream = add_copied_stream(container, replace(info, codec=kind, extradata=HEADS[kind]))
        self._queue = OneAtATime() if kind == "mov_text" else None

    def packets(self, packets: Sequence[Packet]) -> Iterator[AvPacket[Stream]]:
        for packet in packets:
            stamp = packet.dts if packet.pts == NO_TIME else packet.pts
            runs = tuple(read(self._codec, packet.data))
            if runs and stamp != NO_TIME:
                start = stamp * self._base
                cue = Cue(start, start + packet.duration * self._base if packet.duration else None, runs)
                yield from self._made([cue] if self._queue is None else self._queue.add(cue))

    def _made(self, cues: Iterable[Cue]) -> Iterator[AvPacket[Stream]]:
        for cue in cues:
            start = round(cue.start / self._base)
            length = 0 if cue.end is None else round(cue.end / self._base) - start
            data = write(self._kind, cue.runs, self._count)
            yield av_packet(Packet(start, start, length, data), self._base, self.stream)
            self._count += 1

    def flush(self) -> Iterator[AvPacket[Stream]]:
        return self._made(self._queue.finish() if self._queue else ())


_Track = _Copied | _Text | Transcoded


class TrackMuxer:
    """The sound and subtitle streams of a container that is being written.

    Args:
        container: where they go; all streams are declared before its first packet.
        audio_codec: ffmpeg's name of an encoder for all sound; None copies packets untouched.
        titles: of streams, by id.

    Attributes:
        notes: lines for people on what is lost.
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
            info: what is known of it.
            known: its first packets, if there are some already.

        Raises:
            UsageError: the container cannot hold the codec; the message has the ways out.
        """
        try:
            track = (
                self._coded_anew(info, self._audio_codec)
                if self._audio_codec and not info.kind
                else self._as_it_is(info, known)
            )
            _label(track.stream, info, self._titles.get(info.id, ""), self._container.format.name)
        except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError) as error:
            raise UsageError(self._refusal(info, reason(error))) from None
        self._tracks[info.id] = track
        if info.disposition & _FORCED and self._container.format.name == "mov":
            self.notes.append(
                f"{name_of_track(info)} is forced, which mov does not say: name an .mp4 or .mkv to keep it"
            )

    def _coded_anew(self, info: StreamInfo, codec: str) -> _Track:
        track = Transcoded(self._container, info, codec, DecodeErrorCounter(self.notes, f"{name_of_track(info)}"))
        if AudioLayout(track.layout).nb_channels < info.channels:
            self.notes.append(f"{name_of_track(info)} becomes {track.layout}: {codec} has no more")
        return track

    def _as_it_is(self, info: StreamInfo, known: Sequence[Packet]) -> _Track:
        """A track of packets untouched; of another kind, where the container has no other place for it."""
        try:
            return _Copied(self._container, info, known)
        except (av.error.FFmpegError, ValueError):
            instead = _instead(self._container.format.name, info)
            if instead is None:
                raise
        track = _Text(self._container, info, instead) if info.kind else self._coded_anew(info, instead)
        self.notes.append(f"{name_of_track(info)} becomes {instead}")
        return track

    def _refusal(self, info: StreamInfo, why: str) -> str:
        name = self._container.format.name
        track = name_of_track(info)
        if self._audio_codec and info.kind == 0:
            return f"{track} does not go into {name} with --audio-codec {self._audio_codec}: {why}; or give --no-audio"
        fix = "give --no-subtitles" if info.kind else f"give --audio-codec {_FIXES.get(name, 'aac')} or --no-audio"
        if info.kind == 0 and needs_container(info.codec):
            return f"{track} does not go into {name}: {why}; encode it again, or give --no-audio"
        other = next((suffix for format, suffix in _OTHERS.items() if format != name and _takes(format, info)), "")
        article = "an" if other in (".mkv", ".mp4", ".mov", ".avi") else "a"
        return f"{track} does not go into {name}: {f'name {article} {other}, or ' if other else ''}{fix}"

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
                if self._container.format.name == "avi":  # times before 0 would move pictures off their ticks
                    packet.pts, packet.dts = (t if t is None else max(t, 0) for t in (packet.pts, packet.dts))
                self._container.mux(packet)
        except (av.error.FFmpegError, ValueError, OverflowError) as error:
            fix = "another --audio-codec" if self._audio_codec else "--audio-codec"
            raise DfcError(
                f"cannot write track {stream} into {self._container.format.name}: {reason(error)}; "
                f"give {fix} or --no-audio"
            ) from None


def _fits(container: str, info: StreamInfo) -> bool:
    try:
        check_fits(container, info)
    except (av.error.FFmpegError, ValueError, LookupError, ArithmeticError):  # times over ffmpeg's range among them
        return False
    return True


def _instead(container: str, info: StreamInfo) -> str | None:
    """The codec that a track gets in a container which does not take its own; None is none.

    Sound that has a place in Matroska keeps it: there people know what to name. Other sound is of telephones, cameras
    and old formats, and becomes what loses nothing.
    """
    if info.kind:
        return kind_for(container, info.codec)
    if container not in _LOSSLESS or needs_container(info.codec):
        return None
    twin = re.sub(r"^(pcm_[a-z0-9]+)[bl]e(_planar)?$", r"\1le", info.codec)  # of another order of bytes
    if twin != info.codec and _fits(container, replace(info, codec=twin)):
        return twin
    return None if _fits("matroska", info) else _LOSSLESS[container]


def _takes(container: str, info: StreamInfo) -> bool:
    return _fits(container, info) or _instead(container, info) is not None


def _label(stream: Stream, info: StreamInfo, title: str, container: str) -> None:
    language = _MACINTOSH.get(info.language, info.language) if container == "mov" else info.language
    for key, value in (("language", language), ("title", title)):
        if value:
            stream.metadata[key] = value
    stream.disposition = info.disposition  # type: ignore[assignment]
