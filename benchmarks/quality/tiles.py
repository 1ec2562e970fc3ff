"""Do tiles show where they overlap? Squared error along their seams beside that elsewhere, for fixed-grid models.

    python -m benchmarks.quality.tiles [--budget 8] [--fill motion] [--clips N]        about 10 minutes

A model like the published ones takes 256×256 only; larger pictures become tiles that overlap by 32 pixels. Their
weights cannot be had here, so `mini` is made such a model: it is coded in tiles, and once more as it is meant to be, in
one piece. Eval clips are scaled to 480 lines and cropped to 480×480: four tiles. "Along seams" is the band where tiles
overlap; what stands there in a picture matters more than the seam, so the ratio is also given over that of one piece.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, cropped, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import StreamReader
from dfccodec.runtime.resources import available_cpus

TILE, SIDE = 256, 480


class Gridded:
    """A model that takes TILE×TILE only; all else is the other's."""

    tile = TILE

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def errors(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared error (H, W) over frames and colours, and the pixels (H, W) where tiles overlap."""
    coded = io.BytesIO()
    dfc.encode(frames, coded, model=loaded, frame_rate=25, refine=0, **options)
    shown = np.stack([picture.rgb for picture in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
    header = StreamReader(io.BytesIO(coded.getvalue())).preamble.header
    times = np.zeros(SIDE, int)
    for start in header.tile_starts(SIDE) if header.tile else ():
        times[start : start + TILE] += 1
    return np.mean(((frames.astype(np.float32) - shown) / 255) ** 2, axis=(0, 3)), (times > 1) | (times > 1)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description="Error where tiles overlap.")
    parser.add_argument("--budget", default="8")
    parser.add_argument("--fill", default="motion")
    parser.add_argument("--clips", type=int, help="only the first so many")
    parser.add_argument("--no-json", action="store_true", help="leave results/tiles.json alone")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    whole = load_model("mini", device="cpu")
    tiled = dataclasses.replace(whole, model=Gridded(whole.model))
    rows: dict[str, dict[str, float]] = {}
    for path in itertools.islice(sorted(EVAL.glob("*.mp4")), args.clips):
        frames = cropped(path, SIDE, FRAMES)
        found, seams = errors(frames, tiled, budget=args.budget, fill=args.fill)
        one, _ = errors(frames, whole, budget=args.budget, fill=args.fill)
        row = {"seams": found[seams].mean(), "elsewhere": found[~seams].mean()}
        row |= {"whole_seams": one[seams].mean(), "whole_elsewhere": one[~seams].mean()}
        rows[path.stem] = {key: float(f"{value:.4g}") for key, value in row.items()}
        print(f"{path.stem}: {row['seams'] / row['elsewhere']:.3f}, {row['whole_seams'] / row['whole_elsewhere']:.3f}")
    mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in next(iter(rows.values()))}
    ratio, other = mean["seams"] / mean["elsewhere"], mean["whole_seams"] / mean["whole_elsewhere"]
    head = ("fill", "MSE along seams", "elsewhere", "ratio", "the same pixels coded in one piece", "over it")
    cells = (f"{mean['seams']:.5f}", f"{mean['elsewhere']:.5f}", f"{ratio:.3f}", f"{other:.3f}", f"{ratio / other:.3f}")
    print(table(head, [(args.fill, *cells)]))
    if not args.no_json:
        write_json("tiles", {"budget": args.budget, "fill": args.fill, "rows": rows})


if __name__ == "__main__":
    main()
