"""Encode a video, decode it, and print the PSNR.

python examples/encode_decode.py examples/flower.mp4
"""

import io
import sys
from pathlib import Path

import numpy as np

import dfccodec as dfc
from dfccodec.media.input.source import VideoSource

path = Path(sys.argv[1])
coded = io.BytesIO()
report = dfc.encode(path, coded, budget="8", qp=24)
print(f"{report.frames} frames, {report.kept} kept, {report.size} bytes")

with VideoSource(path) as source:
    errors = [
        np.mean((before.rgb.astype(float) - after.rgb) ** 2)
        for before, after in zip(source, dfc.decode(coded.getvalue()), strict=True)
    ]
print(f"PSNR {10 * np.log10(255**2 / np.mean(errors)):.2f} dB")
