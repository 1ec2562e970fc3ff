"""Deinterlacing with ffmpeg's bwdif; progressive frames are not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
from av.filter import Graph
from av.video.frame import VideoFrame


def deinterlace_frames(
    frames: Iterable[VideoFrame], time_base: Fraction, on_note: Callable[[str], None]
) -> Iterator[VideoFrame]:
    """Yield one frame per input frame; from the first interlaced frame on, all pass through bwdif.

    The filter changes only frames that are marked as interlaced.

    Args:
        frames: decoded frames.
        time_base: time base of their timestamps in seconds; filtered frames carry their own time base.
        on_note: called once with a message if there are interlaced frames.
    """
    graph: Graph | None = None
    shape: tuple[int, int, str] | None = None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            on_note("the video is interlaced: deinterlaced with bwdif, one frame for two fields")
        now = frame.width, frame.height, frame.format.name
        if graph is None or now != shape:  # a graph is made for one kind of frame
            yield from _flush(graph)
            graph, shape = _make_graph(frame, time_base), now
        graph.push(frame)
        yield from _pull_frames(graph)
    yield from _flush(graph)


def _make_graph(frame: VideoFrame, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
    filter_ = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    return graph


def _flush(graph: Graph | None) -> Iterator[VideoFrame]:
    """Flush a graph; it cannot be used afterwards."""
    if graph is not None:
        graph.push(None)
        yield from _pull_frames(graph)


def _pull_frames(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield cast(VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
