"""Chooses the video encoder of a container, its options and its pixel format."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.codec.codec import find_best_pix_fmt_of_list

from dfccodec.errors import UsageError
from dfccodec.media.output.palette import PIXELS

VIDEO_ENCODERS = {
    "matroska": "libx264",
    "mp4": "libx264",
    "mov": "libx264",
    "webm": "libvpx-vp9",
    "yuv4mpegpipe": "rawvideo",
    "avi": "mpeg4",  # ffmpeg reads the timestamps of H.264 in avi one frame late
    "mpegts": "libx264",
    "nut": "libx264",
}
IMAGE_ENCODERS = {
    ".png": "png",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".ppm": "ppm",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "libwebp",
}
"""Image encoders by file suffix."""
_EVEN_SIZE_ENCODERS = ("libx264", "libx265")
_X265_UNSAFE_WIDTHS = (32, 64)
"""Exclusive range of widths in which x265 (4.2, in PyAV 18.1) corrupts the heap; it was observed from 34 to 48."""
_FINEST_QUALITY = {
    "flags": "+qscale",
    "global_quality": "118",
    "qmin": "1",
}  # 118 is quantizer scale 1 in MPEG-4 and others
ENCODER_OPTIONS = {
    "libx264": {"crf": "10", "preset": "faster"},
    "libx265": {"crf": "12", "preset": "medium", "x265-params": "log-level=error"},
    "libvpx": {"crf": "4", "b": "50000000", "cpu-used": "4"},  # a lower bitrate would limit the quality
    "libvpx-vp9": {"crf": "16", "b": "0", "row-mt": "1", "cpu-used": "4"},
    "libsvtav1": {"crf": "12", "preset": "8"},
    **dict.fromkeys(("mpeg4", "msmpeg4", "mpeg2video", "mpeg1video", "mjpeg", "flv", "wmv1", "wmv2"), _FINEST_QUALITY),
}
"""Encoder options by name. ffmpeg's defaults aim at small files; each of these gives about 43 dB."""


_ALIASES = {"h265": "hevc", "x264": "libx264", "x265": "libx265", "vpx": "libvpx-vp9", "svtav1": "libsvtav1"}
"""Common names of encoders for which ffmpeg uses another name."""
_BT601_CODECS = ("mjpeg", "vp8")
"""Codecs that always use the BT.601 matrix."""
_CONTAINERS_WITHOUT_MATRIX = ("yuv4mpegpipe", "avi")
"""Containers that do not store the colour matrix."""
_CODECS_WITH_MATRIX = ("h264", "hevc", "vp9", "av1", "mpeg2video")
_MIN_BT709_LINES = 720
"""Minimum height for which players assume BT.709 if the matrix is unspecified; they assume BT.601 below."""


def check_audio_encoder(codec: str) -> None:
    """Check the name of an audio encoder.

    Raises:
        UsageError: there is none of that name.
    """
    if _encoder(codec, "audio") is None:
        raise UsageError(f"{codec} is not an audio encoder: give --audio-codec the name of one, as aac or libopus")


def find_encoder(codec: str) -> av.codec.Codec:
    """Return the encoder for a name. It may be the name of a codec: `h264` gives libx264.

    Raises:
        UsageError: it is not a video encoder.
    """
    codec = _ALIASES.get(codec.lower(), codec)
    if (found := _encoder(codec, "video")) is None:
        raise UsageError(f"{codec} is not a video encoder: give --codec the name of an encoder, as libx264 or ffv1")
    return found


def _encoder(codec: str, kind: str) -> av.codec.Codec | None:
    """The encoder of a name, if there is one for `audio` or `video`."""
    try:
        found = av.codec.Codec(codec, "w")
    except ValueError:
        return None
    return found if found.type == kind and found.is_encoder else None


def output_matrix(codec: str, container: str, wanted: int, lines: int) -> int:
    """Return the colour matrix of an output: the source's, if the output can store it or players assume it.

    Args:
        codec, container: ffmpeg's names.
        wanted: the source's matrix (ITU-T H.273, table 4).
        lines: height of the picture.

    Returns:
        a YUV matrix, or 2 (unspecified), which is converted as BT.601.
    """
    if codec in _BT601_CODECS or wanted not in (1, 4, 5, 6, 7, 9, 10):
        return 2
    mute = container in _CONTAINERS_WITHOUT_MATRIX and codec not in _CODECS_WITH_MATRIX
    return 2 if mute and wanted == 1 and lines < _MIN_BT709_LINES else wanted


@dataclass(frozen=True)
class PictureFormat:
    """Format of the frames that the encoder gets.

    Args:
        codec: name of the encoder.
        pixels: ffmpeg's name of the pixel format.
        width, height: size of the coded frames; may be one more than the given size.
        note: message for the user about a change of the size; empty if there is none.
    """

    codec: str
    pixels: str
    width: int
    height: int
    note: str = ""

    @property
    def is_yuv(self) -> bool:
        """Whether the pixel format is YUV."""
        return self.pixels.startswith("yuv")

    @property
    def range(self) -> int:
        """Colour range: 1 for limited, 2 for full."""
        return 1 if self.is_yuv and not self.pixels.startswith("yuvj") and self.codec != "mjpeg" else 2


def choose_picture_format(
    container: str, suffix: str, codec: str | None, pix_fmt: str | None, size: tuple[int, int], by_default: str
) -> PictureFormat:
    """Choose the encoder and the pixel format of an output.

    Args:
        container: ffmpeg's name of the container.
        suffix: suffix of the output's name, which selects the codec of images.
        codec, pix_fmt: requested encoder and pixel format; None for the default.
        size: (width, height) of the frames.
        by_default: default codec of the container.

    Raises:
        UsageError: the encoder does not exist, or it does not support the size or the pixel format.
    """
    by_name = IMAGE_ENCODERS.get(suffix.lower()) if container == "image2" else VIDEO_ENCODERS.get(container)
    found = find_encoder(codec or by_name or by_default)
    if container == "image2" and by_name and found.canonical_name != find_encoder(by_name).canonical_name:
        raise UsageError(f"{suffix} files are not coded by {found.name}: leave out --codec, or change the suffix")
    if found.name == "libx265" and _X265_UNSAFE_WIDTHS[0] < size[0] < _X265_UNSAFE_WIDTHS[1]:
        raise UsageError(
            f"{found.name} cannot code pictures {size[0]} pixels wide: it corrupts memory between "
            f"{_X265_UNSAFE_WIDTHS[0]} and {_X265_UNSAFE_WIDTHS[1]}; give --codec libx264, or another --size"
        )
    names = [one.name for one in found.video_formats or []]
    if pix_fmt and names and pix_fmt not in names:
        raise UsageError(
            f"{found.name} does not support pixel format {pix_fmt}: give --pix-fmt one of {', '.join(names[:12])}"
        )
    wanted = "rgb24" if container == "image2" and found.name != "mjpeg" else "yuv420p"
    pixels = pix_fmt or (PIXELS if found.name == "gif" else _nearest_pixel_format(names, wanted))
    width, height = size
    subsampled = any(part in pixels for part in ("420", "422", "nv12", "nv16", "nv21", "p010"))
    if found.name not in _EVEN_SIZE_ENCODERS or not subsampled or not (width % 2 or height % 2):
        return PictureFormat(found.name, pixels, width, height)
    # With subsampled chroma, x264 and x265 need even sizes. Other encoders pad.
    even = width + width % 2, height + height % 2
    note = (
        f"{width}×{height} becomes {even[0]}×{even[1]}, with the edge repeated: {found.name} needs even sizes in "
        f"{pixels}; --pix-fmt yuv444p keeps the size, but fewer players support it"
    )
    return PictureFormat(found.name, pixels, *even, note)


def _nearest_pixel_format(names: list[str], wanted: str) -> str:
    """Return the wanted pixel format if the encoder supports it, else the nearest that it supports."""
    if not names or wanted in names:
        return wanted
    best, _ = find_best_pix_fmt_of_list(names, wanted)
    return best.name if best else names[0]
