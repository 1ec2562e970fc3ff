"""Quality at clip boundaries: PSNR of the first and last two frames of clips, compared with the frames between.

    python -m benchmarks.quality.clip_boundaries [--budget 8] [--fill motion] [--clips N]        about 5 minutes

Each eval clip is cropped as in protocol DFC-32, but is two `.dfc` clips long (64 frames). The figures are the mean over
videos of the difference of mean PSNR, and the worst difference.
"""

from __future__ import annotations

import argparse
import io
import itertools
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, SIDE, cropped, table, write_json
from dfccodec.codec.api import load_model

LONG = 64
ENDS = (0, 1, 30, 31)


def psnrs(frames: np.ndarray, **options: Any) -> np.ndarray:
    """Return the PSNR of each decoded frame, then the bits per pixel of the file."""
    coded = io.BytesIO()
    dfc.encode(frames, coded, refine=0, **options)
    decoded = np.stack([picture.rgb for picture in dfc.decode(coded.getvalue())])
    error = np.mean(((frames.astype(np.float32) - decoded) / 255) ** 2, axis=(1, 2, 3))
    return np.append(-10 * np.log10(np.maximum(error, 1e-9)), len(coded.getvalue()) * 8 / (frames.size / 3))


def main() -> None:
    parser = argparse.ArgumentParser(description="PSNR where clips meet.")
    parser.add_argument("--budget", default="8")
    parser.add_argument("--fill", default="motion")
    parser.add_argument("--clips", type=int, help="only the first so many")
    parser.add_argument("--no-json", action="store_true", help="leave results/seams.json alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("mini", device="cpu")
    rows: dict[str, dict[str, Any]] = {}
    at = np.arange(LONG) % 32
    for path in itertools.islice(sorted(EVAL.glob("*.mp4")), args.clips):
        found = psnrs(cropped(path, SIDE, LONG), budget=args.budget, fill=args.fill, model=model)
        by_place = [round(float(found[:LONG][at == place].mean()), 3) for place in range(32)]
        ends = np.isin(at, ENDS)
        row = {"ends": found[:LONG][ends].mean(), "between": found[:LONG][~ends].mean(), "bpp": found[LONG]}
        rows[path.stem] = {key: round(float(value), 4) for key, value in row.items()} | {"by_place": by_place}
        print(f"{path.stem}: {row['ends']:.2f} dB at the ends, {row['between']:.2f} between", flush=True)
    means = {key: np.mean([row[key] for row in rows.values()]) for key in ("ends", "between", "bpp")}
    worst = min(row["ends"] - row["between"] for row in rows.values())
    head = ("kept of 32", "fill", "first and last two frames", "others", "difference", "worst video", "bits/pixel")
    cells = (f"{means['ends']:.2f} dB", f"{means['between']:.2f} dB", f"{means['ends'] - means['between']:+.2f} dB")
    print(table(head, [(args.budget, args.fill, *cells, f"{worst:+.2f} dB", f"{means['bpp']:.4f}")]))
    places = np.mean([row["by_place"] for row in rows.values()], axis=0)
    print("by place in the clip: " + " ".join(f"{value:.1f}" for value in places))
    if not args.no_json:
        write_json("seams", {"budget": args.budget, "fill": args.fill, "rows": rows})


if __name__ == "__main__":
    main()
