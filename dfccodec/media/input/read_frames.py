"""Frames of a video as arrays, scaled: what training and the benchmarks read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from dfccodec.errors import InputError
from dfccodec.media.colour import SCALE


def read_scaled(path: Path, short_side: int, every: int = 1, most: int | None = None) -> list[np.ndarray]:
    """Frames of a video as RGB, the short side scaled to `short_side` pixels with Lanczos.

    Args:
        path: any video PyAV opens.
        short_side: pixels; the other side keeps the aspect, rounded to whole pixels.
        every: keep one frame in so many.
        most: stop after so many kept frames.

    Returns:
        list of (H, W, 3) uint8 arrays.

    Raises:
        InputError: the file does not open or holds no video.
    """
    out: list[np.ndarray] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"no video stream in {path}")
            for number, frame in enumerate(container.decode(video=0)):
                if number % every:
                    continue
                if most is not None and len(out) >= most:
                    break
                scale = short_side / min(frame.width, frame.height)
                size = (round(frame.width * scale), round(frame.height * scale))
                scaled = frame.reformat(*size, format="rgb24", interpolation=SCALE)
                out.append(scaled.to_ndarray())
    except av.error.FFmpegError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return out
