"""Sizes of the packets of a video file, without decoding."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import av

from dfccodec.media.decode_errors import describe_error
from dfccodec.media.input.open_input import display_name, open_input
from dfccodec.media.input.video_stream import choose_video_stream


@dataclass
class PacketSizes:
    """Sizes in bytes.

    Attributes:
        frames: of the packets of the video stream, in order of presentation.
        keyframes: whether each of them decodes alone.
        sound: of all audio packets.
        other: of all other packets.
        codec: ffmpeg's name of the codec of the video.
        note: why the file was not read to its end; empty if it was.
    """

    frames: list[int] = field(default_factory=list)
    keyframes: list[bool] = field(default_factory=list)
    sound: int = 0
    other: int = 0
    codec: str = ""
    note: str = ""


def read_packet_sizes(path: Path) -> PacketSizes:
    """Read the sizes of all packets of a video.

    Raises:
        InputError: the file cannot be opened, or has no video.
    """
    out, found = PacketSizes(), list[tuple[int, int, bool]]()
    with contextlib.closing(open_input(path)) as container:
        video = choose_video_stream(container, None, display_name(path))
        out.codec = video.codec_context.name
        try:
            for number, packet in enumerate(container.demux()):
                if packet.stream is video and packet.size:
                    time = packet.pts if packet.pts is not None else packet.dts
                    found.append((number if time is None else time, packet.size, packet.is_keyframe))
                elif packet.stream.type == "audio":
                    out.sound += packet.size
                else:
                    out.other += packet.size
        except av.error.FFmpegError as error:
            out.note = describe_error(error)
    found.sort(key=lambda entry: entry[0])
    out.frames, out.keyframes = [size for _, size, _ in found], [key for _, _, key in found]
    return out
