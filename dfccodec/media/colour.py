"""Flags of swscale for conversion between YUV and RGB, shared by both directions so that they agree."""

from __future__ import annotations

from av.video.reformatter import Interpolation

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without these flags, a round trip YUV-RGB-YUV darkens the picture by 1.2 of 255 levels; with them by 0.02."""

CONVERT = Interpolation.BICUBIC | EXACT
"""Flags for a conversion without scaling; bicubic applies to the chroma planes."""

SCALE = Interpolation.LANCZOS | EXACT
"""Flags for a conversion with scaling."""
