"""Pictures of `dfc compare` for README.md: the strip of budgets, and the report page.

    python -m benchmarks.report.compare_figures [--out docs/figures]

The clip is examples/flower.mp4 (CC0). The screenshot of the page needs Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from dfccodec.media.input.source import VideoSource

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "examples" / "flower.mp4"
BUDGETS, QP, HEIGHT = "16,8,4,1", "28", "96"
FRAMES, EVERY = 64, 2
"""Frames of the strip, and the step between those that are shown."""
WINDOW, FRAME = (1000, 1560), 40
"""Size of the window of the page, and the frame at which it is opened."""


def compare(*options: str) -> None:
    """Run `dfc compare` on the clip."""
    subprocess.run([sys.executable, "-m", "dfccodec", "compare", str(CLIP), *options, "--metrics", "psnr"], check=True)


def write_strip(video: Path, target: Path) -> None:
    """Write the first frames of a strip as an animated WebP."""
    with VideoSource(video) as source:
        frames = [picture.rgb for picture, _ in zip(source, range(FRAMES), strict=False)][::EVERY]
    pictures = [Image.fromarray(np.asarray(frame)) for frame in frames]
    length = round(1000 * EVERY / 30)
    pictures[0].save(target, save_all=True, append_images=pictures[1:], duration=length, loop=0, quality=60, method=6)


def write_screenshot(page: Path, target: Path, chromium: str) -> None:
    """Write the top of a page as WebP."""
    shot = page.with_suffix(".png")
    size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"]
    address = f"{page.as_uri()}#frame={FRAME}"
    subprocess.run([chromium, *flags, size, f"--screenshot={shot}", address], check=True, capture_output=True)
    Image.open(shot).convert("RGB").save(target, quality=80, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        strip, page = Path(folder) / "strip.mkv", Path(folder) / "report.html"
        compare("--budgets", BUDGETS, "--qp", QP, "--height", HEIGHT, "-o", str(strip))
        write_strip(strip, out / "strip.webp")
        compare("--budgets", "8,1", "--html", str(page))
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            sys.exit("no Chromium for the screenshot of the page: apt-get install chromium")
        write_screenshot(page, out / "report.webp", chromium)


if __name__ == "__main__":
    main()
