"""Animated GIFs of several encoders, for the damage trials: ffmpeg with its options, and Pillow if it is installed."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dfccodec.metrics.vmaf import find_ffmpeg

with contextlib.suppress(ImportError):
    from PIL import Image

_NOISE, _SMOOTH = "testsrc2=s=160x120:r=12:d=3,noise=alls=8:allf=t", "testsrc=s=320x240:r=12:d=3"
_FRACTAL = "mandelbrot=s=320x240:r=10,trim=end=2"
_PALETTE = "split[a][b];[a]palettegen=stats_mode={0}[p];[b][p]paletteuse=new={1}"
_FFMPEG = {
    "ffmpeg noise": (_NOISE, ""),
    "ffmpeg whole frames": (_NOISE, "-gifflags -offsetting-transdiff"),
    "ffmpeg small changes": (_SMOOTH, ""),
    "ffmpeg one palette": (_FRACTAL, f"-lavfi {_PALETTE.format('full', 0)}"),
    "ffmpeg local palettes": (_FRACTAL, f"-lavfi {_PALETTE.format('single', 1)}"),
    "ffmpeg large": ("mandelbrot=s=1280x720:r=10,trim=end=0.8", ""),
    "ffmpeg two colors": ("life=s=200x100:r=10:mold=10:seed=1,trim=end=4", "-pix_fmt monob"),
}
"""Name: source and options."""
_PILLOW: dict[str, tuple[int, dict[str, Any]]] = {
    "Pillow": (256, {}),
    "Pillow optimized": (256, {"optimize": True}),
    "Pillow interlaced": (256, {"interlace": 1}),
    "Pillow not interlaced": (256, {"interlace": 0}),
    "Pillow disposal to background": (256, {"disposal": 2}),
    "Pillow disposal to previous": (256, {"disposal": 3}),
    "Pillow 16 colors": (16, {}),
    "Pillow 2 colors": (2, {}),
}
"""Name: number of colors and options."""


def make_gifs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and files of 8 to 40 frames, large enough for holes."""
    for name, (source, options) in _FFMPEG.items():
        command = [find_ffmpeg(), "-v", "error", "-threads", "1", "-y", "-f", "lavfi", "-i", source]
        subprocess.run([*command, "-bitexact", *options.split(), str(folder / "a.gif")], check=True)
        yield name, (folder / "a.gif").read_bytes()
    if "Image" in globals():
        for name, (colors, pillow_options) in _PILLOW.items():
            yield name, _save([Image.fromarray(p).quantize(colors) for p in _moving_pictures()], **pillow_options)


def make_tiny_gifs() -> Iterator[tuple[str, bytes]]:
    """Yield names and files with almost no image data."""
    if "Image" in globals():
        for name, size, count in (("one pixel", (1, 1), 9), ("flat", (500, 400), 9), ("still", (50, 40), 1)):
            yield f"Pillow {name}", _save([Image.new("RGB", size, (9 * n, 0, 0)) for n in range(count)])


def _save(pictures: list[Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=80, loop=0, **options)
    return out.getvalue()


def _moving_pictures() -> Iterator[np.ndarray]:
    """Yield smooth colors that move, with a little noise."""
    draw = np.random.default_rng(3)
    y, x = np.mgrid[:120, :160]
    for number in range(24):
        waves = [np.sin((x + 3 * number) / 9 + n) + np.cos((y + number) / 13 * (n + 1)) for n in range(3)]
        yield (np.stack(waves, -1) * 60 + 125 + draw.normal(0, 2, (120, 160, 3))).clip(0, 255).astype(np.uint8)
