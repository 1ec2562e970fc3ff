"""Fill policies `motion` and `blend` compared with `token` by protocol DFC-32: squared error, bits by part, seconds.

    python -m benchmarks.quality.motion [--clips ../shared/clips/eval] [--kept 6,8] [--qp 24,32]       about 10 minutes

Each row is the mean over clips. Bits are per pixel of all 32 frames: bits of latents, of motion, and of the rest of the
file. "Search" and "decode" are CPU seconds per clip, summed over threads: the additional time of encoding compared with
`token` (decoding in the encoder included), and the time of decoding. Only `blend` has predicted kept frames by default;
their motion counts as latents.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.runtime.resources import available_cpus

FILLS = ("token", "motion", "blend")
PIXELS = FRAMES * SIDE * SIDE
Measured = dict[str, float]


def measure(frames: np.ndarray, loaded: LoadedModel, kept: int, qp: int, fill: str) -> Measured:
    """Encode and decode one clip, and measure it."""
    coded = io.BytesIO()
    begun = process_time()
    dfc.encode(frames, coded, budget=str(kept), qp=qp, fill=fill, model=loaded, frame_rate=25, refine=0)
    encoded = process_time()
    back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
    decoded = process_time()
    clips = [item.clip for item in StreamReader(io.BytesIO(coded.getvalue())) if isinstance(item, ClipAt)]
    latents, motion = (sum(len(getattr(c, name)) for c in clips) * 8 / PIXELS for name in ("latents", "fill_payload"))
    error = mse(back, frames)
    whole = len(coded.getvalue()) * 8 / PIXELS
    return {
        "mse": error, "psnr": -10 * math.log10(max(error, 1e-10)), "bpp": whole, "latents": latents, "motion": motion,
        "overhead": whole - latents - motion, "encode": encoded - begun, "decode": decoded - encoded,
    }  # fmt: skip


def rows(results: dict[tuple[int, int, str], list[Measured]]) -> list[dict[str, Any]]:
    """Return the means over clips."""
    out = []
    for (kept, qp, fill), found in results.items():
        row: dict[str, Any] = {"kept": kept, "qp": qp, "fill": fill}
        row |= {name: float(np.mean([clip[name] for clip in found])) for name in found[0]}
        row["search"] = row["encode"] - float(np.mean([clip["encode"] for clip in results[kept, qp, "token"]]))
        out.append(row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill policy motion.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--kept", default="6,8")
    parser.add_argument("--qp", default="24,32")
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = load_model(args.model)
    results: dict[tuple[int, int, str], list[Measured]] = {}
    names = []
    for name, frames in dfc32_clips(args.clips):
        names.append(name)
        for kept in map(int, args.kept.split(",")):
            for qp in map(int, args.qp.split(",")):
                for fill in FILLS:
                    results.setdefault((kept, qp, fill), []).append(measure(frames, loaded, kept, qp, fill))
    found = rows(results)
    head = ("kept", "qp", "fill", "mse", "psnr", "bpp", "latents", "motion", "overhead", "search", "decode")
    printed = [[f"{row[key]:.5f}" if isinstance(row[key], float) else row[key] for key in head] for row in found]
    print(table(head, printed))
    each = [{"kept": k, "qp": q, "fill": f, "mse": [clip["mse"] for clip in v]} for (k, q, f), v in results.items()]
    write_json("motion", {"clips": names, "threads": torch.get_num_threads(), "rows": found, "each": each}, args.model)


if __name__ == "__main__":
    main()
