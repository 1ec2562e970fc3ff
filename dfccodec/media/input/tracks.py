"""Sound and subtitles of a source as packets, untouched where it can be, in the order and at the times they play."""

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
from dfccodec.media.decode_errors import reason
from dfccodec.media.input.open_input import name_of, open_input
from dfccodec.media.input.stored_audio import stored_as_flac
from dfccodec.media.input.timestamps import FollowingTimes, Splice
from dfccodec.media.packet_trim import NO_TIME, trim_and_shift
from dfccodec.media.stream_copy import samples_of, ticks_of

_KINDS = {"audio": 0, "subtitle": 1}
_DISPOSITION = 0x1FF  # the bits that the format has; ffmpeg's own
_BATCH = 4 << 20  # bytes of packets that go into one chunk


def describe(stream: Stream) -> StreamInfo | None:
    """What a stream says of itself; None for one that cannot be carried: data, attachments, codecs without a name."""
    context = stream.codec_context
    if stream.type not in _KINDS or context is None or not stream.time_base:
        return None
    sound = context if isinstance(context, AudioCodecContext) else None
    return StreamInfo(
        stream.index, _KINDS[stream.type], Ratio(stream.time_base.numerator, stream.time_base.denominator),
        context.codec.canonical_name, sound.sample_rate if sound else 0, sound.channels if sound else 0,
        sound.layout.name if sound else "", stream.language or "", int(stream.disposition) & _DISPOSITION,
        context.extradata or b"",
    )  # fmt: skip


def title_of(stream: Stream) -> str:
    """What a stream is called; mp4 has another word for it."""
    return str(stream.metadata.get("title") or stream.metadata.get("name") or "")


def choose(container: InputContainer, audio: bool, subtitles: bool, picture: int | None = None) -> list[Stream]:
    """The streams to carry.

    Args:
        container: of the source.
        audio, subtitles: which kinds are wanted.
        picture: the number of the stream that is the picture; of a broadcast of several programmes only its own counts.
    """
    wanted = {"audio": audio, "subtitle": subtitles}
    found = [s for s in container.streams if wanted.get(s.type) and describe(s) is not None]
    return [s for s in found if in_programme(container, s, picture)][:MAX_STREAMS]


def in_programme(container: InputContainer, stream: Stream, picture: int | None) -> bool:
    """Whether a stream belongs to the programme of a picture; PyAV shows no programmes, but picks within them."""
    best = container.streams.best
    if picture is None or container.format.name != "mpegts" or len(container.streams.video) < 2:
        return True
    other = best("video", related=stream)
    if other is None or other.index == picture:
        return True
    mine, its = best("audio", related=container.streams[picture]), best("audio", related=other)
    return mine is not None and its is not None and mine.index == its.index  # two pictures of one programme


class Tracks:
    """Packets of the sound and subtitle streams of a source, once, from front to back.

    Args:
        source: a path or a seekable stream, opened a second time beside whoever reads its pictures; or a container
            that somebody else demuxes, who gives its packets with :meth:`put`.
        audio, subtitles: which kinds to carry.
        begin: seconds; what ends before is left out, and times count from here.
        cut_off: leave out what nobody asked for by :meth:`until`.
        splices: where the pictures' time begins anew, a list that grows as they are read.
        notes: lines for people, which grows by those on packets that do not decode, where they have to.
        picture: the number of the source's stream that is the picture.

    Attributes:
        streams: what is carried; ids are the source's numbers of streams.

    Raises:
        InputError: the source does not open.
    """

    def __init__(
        self,
        source: Path | BinaryIO | InputContainer,
        audio: bool = True,
        subtitles: bool = True,
        begin: Fraction = Fraction(0),
        cut_off: bool = False,
        splices: list[Splice] | None = None,
        notes: list[str] | None = None,
        picture: int | None = None,
    ) -> None:
        self._queue: deque[AvPacket[Stream] | None] | None = deque() if isinstance(source, InputContainer) else None
        self._source, self._choice, self._picture = source, (audio, subtitles), picture
        notes = [] if notes is None else notes
        self._container = source if isinstance(source, InputContainer) else open_input(source)
        self.chosen = choose(self._container, audio, subtitles, picture)
        described = {s.index: (s, info) for s in self.chosen if (info := describe(s)) is not None}
        made = {ident: stored_as_flac(s, info, notes) for ident, (s, info) in described.items()}
        self._anew = {ident: track for ident, track in made.items() if track is not None}
        self.streams = [self._anew[ident].info if ident in self._anew else i for ident, (_, i) in described.items()]
        self._infos = {info.id: info for info in self.streams}
        self._begin, self._cut = begin, cut_off
        self._times = FollowingTimes([] if splices is None else splices)
        self._ahead: AvPacket[Stream] | None = None
        self._waited = False  # whether that one has waited for the pictures to come to its part
        self._due: float = 0  # marks at which whoever asks now has to stop, and those passed
        self._passed = 0
        self._packets = self._demuxed(self._container, self.chosen)

    def follow(self, begin: Fraction, cut_off: bool, splices: list[Splice]) -> None:
        """As in the constructor, before anything is taken: of a pipe this is known only once it is open."""
        self._begin, self._cut, self._times = begin, cut_off, FollowingTimes(splices)

    def put(self, packet: AvPacket[Stream]) -> None:
        """A packet that whoever reads the pictures has come across."""
        if self._queue is not None:
            self._queue.append(packet)

    def mark(self) -> None:
        """The pictures of one more clip were read: its packets are those before this.

        Whoever reads the pictures may be ahead of whoever writes, by more or less each time; the file is to be the
        same each time.
        """
        if self._queue is not None:
            self._queue.append(None)

    def close(self) -> None:
        """Close what this object opened."""
        if self._queue is None:
            self._container.close()

    def until(self, end: Fraction | None) -> Iterator[tuple[int, list[Packet]]]:
        """(stream, packets) of all that begins before `end` seconds after `begin`; None is the end of the source."""
        limit = None if end is None else end + self._begin
        self._due += math.inf if end is None else 1
        waiting: dict[int, list[Packet]] = {}
        size = 0
        while (packet := self._next()) is not None:
            shift = self._shift(packet, end is None)
            stamp = packet.dts if packet.pts is None else packet.pts
            base = Fraction(packet.time_base)
            late = limit is not None and stamp is not None and shift is not None and stamp * base + shift >= limit
            if shift is None or late:
                self._ahead, self._waited = packet, shift is None
                break
            for record in self._records(packet, shift):
                waiting.setdefault(packet.stream_index, []).append(record)
                size += len(record.data)
            if size > _BATCH:
                yield from waiting.items()
                waiting, size = {}, 0
        yield from waiting.items()
        if end is None:
            yield from self._last()

    def _shift(self, packet: AvPacket[Stream], last: bool) -> Fraction | None:
        """Seconds to add to a packet's time; None if it has to wait until more of the pictures is read."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return Fraction(0)
        seconds = stamp * Fraction(packet.time_base)
        shift = self._times.shift(packet.stream_index, seconds)
        if shift is None and (self._waited or last):
            self._times.accept(packet.stream_index, seconds)
            shift = self._times.shift(packet.stream_index, seconds)
        self._waited = False
        return shift

    def rest(self) -> Iterator[tuple[int, list[Packet]]]:
        """What is left when the pictures have ended; of a range that was cut only what coders hold."""
        return self._last() if self._cut else self.until(None)

    def _last(self) -> Iterator[tuple[int, list[Packet]]]:
        """What coders still hold."""
        for ident, track in self._anew.items():
            records = [record for packet in track.rest() if (record := self._cut_in(packet, ident)) is not None]
            if records:
                yield ident, records

    def size(self) -> int:
        """Bytes of all packets, by reading the source once more; 0 for a pipe, which cannot say."""
        if isinstance(self._source, InputContainer):
            return 0
        again = Tracks(self._source, *self._choice, self._begin, picture=self._picture)
        try:
            return sum(len(p.data) + 25 for _, packets in again.until(None) for p in packets)
        finally:
            again.close()

    def _next(self) -> AvPacket[Stream] | None:
        if self._ahead is not None:
            packet, self._ahead = self._ahead, None
            return packet
        if self._queue is not None:
            while self._queue and self._passed < self._due:
                found = self._queue.popleft()
                if found is not None:
                    return found
                self._passed += 1
            return None
        return next(self._packets, None)

    def _demuxed(self, container: InputContainer, chosen: list[Stream]) -> Iterator[AvPacket[Stream]]:
        if self._queue is not None or not chosen:
            return
        for stream in container.streams:
            if stream not in chosen:
                stream.discard = Discard.all  # lets demuxers with an index skip the pictures' bytes
        try:
            for packet in container.demux(chosen):
                if packet.size:
                    yield packet
        except IndexError:  # of PyAV 18, at the end of a source in which ffmpeg has found one more stream on the way
            return
        except av.error.FFmpegError as error:
            name = "the input" if isinstance(self._source, InputContainer) else name_of(self._source)
            raise InputError(f"cannot read the sound of {name}: {reason(error)}") from None

    def _records(self, packet: AvPacket[Stream], shift: Fraction) -> list[Packet]:
        """A packet, or what it becomes, with times from `begin` on, `shift` seconds later; none that ends before."""
        ident = packet.stream_index
        if ident in self._anew:
            made = self._anew[ident].packets(packet, shift)
        else:
            more = round(shift / Fraction(packet.time_base))
            pts, dts = (NO_TIME if t is None else t + more for t in (packet.pts, packet.dts))
            length = self._length(packet, self._infos[ident])
            made = [Packet(pts, dts, min(length, 2**32 - 1), bytes(packet), packet.is_keyframe)]
        return [record for one in made if (record := self._cut_in(one, ident)) is not None]

    def _length(self, packet: AvPacket[Stream], info: StreamInfo) -> int:
        """Ticks that a packet lasts, without the padding at the end of a stream."""
        if not packet.duration:  # as of ALAC in Matroska
            return ticks_of(info, bytes(packet), Fraction(packet.time_base))
        whole = samples_of(info, bytes(packet))
        if not whole or not packet.has_sidedata("skip_samples"):
            return packet.duration or 0
        padding = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[4:8], "little")
        if not padding:
            return packet.duration or 0
        return max(1, round(Fraction(whole - padding, info.sample_rate) / Fraction(packet.time_base)))

    def _cut_in(self, record: Packet, ident: int) -> Packet | None:
        return trim_and_shift(record, self._infos[ident], self._begin, None) if self._begin else record
