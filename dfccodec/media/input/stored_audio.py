"""Audio that decodes only with data of its container is stored as FLAC.

Some old codecs have a block size or sample size that only the header of an .avi, .wmv or .wav file states, and PyAV
does not expose it. Copied packets of such codecs could never be decoded.
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
from dfccodec.media.decode_errors import DecodeErrorCounter, describe_error
from dfccodec.media.stream_copy import channel_layout, needs_container
from dfccodec.media.track_titles import track_label
from dfccodec.media.transcode import AudioConformer, choose_layout

_CODEC = "flac"


class FlacTrack:
    """An audio stream that is re-encoded as FLAC.

    Args:
        stream: stream of the source.
        info: its metadata.
        notes: messages for the user; one is appended if packets do not decode.

    Attributes:
        info: metadata of the FLAC stream.

    Raises:
        ValueError, av.error.FFmpegError: ffmpeg has no decoder, or FLAC does not support the layout.
    """

    def __init__(self, stream: Stream, info: StreamInfo, notes: list[str]) -> None:
        self._decoder = cast(AudioCodecContext, stream.codec_context)
        self._decoder.open(strict=False)
        rate, layout = self._decoder.sample_rate, choose_layout(_CODEC, self._decoder.sample_rate, channel_layout(info))
        encoder = cast(AudioCodecContext, av.CodecContext.create(_CODEC, "w"))
        encoder.sample_rate, encoder.layout, encoder.time_base = rate, layout, Fraction(1, rate)
        encoder.format = "s32" if self._decoder.format.name in ("s32", "s32p") else "s16"
        encoder.open()
        self._encoder = encoder
        self._conformer = AudioConformer(encoder, Fraction(stream.time_base or Fraction(1, rate)))
        self._errors = DecodeErrorCounter(notes, f"{track_label(info)}")
        self.info = replace(
            info, time_base=Ratio(1, rate), codec=_CODEC, sample_rate=rate, layout=layout,
            channels=encoder.channels, extradata=encoder.extradata or b"",
        )  # fmt: skip

    def packets(self, packet: AvPacket[Stream], shift: Fraction) -> list[Packet]:
        """Re-encode a source packet, delayed by `shift` seconds; return the FLAC packets that are ready."""
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._errors.add(describe_error(error))
            self._conformer.has_loss = True
            return []
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts += round(shift / frame.time_base)
        return self._encode(part for frame in frames for part in self._conformer.convert(frame))

    def flush(self) -> list[Packet]:
        """Flush decoder and encoder."""
        with contextlib.suppress(av.error.FFmpegError):
            last = self._decoder.decode(None)
            packets = self._encode(part for frame in last for part in self._conformer.convert(frame))
            packets += self._encode(self._conformer.flush())
            # The last packet is empty: it only updates the checksum in the header, which is already stored.
            return packets + [_to_record(packet) for packet in self._encoder.encode(None) if packet.size]
        return []

    def _encode(self, frames: Iterable[AudioFrame]) -> list[Packet]:
        return [_to_record(packet) for frame in frames for packet in self._encoder.encode(frame)]


def _to_record(packet: AvPacket[Stream]) -> Packet:
    stamp = packet.pts or 0
    return Packet(stamp, stamp, packet.duration or 0, bytes(packet))


def make_flac_track(stream: Stream, info: StreamInfo, notes: list[str]) -> FlacTrack | None:
    """Return an object that re-encodes a stream as FLAC; None if its packets can be copied.

    Args:
        stream: stream of the source.
        info: its metadata.
        notes: messages for the user; one is appended if the stream is re-encoded.
    """
    if info.kind != 0 or not needs_container(info.codec):
        return None
    with contextlib.suppress(ValueError, av.error.FFmpegError):  # no decoder: the packets are copied unchanged
        track = FlacTrack(stream, info, notes)
        note = f"{track_label(info)} is stored as flac: its packets cannot be decoded without its container"
        if note not in notes:
            notes.append(note)
        return track
    return None
