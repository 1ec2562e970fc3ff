"""Which encoder of pictures a container gets, with which options and which kind of pixels."""

from __future__ import annotations

from dataclasses import dataclass

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
PICTURES = {
    ".png": "png",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".ppm": "ppm",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "libwebp",
}
"""Encoders of single pictures, by the ending of their names."""
_PAIRS = ("libx264", "libx265")
_NARROW = (32, 64)
"""Widths between which x265 (4.2, in PyAV 18.1) ruins the heap: seen from 34 to 48."""
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


_ALIASES = {"h265": "hevc", "x264": "libx264", "x265": "libx265", "vpx": "libvpx-vp9", "svtav1": "libsvtav1"}
"""What people call encoders that ffmpeg calls otherwise."""
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
    codec = _ALIASES.get(codec.lower(), codec)
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


@dataclass(frozen=True)
class PictureFormat:
    """What pictures become before they are coded.

    Args:
        codec: name of the encoder.
        pixels: ffmpeg's name of the kind of pixels.
        width, height: of coded pictures, which may have a column or row more than those given.
        note: for people, on what is not as it was; empty for nothing.
    """

    codec: str
    pixels: str
    width: int
    height: int
    note: str = ""

    @property
    def is_yuv(self) -> bool:
        """Whether pixels are luma and chroma."""
        return self.pixels.startswith("yuv")

    @property
    def range(self) -> int:
        """1 for limited, 2 for full."""
        return 1 if self.is_yuv and not self.pixels.startswith("yuvj") and self.codec != "mjpeg" else 2


def picture_format(
    container: str, suffix: str, codec: str | None, pix_fmt: str | None, size: tuple[int, int], by_default: str
) -> PictureFormat:
    """The encoder and the pixels for an output.

    Args:
        container: ffmpeg's name of it.
        suffix: of the output's name: of pictures it says the codec.
        codec, pix_fmt: those asked for, if any.
        size: (width, height) of pictures as they are shown.
        by_default: the container's own default codec.

    Raises:
        UsageError: there is no such encoder, or it does not take such pixels.
    """
    by_name = PICTURES.get(suffix.lower()) if container == "image2" else CODECS.get(container)
    found = encoder_named(codec or by_name or by_default)
    if found.name == "libx265" and _NARROW[0] < size[0] < _NARROW[1]:
        raise UsageError(
            f"{found.name} does not code pictures {size[0]} pixels wide: it writes beyond its memory between "
            f"{_NARROW[0]} and {_NARROW[1]}; take --codec libx264, or another --size"
        )
    names = [one.name for one in found.video_formats or []]
    if pix_fmt and names and pix_fmt not in names:
        raise UsageError(f"{found.name} does not take pixels {pix_fmt}: give --pix-fmt one of {', '.join(names[:12])}")
    pixels = pix_fmt or _usual(names, "rgb24" if container == "image2" and found.name != "mjpeg" else "yuv420p")
    width, height = size
    halved = any(part in pixels for part in ("420", "422", "nv12", "nv16", "nv21", "p010"))
    if found.name not in _PAIRS or not halved or not (width % 2 or height % 2):
        return PictureFormat(found.name, pixels, width, height)
    # x264 and x265 take whole pairs of pixels where chroma is halved; others pad by themselves.
    even = width + width % 2, height + height % 2
    note = (
        f"{width}×{height} becomes {even[0]}×{even[1]}, the edge repeated: {found.name} takes even sizes in {pixels}; "
        "--pix-fmt yuv444p keeps the size, for fewer players"
    )
    return PictureFormat(found.name, pixels, *even, note)


def _usual(names: list[str], wanted: str) -> str:
    """The pixels wanted, else what the encoder has that is nearest."""
    if not names or wanted in names:
        return wanted
    best, _ = find_best_pix_fmt_of_list(names, wanted)
    return best.name if best else names[0]
