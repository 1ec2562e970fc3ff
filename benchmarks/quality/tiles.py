"""Visibility of tile boundaries: squared error in the overlap of tiles, compared with the rest of the picture.

    python -m benchmarks.quality.tiles [--budget 8] [--fill motion] [--clips N]        about 10 minutes

The published model takes only 256×256 pixels, so larger pictures are split into tiles that overlap by 32 pixels. Its
weights are not available here, so `mini` is restricted in the same way. Each clip is coded in tiles, and once more
without tiles. Eval clips are scaled to 480 lines and cropped to 480×480, which gives four tiles. "Along seams" is the
area where tiles overlap. Its error depends mostly on the content, so the ratio is also divided by the ratio without
tiles.
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
    """A model that takes only TILE×TILE pixels. All other attributes are those of the wrapped model."""

    tile = TILE

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def errors(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared error (H, W) over frames and colours, and a mask (H, W) of the overlap of tiles."""
    coded = io.BytesIO()
    dfc.encode(frames, coded, model=loaded, frame_rate=25, refine=0, **options)
    decoded = np.stack([picture.rgb for picture in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
    header = StreamReader(io.BytesIO(coded.getvalue())).preamble.header
    times = np.zeros(SIDE, int)
    for start in header.tile_starts(SIDE) if header.tile else ():
        times[start : start + TILE] += 1
    return np.mean(((frames.astype(np.float32) - decoded) / 255) ** 2, axis=(0, 3)), (times > 1) | (times > 1)[:, None]


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
