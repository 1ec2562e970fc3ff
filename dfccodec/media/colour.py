"""How swscale is asked to convert between YUV and RGB, in one place so that both directions agree."""

from __future__ import annotations

from av.video.reformatter import Interpolation

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without these two, a trip from YUV to RGB and back darkens the picture by 1.2 of 255 levels; with them by 0.02."""

CONVERT = Interpolation.BICUBIC | EXACT
"""Chroma resampling of a plain conversion."""

SCALE = Interpolation.LANCZOS | EXACT
"""Scaling."""
