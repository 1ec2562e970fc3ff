"""Reads all frames of a video as scaled arrays, for training and benchmarks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from dfccodec.errors import InputError
from dfccodec.media.colour import SCALE


def read_scaled(path: Path, short_side: int, stride: int = 1, max_frames: int | None = None) -> list[np.ndarray]:
    """Read the frames of a video as RGB, scaled with Lanczos.

    Args:
        path: a video.
        short_side: length of the short side in pixels. The long side keeps the aspect ratio, rounded to a pixel.
        stride: read every N-th frame.
        max_frames: maximum number of frames; None reads all.

    Returns:
        list of (H, W, 3) uint8 arrays.

    Raises:
        InputError: the file cannot be read or has no video stream.
    """
    out: list[np.ndarray] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"no video stream in {path}")
            for number, frame in enumerate(container.decode(video=0)):
                if number % stride:
                    continue
                if max_frames is not None and len(out) >= max_frames:
                    break
                scale = short_side / min(frame.width, frame.height)
                size = (round(frame.width * scale), round(frame.height * scale))
                scaled = frame.reformat(*size, format="rgb24", interpolation=SCALE)
                out.append(scaled.to_ndarray())
    except av.error.FFmpegError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return out
