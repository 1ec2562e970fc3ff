"""Which encoder of pictures a container gets, with which options and which kind of pixels."""

from __future__ import annotations

import av
from av.codec.codec import find_best_pix_fmt_of_list

from dfccodec.errors import UsageError

CODECS = {
    "matroska": "libx264",
    "mp4": "libx264",
    "mov": "libx264",
    "webm": "libvpx-vp9",
    "yuv4mpegpipe": "rawvideo",
    "avi": "mpeg4",  # ffmpeg reads times of H.264 in avi a frame late
    "mpegts": "libx264",
    "nut": "libx264",
}
_PAIRS = ("libx264", "libx265")
_FINEST = {"flags": "+qscale", "global_quality": "118", "qmin": "1"}  # steps of the old family: 118 is one
OPTIONS = {
    "libx264": {"crf": "12", "preset": "medium"},
    "libx265": {"crf": "12", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx": {"crf": "4", "b": "50000000", "cpu-used": "4"},  # with less to spend, crf is not reached
    "libvpx-vp9": {"crf": "16", "b": "0", "row-mt": "1", "cpu-used": "4"},
    "libsvtav1": {"crf": "12", "preset": "8"},
    **dict.fromkeys(("mpeg4", "msmpeg4", "mpeg2video", "mpeg1video", "mjpeg", "flv", "wmv1", "wmv2"), _FINEST),
}
"""What ffmpeg does by itself is meant for small files: these all give about 43 dB."""


_BT601 = ("mjpeg", "vp8")
"""Codecs whose pictures are of that matrix by definition."""
_UNTAGGED = ("yuv4mpegpipe", "avi")
"""Containers that do not say of which matrix pictures are; these codecs say it themselves:"""
_TAGGED = ("h264", "hevc", "vp9", "av1", "mpeg2video")
_HIGH = 720
"""Lines from which on players take untagged pictures for BT.709, below for BT.601."""


def encoder_named(codec: str) -> av.codec.Codec:
    """The encoder that ffmpeg takes for a name, which may be that of a codec: `h264` is libx264.

    Raises:
        UsageError: it is no encoder of video.
    """
    try:
        found = av.codec.Codec(codec, "w")
    except ValueError:
        found = None
    if found is None or found.type != "video" or not found.is_encoder:
        raise UsageError(f"{codec} is not a video encoder: give --codec the name of one, as libx264 or ffv1")
    return found


def matrix_of(codec: str, container: str, wanted: int, lines: int) -> int:
    """The colour matrix that pictures get in a file: of the source, where the file can say so or readers assume it.

    Args:
        codec, container: ffmpeg's names.
        wanted: the source's matrix (ITU-T H.273, table 4).
        lines: of a picture.

    Returns:
        One that YUV has, or 2 for none in particular, which is BT.601.
    """
    if codec in _BT601 or wanted not in (1, 4, 5, 6, 7, 9, 10):
        return 2
    mute = container in _UNTAGGED and codec not in _TAGGED
    return 2 if mute and wanted == 1 and lines < _HIGH else wanted


def pixel_format(found: av.codec.Codec, odd: bool) -> str:
    """What an encoder is given: halved chroma as everybody plays it, else what it has that is nearest."""
    # x264 and x265 take whole pairs of pixels where chroma is halved; others pad.
    wanted = "yuv444p" if odd and found.name in _PAIRS else "yuv420p"
    names = [one.name for one in found.video_formats or []]
    if not names or wanted in names:
        return wanted
    best, _ = find_best_pix_fmt_of_list(names, wanted)
    return best.name if best else names[0]
