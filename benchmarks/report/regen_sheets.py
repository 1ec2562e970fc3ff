"""Contact sheets of fill policy `generate`: a picture for each clip with one kept frame of 32, beside other codecs.

    python -m benchmarks.report.regen_sheets                   docs/figures/regen/: clips of open licences only
    python -m benchmarks.report.regen_sheets --out /tmp/all    every clip, into a folder outside the repository

Protocol DFC-32, QP 24. Rows: source; token and hold with one kept frame; `motion` and x264 at the bytes of `generate`
(the lowest QP or CRF whose file is not larger, the highest one if none is); `generate`. Rows show whole-file bytes,
PSNR, and LPIPS of every fourth frame.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import dfccodec as dfc
from benchmarks.clips import EVAL, dfc32_clips, mse
from benchmarks.quality.regen import coded, under_limit, x264_under_limit
from benchmarks.report.contact_sheet import ROOT, manifest
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import Lpips, load_lpips, lpips
from dfccodec.runtime.resources import available_cpus

FOLDER = ROOT / "docs" / "figures" / "regen"
SHOWN = (0, 5, 11, 16, 21, 26, 31)
"""Numbers of the frames; frame 16 is the kept one of `generate`."""

QP, THUMB, LABEL, LINE = 24, 144, 118, 15

Row = tuple[str, int, np.ndarray]
"""Name, bytes (0 for the source), frames (T, H, W, 3)."""


def rows_of(frames: np.ndarray, loaded: LoadedModel) -> list[Row]:
    """Encode and decode a clip in every way."""
    made = {fill: coded(frames, loaded, fill, 1, QP)[:2] for fill in ("token", "hold", "generate")}
    limit = made["generate"][0]
    made["motion"], made["x264"] = under_limit(frames, loaded, 1, QP, limit), x264_under_limit(frames, limit)
    return [("source", 0, frames), *((name, *made[name]) for name in ("token", "hold", "motion", "x264", "generate"))]


def sheet(name: str, rows: list[Row], networks: dict[str, Lpips], credit: str) -> Image.Image:
    """Draw one clip."""
    out = Image.new("RGB", (LABEL + len(SHOWN) * THUMB, 2 * LINE + len(rows) * THUMB), "white")
    draw, font = ImageDraw.Draw(out), ImageFont.load_default(12)
    draw.text((3, 0), f"{name}: frames {', '.join(map(str, SHOWN))} of 32; generate keeps frame 16", "black", font)
    draw.text((3, LINE + len(rows) * THUMB), credit, "#444444", font)
    source = rows[0][2]
    for line, (label, size, video) in enumerate(rows):
        top = LINE + line * THUMB
        texts = [label]
        if size:
            psnr = -10 * math.log10(max(mse(video, source), 1e-10))
            found = [f"LPIPS {net} {np.mean(lpips(source[1::4], video[1::4], n)):.3f}" for net, n in networks.items()]
            texts += [f"{size} bytes", f"{psnr:.1f} dB", *found]
        for number, text in enumerate(texts):
            draw.text((3, top + 4 + number * LINE), text, "black", font)
        for column, at in enumerate(SHOWN):
            picture = Image.fromarray(video[at]).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
            out.paste(picture, (LABEL + column * THUMB, top))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder outside the repository for the sheets of all clips")
    parser.add_argument("--folder", type=Path, default=EVAL)
    parser.add_argument("--quality", type=int, default=75, help="quality of the JPEG files")
    given = parser.parse_args()
    if given.out and given.out.resolve().is_relative_to(ROOT):
        parser.error(
            f"{given.out} is in the repository, which may contain only openly licensed clips: do not use --out"
        )
    torch.set_num_threads(available_cpus())
    loaded, networks = dfc.load_model("mini"), {net: load_lpips(net=net) for net in ("alex", "vgg")}
    known, folder = manifest(given.folder.parent / "MANIFEST.tsv"), given.out or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in dfc32_clips(given.folder):
        entry = known.get(name)
        if not given.out and not (entry and entry.open):
            print(f"{name}: left out for its licence")
            continue
        credit = f"{entry.source}, {entry.licence}" if entry else "not in the manifest"
        path = folder / f"{name}.jpg"
        sheet(name, rows_of(np.ascontiguousarray(frames), loaded), networks, credit).save(
            path, quality=given.quality, optimize=True
        )
        print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
