"""Sound whose packets say nothing without their container: stored as FLAC instead.

Of some old codecs the length of a block, or the bits of a sample, stand only in the head of an .avi, .wmv or .wav file,
where PyAV does not show them. Their packets could never be decoded again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.packet import Packet as AvPacket
from av.stream import Stream

from dfccodec.container.records import Packet, Ratio, StreamInfo
from dfccodec.media.decode_errors import DecodeErrorCounter, reason
from dfccodec.media.stream_copy import layout_of, needs_container
from dfccodec.media.track_titles import name_of_track
from dfccodec.media.transcode import Conformed, fitting_layout

_CODEC = "flac"


class FlacTrack:
    """A stream of sound decoded and coded as FLAC.

    Args:
        stream: of the source.
        info: what it says of itself.
        notes: lines for people, on packets that do not decode.

    Attributes:
        info: what the file says of it.

    Raises:
        ValueError, av.error.FFmpegError: nobody decodes it here, or FLAC has no room for its channels.
    """

    def __init__(self, stream: Stream, info: StreamInfo, notes: list[str]) -> None:
        self._decoder = cast(AudioCodecContext, stream.codec_context)
        self._decoder.open(strict=False)
        rate, layout = self._decoder.sample_rate, fitting_layout(_CODEC, self._decoder.sample_rate, layout_of(info))
        encoder = cast(AudioCodecContext, av.CodecContext.create(_CODEC, "w"))
        encoder.sample_rate, encoder.layout, encoder.time_base = rate, layout, Fraction(1, rate)
        encoder.format = "s32" if self._decoder.format.name in ("s32", "s32p") else "s16"
        encoder.open()
        self._encoder = encoder
        self._conformed = Conformed(encoder, Fraction(stream.time_base or Fraction(1, rate)))
        self._broken = DecodeErrorCounter(notes, f"{name_of_track(info)}")
        self.info = replace(
            info, time_base=Ratio(1, rate), codec=_CODEC, sample_rate=rate, layout=layout,
            channels=encoder.channels, extradata=encoder.extradata or b"",
        )  # fmt: skip

    def packets(self, packet: AvPacket[Stream], shift: Fraction) -> list[Packet]:
        """The FLAC packets that are ready after one of the source, which plays `shift` seconds later."""
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._broken.add(reason(error))
            self._conformed.lost = True
            return []
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts += round(shift / frame.time_base)
        return self._coded(part for frame in frames for part in self._conformed.frames(frame))

    def rest(self) -> list[Packet]:
        """What decoder and encoder hold at the end."""
        with contextlib.suppress(av.error.FFmpegError):
            last = self._decoder.decode(None)
            packets = self._coded(part for frame in last for part in self._conformed.frames(frame))
            packets += self._coded(self._conformed.rest())
            # The very last has no sound in it but a checksum of all, for a head that is written already.
            return packets + [_record(packet) for packet in self._encoder.encode(None) if packet.size]
        return []

    def _coded(self, frames: Iterable[AudioFrame]) -> list[Packet]:
        return [_record(packet) for frame in frames for packet in self._encoder.encode(frame)]


def _record(packet: AvPacket[Stream]) -> Packet:
    stamp = packet.pts or 0
    return Packet(stamp, stamp, packet.duration or 0, bytes(packet))


def stored_as_flac(stream: Stream, info: StreamInfo, notes: list[str]) -> FlacTrack | None:
    """What codes a stream as FLAC, and a note on that; None where its packets can be kept as they are.

    Args:
        stream: of the source.
        info: what it says of itself.
        notes: lines for people, which get one more.
    """
    if info.kind != 0 or not needs_container(info.codec):
        return None
    with contextlib.suppress(ValueError, av.error.FFmpegError):  # then nobody can decode it anyway
        track = FlacTrack(stream, info, notes)
        note = f"{name_of_track(info)} is stored as flac: its packets cannot be decoded outside of its container"
        if note not in notes:
            notes.append(note)
        return track
    return None
