"""Anchors: x264, x265, SVT-AV1 and VP9 through PyAV, VVenC through the binary of imageio-ffmpeg.

Each anchor codes a clip as one closed GOP, on one thread, at constant quality. All free choices favour the anchor:

- only coded pictures count. Parameter sets, SEI, delimiters and containers do not; of a `.dfc` file, all bytes count;
- 4:2:0 with 8 bits (10 for VVenC, which needs them) in limited-range BT.601. Chroma is scaled both ways with Lanczos
  and accurate rounding. Of 64 settings of swscale (matrix, range, filters), this one has the smallest loss on the eval
  clips: 49.4 dB before any coding, against 47.9 for bicubic BT.709;
- x264 runs with its default perceptual tuning, and again with `tune psnr`; VVenC runs without perceptual tuning;
- SVT-AV1 has preset 6, slower than its usual "medium" of 8.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

os.environ.setdefault("SVT_LOG", "1")  # errors only; read when the library is loaded

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from benchmarks.clips import FRAMES
from dfccodec.media.colour import EXACT
from dfccodec.metrics.vmaf import find_ffmpeg

CHROMA = Interpolation.LANCZOS | Interpolation.FULL_CHR_H_INP | EXACT
TEN_BITS = "yuv420p10le"
BT601, LIMITED, FULL = 5, 1, 2  # ffmpeg's numbers


@dataclass(frozen=True)
class Anchor:
    """An anchor codec with its settings.

    Args:
        label: for tables and plots.
        codec: ffmpeg's name of the encoder.
        quality: the option that sets quality.
        points: values of it, the finest first.
        options: the others.
        decoder: ffmpeg's name of the decoder.
        pictures: bytes of coded pictures in one packet.
    """

    label: str
    codec: str
    quality: str
    points: tuple[int, ...]
    options: Mapping[str, str]
    decoder: str
    pictures: Callable[[bytes], int] = field(default=len, repr=False)

    def setting(self) -> str:
        """All settings that affect the bits, except the quality. A cached row is valid for one setting."""
        return f"{self.codec} {' '.join(f'{k}={v}' for k, v in self.options.items())}"


def _nals(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B stream, without start codes."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        after = data.find(b"\0\0\1", at + 3)
        yield data[at + 3 : after if after >= 0 else len(data)].rstrip(b"\0")
        at = after


def _h264(data: bytes) -> int:
    return sum(len(n) + 3 for n in _nals(data) if 1 <= n[0] & 31 <= 5)


def _hevc(data: bytes) -> int:
    return sum(len(n) + 3 for n in _nals(data) if n[0] >> 1 & 63 < 32)


def _vvc(data: bytes) -> int:
    return sum(len(n) + 3 for n in _nals(data) if n[1] >> 3 < 12)


def _av1(data: bytes) -> int:
    """Return the bytes of OBUs of frames, frame headers and tile groups; each OBU has a size field, as ffmpeg writes
    it."""
    at = total = 0
    while at < len(data):
        head, start = data[at], at
        at += 2 if head & 4 else 1
        size = shift = 0
        while True:
            byte = data[at]
            size |= (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if byte < 128:
                break
        at += size
        if head >> 3 & 15 in (3, 4, 6, 7):
            total += at - start
    return total


_X264 = {"preset": "medium", "x264-params": f"keyint={FRAMES}:min-keyint={FRAMES}:open-gop=0:scenecut=0:threads=1"}
_X265 = {
    "preset": "medium",
    "x265-params": f"keyint={FRAMES}:min-keyint={FRAMES}:no-open-gop=1:scenecut=0:info=0:pools=none:frame-threads=1:"
    "log-level=none",
}
CRFS = (16, 20, 24, 28, 32, 36, 40, 44, 48)

ANCHORS: dict[str, Anchor] = {
    "x264": Anchor("x264 medium", "libx264", "crf", CRFS, _X264, "h264", _h264),
    "x264-psnr": Anchor(
        "x264 medium, tune psnr", "libx264", "crf", CRFS, {**_X264, "tune": "psnr"}, "h264", _h264
    ),
    "x265": Anchor("x265 medium", "libx265", "crf", CRFS, _X265, "hevc", _hevc),
    "svtav1": Anchor(
        "SVT-AV1 preset 6", "libsvtav1", "crf", (18, 26, 34, 42, 49, 56, 63),
        {"preset": "6", "svtav1-params": f"keyint={FRAMES}:irefresh-type=2:scd=0:lp=1"}, "libdav1d", _av1,
    ),
    "vp9": Anchor(
        "VP9 good, cpu-used 2", "libvpx-vp9", "crf", (16, 24, 32, 40, 47, 54, 61),
        {"b": "0", "deadline": "good", "cpu-used": "2", "lag-in-frames": "25", "auto-alt-ref": "1", "row-mt": "0"},
        "vp9",
    ),
    "vvenc": Anchor(
        "VVenC medium, no QPA", "libvvenc", "qp", (18, 24, 30, 36, 42, 48),
        {"preset": "medium", "qpa": "0", "vvenc-params": "IntraPeriod=32:DecodingRefreshType=idr"}, "vvc", _vvc,
    ),
}  # fmt: skip


def versions(anchor: Anchor) -> str:
    """Return the version of the encoder. A cached row is valid for one version."""
    if anchor.codec == "libvvenc":
        first = subprocess.run([find_ffmpeg(), "-version"], capture_output=True, text=True, check=True).stdout
        return "ffmpeg " + first.split()[2]
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def code(anchor: Anchor, frames: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Encode and decode a clip.

    Args:
        anchor: the codec.
        frames: (T, H, W, 3) uint8.
        quality: the value of `anchor.quality`.

    Returns:
        size of the coded pictures in bytes, and the decoded frames, like `frames`.
    """
    if anchor.codec == "libvvenc":
        return _by_ffmpeg(anchor, frames, quality)
    encoder = cast(VideoCodecContext, av.CodecContext.create(anchor.codec, "w"))
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.framerate, encoder.gop_size = "yuv420p", Fraction(25), FRAMES
    encoder.thread_count = 1
    encoder.options = {**anchor.options, anchor.quality: str(quality)}
    decoder = cast(VideoCodecContext, av.CodecContext.create(anchor.decoder, "r"))
    decoder.thread_count = 1
    size, back = 0, []
    for picture in [*_to_yuv(frames), None]:
        for packet in encoder.encode(picture):
            size += anchor.pictures(bytes(packet))
            back += decoder.decode(packet)
    back += decoder.decode(None)
    return size, _to_rgb(back, frames)


def _to_yuv(frames: np.ndarray, pixels: str = "yuv420p") -> list[VideoFrame]:
    out = []
    for number, rgb in enumerate(frames):
        picture = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format=pixels, dst_colorspace=BT601, src_color_range=FULL, dst_color_range=LIMITED, interpolation=CHROMA
        )
        picture.pts = number
        out.append(picture)
    return out


def _to_rgb(pictures: list[VideoFrame], like: np.ndarray) -> np.ndarray:
    back = [
        p.reformat(
            format="rgb24", src_colorspace=BT601, src_color_range=LIMITED, dst_color_range=FULL, interpolation=CHROMA
        ).to_ndarray()
        for p in pictures
    ]
    if len(back) != len(like):
        raise RuntimeError(f"{len(back)} frames decoded of {len(like)}")
    return np.stack(back)


def _by_ffmpeg(anchor: Anchor, frames: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
    """Encode and decode with the binary of imageio-ffmpeg, for an encoder that PyAV does not include."""
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pixel_format", TEN_BITS, "-video_size", f"{width}x{height}", "-framerate", "25"]
    options = [part for k, v in anchor.options.items() for part in (f"-{k}", v)]
    quiet = [find_ffmpeg(), "-nostdin", "-v", "error", "-threads", "1"]
    with tempfile.TemporaryDirectory(prefix="dfc-anchor-") as folder:
        source, stream = Path(folder) / "in.yuv", Path(folder) / "out.266"
        source.write_bytes(b"".join(p.to_ndarray().tobytes() for p in _to_yuv(frames, TEN_BITS)))
        encode = [*quiet, *raw, "-i", str(source), "-c:v", anchor.codec, *options, f"-{anchor.quality}", str(quality)]
        subprocess.run([*encode, "-threads", "1", "-f", "vvc", str(stream)], check=True)
        decode = [*quiet, "-i", str(stream), "-f", "rawvideo", "-pix_fmt", TEN_BITS, "-"]
        back = np.frombuffer(subprocess.run(decode, check=True, stdout=subprocess.PIPE).stdout, "<u2")
        size = anchor.pictures(stream.read_bytes())
    pictures = [VideoFrame.from_ndarray(p, format=TEN_BITS) for p in back.reshape(-1, height * 3 // 2, width)]
    return size, _to_rgb(pictures, frames)
