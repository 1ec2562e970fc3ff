"""Pictures in 256 colours, chosen for each picture, for GIF."""

from __future__ import annotations

from fractions import Fraction

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

PIXELS = "pal8"
"""ffmpeg's name of pixels that are numbers of colours in a palette."""

_FILTERS = (
    ("split", ""), ("palettegen", "stats_mode=single"), ("paletteuse", "new=1:dither=bayer:bayer_scale=3"),
)  # fmt: skip


class PaletteFilter:
    """Converts RGB pictures of one size, one after the other, in bounded memory.

    Args:
        size: (width, height).
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._count, self._graph = 0, _palette_graph(size)

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The picture with a palette of its own; its timestamp is meaningless."""
        frame.pts, frame.time_base = self._count, Fraction(1)
        self._count += 1
        self._graph.vpush(frame)
        return self._graph.vpull()


def _palette_graph(size: tuple[int, int]) -> Graph:
    """A filter graph from RGB to 256 colours that are chosen for each frame."""
    graph = Graph()
    source = graph.add_buffer(width=size[0], height=size[1], format=VideoFormat("rgb24"), time_base=Fraction(1))
    split, palette, use = (graph.add(name, options) for name, options in _FILTERS)
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
