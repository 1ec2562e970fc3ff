"""Pictures as WebP in memory."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from dfccodec.media.colour import CONVERT


def encode_webp(rgb: np.ndarray, quality: int) -> bytes:
    """Encode a picture (H, W, 3) uint8 as WebP with `quality` 0 to 100."""
    coder = VideoCodecContext.create("libwebp", "w")
    coder.height, coder.width = rgb.shape[:2]
    coder.pix_fmt, coder.time_base = "yuv420p", Fraction(1)
    coder.options = {"quality": str(quality), "compression_level": "3"}
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    packets = [*coder.encode(frame.reformat(format="yuv420p", interpolation=CONVERT)), *coder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
