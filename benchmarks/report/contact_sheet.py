"""Contact sheet: source and decoded frames of the eval clips in one picture.

    python -m benchmarks.report.contact_sheet                  docs/figures/contact_sheet.jpg: open licences only
    python -m benchmarks.report.contact_sheet --out /tmp/all   every clip, into a folder outside the repository

Some eval clips are for research only or have no stated licence. Their pictures must not be in the repository. Only the
licence column of the clips' MANIFEST.tsv decides which pictures may be published; no option overrides it.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, dfc32_clips
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.metrics.psnr import psnr
from dfccodec.runtime.resources import available_cpus

ROOT = Path(__file__).resolve().parents[2]
SHEET_FRAMES = (2, 11, 20, 29)
THUMB, GAP, LINE = 128, 8, 16
COLUMNS = 2

OPEN = re.compile(r"(CC0|CC[ -]BY(?!-)|CC-BY-\d|Apache-2\.0|MIT|BSD)\b")
"""Pattern of open licences."""

UNCLEAR = re.compile(r"unknown|research use|unstated|davis|pexels|youtube", re.IGNORECASE)
"""Pattern in licence or source that makes a licence unclear. The licence of a repository does not cover DAVIS frames in
it, and CC BY needs the name of the author, which the manifest does not have for videos from YouTube."""


@dataclass(frozen=True)
class Entry:
    """A row of the manifest."""

    name: str
    source: str
    licence: str

    @property
    def open(self) -> bool:
        """Whether pictures of the clip may be published with credit."""
        return bool(OPEN.match(self.licence)) and not UNCLEAR.search(self.licence + self.source + self.name)


def manifest(path: Path) -> dict[str, Entry]:
    """Return the rows of the manifest by clip name without suffix."""
    with path.open(newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {Path(r["name"]).stem: Entry(r["name"], r["source"], r["licence"]) for r in rows}


def block(name: str, frames: np.ndarray, loaded: LoadedModel, budget: str, qp: int) -> Image.Image:
    """Draw one clip: a line of text, source frames, and below the decoded frames; kept frames are underlined."""
    coded = io.BytesIO()
    dfc.encode(frames, coded, budget=budget, qp=qp, model=loaded)
    data = coded.getvalue()
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])
    kept = next(item.clip.kept for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt))
    out = Image.new("RGB", (len(SHEET_FRAMES) * THUMB, LINE + 2 * THUMB + 4), "white")
    draw = ImageDraw.Draw(out)
    bpp = len(data) * 8 / frames[..., 0].size
    draw.text((0, 0), f"{name}   {psnr(frames, back):.1f} dB   {bpp:.3f} bits/pixel", "black", _font())
    for column, at in enumerate(SHEET_FRAMES):
        for row, video in enumerate((frames, back)):
            picture = Image.fromarray(video[at]).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
            out.paste(picture, (column * THUMB, LINE + row * THUMB))
        if kept[at]:
            left, top = column * THUMB, LINE + 2 * THUMB
            draw.rectangle((left + 1, top + 1, left + THUMB - 2, top + 3), fill="#d62728")
    return out


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def sheet(blocks: list[Image.Image], notes: list[str]) -> Image.Image:
    """Arrange blocks in two columns, with notes below."""
    width, height = blocks[0].width + GAP, blocks[0].height + GAP
    rows = -(-len(blocks) // COLUMNS)
    out = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP + len(notes) * LINE + GAP), "white")
    for number, picture in enumerate(blocks):
        out.paste(picture, (GAP + number % COLUMNS * width, GAP + number // COLUMNS * height))
    draw = ImageDraw.Draw(out)
    for number, note in enumerate(notes):
        draw.text((GAP, rows * height + GAP + number * LINE), note, "#444444", _font())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Contact sheet of the eval clips.")
    parser.add_argument("--out", type=Path, help="folder outside the repository for the sheet of all clips")
    parser.add_argument("--folder", type=Path, default=EVAL)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--budget", default="8")
    parser.add_argument("--qp", type=int, default=24)
    args = parser.parse_args()
    if args.out and args.out.resolve().is_relative_to(ROOT):
        parser.error(f"{args.out} is in the repository, which may contain only openly licensed clips: do not use --out")
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    known = manifest(args.folder.parent / "MANIFEST.tsv")
    blocks, credits, left_out = [], [], []
    for name, frames in dfc32_clips(args.folder):
        entry = known.get(name)
        if not args.out and not (entry and entry.open):
            left_out.append(name)
            continue
        blocks.append(block(name, np.ascontiguousarray(frames), loaded, args.budget, args.qp))
        credits.append(f"{name}: {entry.source}, {entry.licence}" if entry else f"{name}: not in the manifest")
    if not blocks:
        raise SystemExit("no clip may be published; see the licences in MANIFEST.tsv")
    first = f"Above: source. Below: dfc, {args.budget} of {FRAMES} frames kept, QP {args.qp}; red: a kept frame."
    path = (args.out or ROOT / "docs" / "figures") / "contact_sheet.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet(blocks, [first, *credits]).save(path, quality=80, optimize=True)
    print(f"{path}: {len(blocks)} clips")
    print("\n".join(f"- {line}" for line in credits))
    if left_out:
        print(f"left out for their licence: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
