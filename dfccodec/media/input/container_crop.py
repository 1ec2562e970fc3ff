"""The margins of a picture that its container says not to show: PixelCrop of Matroska, `clap` of mp4 and QuickTime.

ffmpeg's demuxers report them with the stream, where PyAV 18 does not look. But a template carries them into a stream of
an output, and ffmpeg's muxers write them into its head.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

_FORMATS = {"matroska", "mov"}
_CLAP = b"\0\0\0\x28clap"
_TRACKS, _TRACK, _VIDEO, _SEGMENT = 0x1654AE6B, 0xAE, 0xE0, 0x18538067
_SIDES = {0x54BB: "top", 0x54AA: "bottom", 0x54CC: "left", 0x54DD: "right"}
"""Elements of Matroska (RFC 9559, section 5.1.4.1.28)."""


@dataclass(frozen=True)
class Margins:
    """Numbers of pixels at each side."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def fits(self, width: int, height: int) -> bool:
        """Whether they leave something of a picture."""
        return self.left + self.right < width and self.top + self.bottom < height


def margins(container: InputContainer, stream: VideoStream, notes: list[str]) -> Margins:
    """The margins that a container says not to show.

    Args:
        container, stream: of the source.
        notes: lines for people, which get one more if there are margins.
    """
    kinds = _FORMATS & set(container.format.name.split(","))
    edges = _stated(stream, "matroska" in kinds) if kinds else Margins()
    if edges == Margins():
        return edges
    across, down = edges.left + edges.right, edges.top + edges.bottom
    width, height = stream.width, stream.height
    if not edges.fits(width, height):
        notes.append(f"margins of {across}×{down} pixels would leave nothing of {width}×{height}: they are kept")
        return Margins()
    size = f"{width - across}×{height - down}"
    notes.append(f"the picture is cropped from {width}×{height} to {size}, as its container says")
    return edges


def _stated(stream: VideoStream, matroska: bool) -> Margins:
    """The margins, out of the head of a file that ffmpeg's muxer of the source's own kind writes for the stream."""
    options = {} if matroska else {"movflags": "empty_moov"}
    for name in ("matroska",) if matroska else ("mov", "mp4"):  # each of the two has codecs of its own
        file = io.BytesIO()
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            with av.open(file, "w", format=name, options=options) as scratch:
                scratch.add_stream_from_template(stream, opaque=True)
                scratch.start_encoding()
            return Margins(**dict(_sides(file.getvalue()))) if matroska else _aperture(file.getvalue(), stream)
    return Margins()


def _aperture(data: bytes, stream: VideoStream) -> Margins:
    """Margins around the clean aperture (ISO/IEC 14496-12, section 12.1.4): its size, and its centre's distance."""
    place = data.find(_CLAP)
    if place < 0:
        return Margins()
    width, _, height, _, *offsets = struct.unpack_from(">8i", data, place + len(_CLAP))
    across, down = stream.width - width, stream.height - height
    left, top = (
        round(Fraction(more, 2) + Fraction(offset, per))
        for more, offset, per in ((across, *offsets[:2]), (down, *offsets[2:]))
    )
    return Margins(top, down - top, left, across - left)


def _sides(data: bytes) -> Iterator[tuple[str, int]]:
    """Side and pixels, of a file that ffmpeg has just written."""
    for ident, value in _elements(data):
        if ident in (_SEGMENT, _TRACKS, _TRACK, _VIDEO):
            yield from _sides(value)
        elif ident in _SIDES:
            yield _SIDES[ident], int.from_bytes(value, "big")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Elements of EBML (RFC 8794); one of unknown size reaches to the end."""
    place = 0
    while place < len(data) and data[place]:
        width = 9 - data[place].bit_length()
        ident = int.from_bytes(data[place : place + width], "big")
        place += width
        if place >= len(data) or not data[place]:
            return
        width = 9 - data[place].bit_length()
        mask = (1 << 7 * width) - 1
        size = int.from_bytes(data[place : place + width], "big") & mask
        place += width
        size = len(data) - place if size == mask else size
        yield ident, data[place : place + size]
        place += size


def cropped(frames: Iterable[VideoFrame], edges: Margins, time_base: Fraction) -> Iterator[VideoFrame]:
    """Frames without their margins; a frame of which nothing would be left passes.

    Args:
        frames: as decoded.
        edges: what to leave out.
        time_base: seconds per tick of timestamps of frames that do not state it.
    """
    if edges == Margins():
        yield from frames
        return
    graph: Graph | None = None
    shape: tuple[int, int, str] | None = None
    for frame in frames:
        if not edges.fits(frame.width, frame.height):
            yield frame
            continue
        now = frame.width, frame.height, frame.format.name
        if graph is None or now != shape:  # a graph is made for one kind of frame
            graph, shape = _graph(frame, edges, Fraction(frame.time_base or time_base)), now
        graph.push(frame)
        yield cast(VideoFrame, graph.pull())


def _graph(frame: VideoFrame, edges: Margins, time_base: Fraction) -> Graph:
    width, height = frame.width - edges.left - edges.right, frame.height - edges.top - edges.bottom
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    crop = graph.add("crop", f"{width}:{height}:{edges.left}:{edges.top}:exact=1")
    sink = graph.add("buffersink")
    source.link_to(crop)
    crop.link_to(sink)
    graph.configure()
    return graph
