"""Animated GIF with a palette of its own for each frame, in bounded memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

_TICK = Fraction(1, 100)
"""Unit of time of GIF in seconds."""
_FILTERS = (
    ("split", ""), ("palettegen", "stats_mode=single"), ("paletteuse", "new=1:dither=bayer:bayer_scale=3"),
)  # fmt: skip


class PaletteGif:
    """A GIF that plays for ever. Use it as a context.

    Args:
        path: where to write.
        size: (width, height) of the pictures.
        rate: frames per second; at more than 100, frames are left out.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        self._rate, self._number, self._last = rate, 0, -1
        self._container = av.open(f"file:{path}", "w", format="gif", options={"loop": "0"})
        stream = self._container.add_stream("gif", rate=min(rate, 1 / _TICK))
        assert isinstance(stream, VideoStream)
        self._stream = stream
        stream.width, stream.height = size
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = _TICK
        self._graph = _palette_graph(size)

    def __enter__(self) -> PaletteGif:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def write(self, picture: np.ndarray) -> None:
        """Write the next picture, (H, W, 3) uint8."""
        time = int(self._number / self._rate / _TICK)
        self._number += 1
        if time == self._last:
            return
        self._last = time
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = time, _TICK
        self._graph.vpush(frame)
        coded = self._graph.vpull()
        coded.pts, coded.time_base = time, _TICK
        self._container.mux(self._stream.encode(coded))


def _palette_graph(size: tuple[int, int]) -> Graph:
    """A filter graph from RGB to 256 colours that are chosen for each frame."""
    graph = Graph()
    source = graph.add_buffer(width=size[0], height=size[1], format=VideoFormat("rgb24"), time_base=_TICK)
    split, palette, use = (graph.add(name, options) for name, options in _FILTERS)
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
