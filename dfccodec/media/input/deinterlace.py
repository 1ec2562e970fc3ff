"""Interlaced frames made whole with ffmpeg's bwdif; others pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
from av.filter import Graph
from av.video.frame import VideoFrame


def deinterlaced(frames: Iterable[VideoFrame], time_base: Fraction, say: Callable[[str], None]) -> Iterator[VideoFrame]:
    """One frame for each: from the first interlaced one on, those that say they are go through bwdif.

    Args:
        frames: as decoded.
        time_base: seconds per tick of their timestamps; those of filtered frames are in ticks of their own time base.
        say: told, once, that there are interlaced frames.
    """
    graph: Graph | None = None
    shape: tuple[int, int, str] | None = None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            say("the video is interlaced: deinterlaced with bwdif, one frame for two fields")
        now = frame.width, frame.height, frame.format.name
        if graph is None or now != shape:  # a graph is made for one kind of frame
            yield from _rest(graph)
            graph, shape = _graph(frame, time_base), now
        graph.push(frame)
        yield from _ready(graph)
    yield from _rest(graph)


def _graph(frame: VideoFrame, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filter_ = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    return graph


def _rest(graph: Graph | None) -> Iterator[VideoFrame]:
    """What it still holds; it is of no use after that."""
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)


def _ready(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield cast(VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
