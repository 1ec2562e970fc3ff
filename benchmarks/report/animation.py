"""Animated picture for README.md: source beside decoded video, with the kept frames marked.

    python -m benchmarks.report.animation [--budget 8] [--out docs/figures/kept_frames.webp]

The clip is examples/flower.mp4 (CC0). The bar below the pictures has one cell per frame of a clip: kept frames are
filled, and the current frame is outlined.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import dfccodec as dfc
from dfccodec.media.input.read_frames import read_scaled

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "examples" / "flower.mp4"
SHORT_SIDE = 180
FRAMES = 64
BAR, GAP = 14, 4
QUALITY = 70
"""Quality of the WebP file, 0 to 100."""


def draw(source: np.ndarray, decoded: np.ndarray, kept: np.ndarray, number: int) -> Image.Image:
    """One picture of the animation.

    Args:
        source, decoded: frames (H, W, 3) uint8.
        kept: (T,) bool, the kept frames of the clip.
        number: number of the frame within the clip.
    """
    height, width = source.shape[:2]
    picture = Image.new("RGB", (2 * width + GAP, height + GAP + BAR), "white")
    picture.paste(Image.fromarray(source), (0, 0))
    picture.paste(Image.fromarray(decoded), (width + GAP, 0))
    pen, cell = ImageDraw.Draw(picture), picture.width / len(kept)
    for frame, is_kept in enumerate(kept.tolist()):
        box = (frame * cell + 1, height + GAP, (frame + 1) * cell - 1, height + GAP + BAR - 1)
        outline = "red" if frame == number else "grey"
        pen.rectangle(box, fill="black" if is_kept else "white", outline=outline, width=3 if frame == number else 1)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="8")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures" / "kept_frames.webp")
    options = parser.parse_args()
    frames = read_scaled(CLIP, SHORT_SIDE, max_frames=FRAMES)
    coded = io.BytesIO()
    dfc.encode(frames, coded, budget=options.budget, frame_rate=30)
    with dfc.open(coded.getvalue()) as file:
        kept = [clip.kept for clip in file]
    decoded = [picture.rgb for picture in dfc.decode(coded.getvalue())]
    length = len(kept[0])
    pictures = [
        draw(source, back, kept[number // length], number % length)
        for number, (source, back) in enumerate(zip(frames, decoded, strict=True))
    ]
    pictures[0].save(
        options.out, save_all=True, append_images=pictures[1:], duration=50, loop=0, quality=QUALITY, method=6
    )
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
