"""Protocol DFC-32 with default files: squared error and size with 6 of 32 frames kept and motion for all others.

    python -m benchmarks.quality.dfc32_motion [--kept 6] [--qps 24 26 27 28]

Unlike `dfc32`, whose dropped frames come from the fill token alone. Mean over the 24 eval clips of the squared error on
[0, 1], and of the bits of complete files per pixel.
"""

from __future__ import annotations

import argparse
import io

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, dfc32_clips, mse, table, write_json
from dfccodec.codec.decoder import Decoder
from dfccodec.runtime.resources import available_cpus


def main() -> None:
    parser = argparse.ArgumentParser(description="Protocol DFC-32 with default files.")
    parser.add_argument("--kept", type=int, default=6)
    parser.add_argument("--qps", type=int, nargs="+", default=[24, 26, 27, 28])
    args = parser.parse_args()
    torch.set_num_threads(available_cpus())
    loaded = dfc.load_model()
    rows: dict[int, list[tuple[float, float]]] = {qp: [] for qp in args.qps}
    for _, frames in dfc32_clips(EVAL):
        for qp in args.qps:
            out = io.BytesIO()
            dfc.encode(frames, out, budget=str(args.kept), qp=qp, model=loaded)
            back = np.stack([picture.rgb for picture in Decoder(io.BytesIO(out.getvalue()), lambda _: loaded)])
            pixels = frames.size // 3
            rows[qp].append((mse(back, frames), 8 * len(out.getvalue()) / pixels))
    means = [(qp, *np.mean(found, axis=0).tolist()) for qp, found in rows.items()]
    print(table(("QP", "MSE", "bits/pixel"), [(qp, f"{error:.6f}", f"{bpp:.4f}") for qp, error, bpp in means]))
    keys = ("qp", "mse", "bpp")
    write_json("dfc32_motion", {"kept": args.kept, "rows": [dict(zip(keys, row, strict=True)) for row in means]})


if __name__ == "__main__":
    main()
