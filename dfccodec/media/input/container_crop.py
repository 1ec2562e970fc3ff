"""Cropping stored in the container: PixelCrop elements of Matroska, `clap` of mp4 and QuickTime.

ffmpeg's demuxers read it, but PyAV 18 does not expose it. A stream added from a template keeps it, and ffmpeg's muxers
write it into the header of an output, from which it is read here.
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
    """Number of pixels to crop at each side."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def fits(self, width: int, height: int) -> bool:
        """Return whether a picture of this size has pixels left after cropping."""
        return self.left + self.right < width and self.top + self.bottom < height


def read_margins(container: InputContainer, stream: VideoStream, notes: list[str]) -> Margins:
    """Return the cropping that a container states; zero margins if they would crop everything.

    Args:
        container, stream: the source and its video stream.
        notes: messages for the user; one is appended if the container states margins.
    """
    kinds = _FORMATS & set(container.format.name.split(","))
    edges = _read_from_muxed_header(stream, "matroska" in kinds) if kinds else Margins()
    if edges == Margins():
        return edges
    across, down = edges.left + edges.right, edges.top + edges.bottom
    width, height = stream.width, stream.height
    if not edges.fits(width, height):
        notes.append(f"cropping by {across}×{down} pixels would leave nothing of {width}×{height}: it is ignored")
        return Margins()
    size = f"{width - across}×{height - down}"
    notes.append(f"the picture is cropped from {width}×{height} to {size}, as its container states")
    return edges


def _read_from_muxed_header(stream: VideoStream, matroska: bool) -> Margins:
    """Return the cropping, read from a header that ffmpeg writes for the stream in its own format."""
    options = {} if matroska else {"movflags": "empty_moov"}
    for name in ("matroska",) if matroska else ("mov", "mp4"):  # mov and mp4 accept different codecs
        file = io.BytesIO()
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            with av.open(file, "w", format=name, options=options) as scratch:
                scratch.add_stream_from_template(stream, opaque=True)
                scratch.start_encoding()
            return (
                Margins(**dict(_iter_margins(file.getvalue())))
                if matroska
                else _read_clean_aperture(file.getvalue(), stream)
            )
    return Margins()


def _read_clean_aperture(data: bytes, stream: VideoStream) -> Margins:
    """Return the margins around the clean aperture (ISO/IEC 14496-12, section 12.1.4): its size and centre offset."""
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


def _iter_margins(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the side and the number of pixels of each PixelCrop element in a file written by ffmpeg."""
    for ident, value in _iter_elements(data):
        if ident in (_SEGMENT, _TRACKS, _TRACK, _VIDEO):
            yield from _iter_margins(value)
        elif ident in _SIDES:
            yield _SIDES[ident], int.from_bytes(value, "big")


def _iter_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield ID and payload of EBML elements (RFC 8794). An element of unknown size extends to the end."""
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


def crop_frames(frames: Iterable[VideoFrame], edges: Margins, time_base: Fraction) -> Iterator[VideoFrame]:
    """Crop frames. A frame that is too small to crop is yielded unchanged.

    Args:
        frames: decoded frames.
        edges: the margins to crop.
        time_base: time base in seconds of frames that state none.
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
        if graph is None or now != shape:  # a graph handles one size and format
            graph, shape = _make_crop_graph(frame, edges, Fraction(frame.time_base or time_base)), now
        graph.push(frame)
        yield cast(VideoFrame, graph.pull())


def _make_crop_graph(frame: VideoFrame, edges: Margins, time_base: Fraction) -> Graph:
    width, height = frame.width - edges.left - edges.right, frame.height - edges.top - edges.bottom
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    crop = graph.add("crop", f"{width}:{height}:{edges.left}:{edges.top}:exact=1")
    sink = graph.add("buffersink")
    source.link_to(crop)
    crop.link_to(sink)
    graph.configure()
    return graph
