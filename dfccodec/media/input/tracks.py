"""Reads audio and subtitle packets of a source in stored order, without re-encoding wherever possible."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.packet import Packet as AvPacket
from av.stream import Discard, Stream

from dfccodec.container.records import Packet, Ratio, StreamInfo
from dfccodec.errors import InputError
from dfccodec.limits import MAX_STREAMS
from dfccodec.media.decode_errors import describe_error
from dfccodec.media.input.open_input import display_name, open_input
from dfccodec.media.input.stored_audio import make_flac_track
from dfccodec.media.input.timestamps import Splice, SplicedTimestamps
from dfccodec.media.packet_trim import NO_TIMESTAMP, trim_and_shift
from dfccodec.media.stream_copy import count_samples, packet_duration

_STREAM_KINDS = {"audio": 0, "subtitle": 1}
_DISPOSITION_MASK = 0x1FF  # mask of the disposition flags that the .dfc format stores; same values as in ffmpeg
_BATCH_BYTES = 4 << 20  # maximum number of packet bytes per chunk


def read_stream_info(stream: Stream) -> StreamInfo | None:
    """Return the metadata of a stream; None if it cannot be carried: data, attachments, unnamed codecs."""
    context = stream.codec_context
    if stream.type not in _STREAM_KINDS or context is None or not stream.time_base:
        return None
    audio = context if isinstance(context, AudioCodecContext) else None
    return StreamInfo(
        stream.index, _STREAM_KINDS[stream.type], Ratio(stream.time_base.numerator, stream.time_base.denominator),
        context.codec.canonical_name, audio.sample_rate if audio else 0, audio.channels if audio else 0,
        audio.layout.name if audio else "", stream.language or "", int(stream.disposition) & _DISPOSITION_MASK,
        context.extradata or b"",
    )  # fmt: skip


def read_title(stream: Stream) -> str:
    """Return the title of a stream; mp4 stores it as `name`."""
    return str(stream.metadata.get("title") or stream.metadata.get("name") or "")


def choose_streams(
    container: InputContainer, audio: bool, subtitles: bool, video_index: int | None = None
) -> list[Stream]:
    """Return the streams to carry.

    Args:
        container: the source.
        audio, subtitles: whether to carry them.
        video_index: index of the video stream. In a broadcast with several programs, only its program is carried.
    """
    wanted = {"audio": audio, "subtitle": subtitles}
    found = [s for s in container.streams if wanted.get(s.type) and read_stream_info(s) is not None]
    return [s for s in found if is_in_program(container, s, video_index)][:MAX_STREAMS]


def is_in_program(container: InputContainer, stream: Stream, video_index: int | None) -> bool:
    """Return whether a stream is in the program of a video stream. PyAV lists no programs, but `best` uses them."""
    best = container.streams.best
    if video_index is None or container.format.name != "mpegts" or len(container.streams.video) < 2:
        return True
    other = best("video", related=stream)
    if other is None or other.index == video_index:
        return True
    mine, its = best("audio", related=container.streams[video_index]), best("audio", related=other)
    return mine is not None and its is not None and mine.index == its.index  # one program with two video streams


class Tracks:
    """Packets of the audio and subtitle streams of a source; they can be read once, in order.

    Args:
        source: a path or a seekable stream, which is opened a second time, independent of the video; or a container
            whose caller demuxes it and passes the packets to :meth:`put`.
        audio, subtitles: whether to carry them.
        begin: seconds; packets that end earlier are discarded, and timestamps count from here.
        has_end: whether :meth:`remaining_packets` discards the packets that :meth:`packets_until` has not reached.
        splices: joins of the video; the list grows while the video is read.
        notes: messages for the user; one is appended if packets do not decode.
        video_index: index of the video stream.

    Attributes:
        streams: metadata of the carried streams; ids are stream indices of the source.

    Raises:
        InputError: the source cannot be opened.
    """

    def __init__(
        self,
        source: Path | BinaryIO | InputContainer,
        audio: bool = True,
        subtitles: bool = True,
        begin: Fraction = Fraction(0),
        has_end: bool = False,
        splices: list[Splice] | None = None,
        notes: list[str] | None = None,
        video_index: int | None = None,
    ) -> None:
        self._queue: deque[AvPacket[Stream] | None] | None = deque() if isinstance(source, InputContainer) else None
        self._source, self._kinds, self._video_index = source, (audio, subtitles), video_index
        notes = [] if notes is None else notes
        self._container = source if isinstance(source, InputContainer) else open_input(source)
        self.chosen = choose_streams(self._container, audio, subtitles, video_index)
        described = {s.index: (s, info) for s in self.chosen if (info := read_stream_info(s)) is not None}
        made = {ident: make_flac_track(s, info, notes) for ident, (s, info) in described.items()}
        self._flac_tracks = {ident: track for ident, track in made.items() if track is not None}
        self.streams = [
            self._flac_tracks[ident].info if ident in self._flac_tracks else i for ident, (_, i) in described.items()
        ]
        self._infos = {info.id: info for info in self.streams}
        self._begin, self._has_end = begin, has_end
        self._times = SplicedTimestamps([] if splices is None else splices)
        self._pending: AvPacket[Stream] | None = None
        self._has_waited = False  # whether that packet has already waited for the video to reach its part
        self._due_marks: float = 0  # number of clip marks up to which packets may be read
        self._passed_marks = 0  # number of clip marks read
        self._packets = self._demuxed(self._container, self.chosen)

    def set_range(self, begin: Fraction, has_end: bool, splices: list[Splice]) -> None:
        """Set arguments of the constructor later: for a pipe they are known only after it was opened."""
        self._begin, self._has_end, self._times = begin, has_end, SplicedTimestamps(splices)

    def put(self, packet: AvPacket[Stream]) -> None:
        """Add a packet that the reader of the video has demuxed."""
        if self._queue is not None:
            self._queue.append(packet)

    def mark_clip(self) -> None:
        """Mark the end of a clip in the queue: all packets of the clip precede the mark.

        The thread that reads the video may be ahead of the writer by a varying amount. The marks make the output file
        independent of that amount.
        """
        if self._queue is not None:
            self._queue.append(None)

    def close(self) -> None:
        """Close what this object opened."""
        if self._queue is None:
            self._container.close()

    def packets_until(self, end: Fraction | None) -> Iterator[tuple[int, list[Packet]]]:
        """Yield (stream, packets) that start before `end`, in seconds after `begin`; None is the end of the source."""
        limit = None if end is None else end + self._begin
        self._due_marks += math.inf if end is None else 1
        waiting: dict[int, list[Packet]] = {}
        batch_size = 0
        while (packet := self._next_packet()) is not None:
            shift = self._shift(packet, end is None)
            stamp = packet.dts if packet.pts is None else packet.pts
            base = Fraction(packet.time_base)
            late = limit is not None and stamp is not None and shift is not None and stamp * base + shift >= limit
            if shift is None or late:
                self._pending, self._has_waited = packet, shift is None
                break
            for record in self._to_records(packet, shift):
                waiting.setdefault(packet.stream_index, []).append(record)
                batch_size += len(record.data)
            if batch_size > _BATCH_BYTES:
                yield from waiting.items()
                waiting, batch_size = {}, 0
        yield from waiting.items()
        if end is None:
            yield from self._flush()

    def _shift(self, packet: AvPacket[Stream], last: bool) -> Fraction | None:
        """Return the offset in seconds for a packet; None if it must wait until more of the video is read."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return Fraction(0)
        seconds = stamp * Fraction(packet.time_base)
        shift = self._times.shift(packet.stream_index, seconds)
        if shift is None and (self._has_waited or last):
            self._times.accept(packet.stream_index, seconds)
            shift = self._times.shift(packet.stream_index, seconds)
        self._has_waited = False
        return shift

    def remaining_packets(self) -> Iterator[tuple[int, list[Packet]]]:
        """Yield the packets after the end of the video; for a range with an end, only flush the encoders."""
        return self._flush() if self._has_end else self.packets_until(None)

    def _flush(self) -> Iterator[tuple[int, list[Packet]]]:
        """Flush the encoders."""
        for ident, track in self._flac_tracks.items():
            records = [record for packet in track.flush() if (record := self._trim(packet, ident)) is not None]
            if records:
                yield ident, records

    def total_bytes(self) -> int:
        """Return the number of bytes of all packets by reading the source again; 0 for a pipe."""
        if isinstance(self._source, InputContainer):
            return 0
        reader = Tracks(self._source, *self._kinds, self._begin, video_index=self._video_index)
        try:
            return sum(len(p.data) + 25 for _, packets in reader.packets_until(None) for p in packets)
        finally:
            reader.close()

    def _next_packet(self) -> AvPacket[Stream] | None:
        if self._pending is not None:
            packet, self._pending = self._pending, None
            return packet
        if self._queue is not None:
            while self._queue and self._passed_marks < self._due_marks:
                found = self._queue.popleft()
                if found is not None:
                    return found
                self._passed_marks += 1
            return None
        return next(self._packets, None)

    def _demuxed(self, container: InputContainer, chosen: list[Stream]) -> Iterator[AvPacket[Stream]]:
        if self._queue is not None or not chosen:
            return
        for stream in container.streams:
            if stream not in chosen:
                stream.discard = Discard.all  # demuxers with an index then skip the video data
        try:
            for packet in container.demux(chosen):
                if packet.size:
                    yield packet
        except IndexError:  # bug of PyAV 18 at the end of a source in which ffmpeg found a stream after opening
            return
        except av.error.FFmpegError as error:
            name = "the input" if isinstance(self._source, InputContainer) else display_name(self._source)
            raise InputError(f"cannot read the audio of {name}: {describe_error(error)}") from None

    def _to_records(self, packet: AvPacket[Stream], shift: Fraction) -> list[Packet]:
        """Convert a packet, re-encoded if needed, delayed by `shift` and counted from `begin`; trim it."""
        ident = packet.stream_index
        if ident in self._flac_tracks:
            records = self._flac_tracks[ident].packets(packet, shift)
        else:
            offset = round(shift / Fraction(packet.time_base))
            pts, dts = (NO_TIMESTAMP if t is None else t + offset for t in (packet.pts, packet.dts))
            length = self._duration(packet, self._infos[ident])
            records = [Packet(pts, dts, min(length, 2**32 - 1), bytes(packet), packet.is_keyframe)]
        return [record for one in records if (record := self._trim(one, ident)) is not None]

    def _duration(self, packet: AvPacket[Stream], info: StreamInfo) -> int:
        """Return the duration of a packet in time-base units, without the padding at the end of a stream."""
        if not packet.duration:  # for example ALAC in Matroska
            return packet_duration(info, bytes(packet), Fraction(packet.time_base))
        whole = count_samples(info, bytes(packet))
        if not whole or not packet.has_sidedata("skip_samples"):
            return packet.duration or 0
        padding = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[4:8], "little")
        if not padding:
            return packet.duration or 0
        return max(1, round(Fraction(whole - padding, info.sample_rate) / Fraction(packet.time_base)))

    def _trim(self, record: Packet, ident: int) -> Packet | None:
        return trim_and_shift(record, self._infos[ident], self._begin, None) if self._begin else record
