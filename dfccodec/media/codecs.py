"""Which codecs of the FFmpeg in PyAV are there."""

from __future__ import annotations

import av
from av.codec import Codec
from av.error import FFmpegError

DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "prores", "ffv1", "gif", "aac", "mp3", "opus", "flac")
ENCODERS = (
    "libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1", "gif", "png", "aac", "libopus", "flac", "mov_text",
)  # fmt: skip
"""Codecs that `dfc encode` often reads and that `dfc decode` writes."""


def ffmpeg_version() -> str:
    """Version of FFmpeg and of its libavcodec."""
    libavcodec = ".".join(str(number) for number in av.library_versions["libavcodec"])
    return f"{getattr(av, 'ffmpeg_version_info', 'unknown version')}, libavcodec {libavcodec}"


def missing_codecs() -> list[str]:
    """Decoders and encoders above that are missing."""
    wanted = [(name, "r", "decoder") for name in DECODERS] + [(name, "w", "encoder") for name in ENCODERS]
    return [f"{kind} {name}" for name, mode, kind in wanted if not _has(name, mode)]


def _has(name: str, mode: str) -> bool:
    try:
        Codec(name, mode)  # type: ignore[arg-type]
    except (FFmpegError, ValueError):
        return False
    return True
