"""Decodes the packets of the video and notes what is damaged or missing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.packet import Packet as AvPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.media.decode_errors import DecodeErrorCounter, describe_error, lacks_picture
from dfccodec.media.input.elementary.missing import MissingPictures
from dfccodec.media.input.gaps import GapDetector
from dfccodec.media.input.structure.monitor import StructureMonitor


class PacketDecoder:
    """Decoder of one video stream. Like a player, it skips what does not decode.

    Args:
        stream: the stream.
        format_: ffmpeg's name of the source's format.
        rate: frames per second, 0 if unknown.
        notes: messages for the user; this object appends and updates its own.
        structure: finds the breaks of the container's structure.

    Attributes:
        packet_count: number of packets so far.
    """

    def __init__(
        self, stream: VideoStream, format_: str, rate: Fraction, notes: list[str], structure: StructureMonitor
    ) -> None:
        self._stream, self._errors = stream, DecodeErrorCounter(notes)
        self._gaps = GapDetector(self._errors, stream.start_time, structure)
        self._missing = MissingPictures(format_, rate, self._errors)
        self.packet_count = 0

    @property
    def first_error(self) -> str:
        """Ffmpeg's message for the first packet that did not decode; empty if all did."""
        return self._errors.first_error

    def decode(self, packet: AvPacket[Any]) -> list[VideoFrame]:
        """Decode a packet; an empty one flushes the decoder. Return no frames if it does not decode."""
        self.packet_count += bool(packet.size)
        if packet.size:
            self._gaps.add(packet)
        if packet.is_corrupt:
            self._errors.add_truncated()
            self._gaps.add_damage()
        try:
            frames = self._stream.decode(packet)
        except av.error.FFmpegError as error:
            if packet.size:
                self._errors.add(describe_error(error))
                self._gaps.add_damage()
                self._missing.add(packet, None)
            return []
        if packet.size and lacks_picture(self._stream.codec_context.name, bytes(packet)):
            self._errors.add("no start of a picture")
            self._gaps.add_damage()
        for frame in frames:
            if frame.is_corrupt:
                self._errors.add_damaged_frame()
                self._gaps.add_damage()
        self._missing.add(packet, frames)
        return frames

    def finish(self, end: bool) -> None:
        """Note what is known only at the end.

        Args:
            end: whether the source was read to its end, and not only to that of a range.
        """
        self._gaps.finish(end)
        if end:
            self._missing.finish()
