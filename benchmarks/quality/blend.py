"""Fill policy `blend` compared with `motion`: bits at equal quality, and CPU time.

    python -m benchmarks.quality.blend [--every 3] [--qps 20 26 32]        about 7 minutes

Default options, 8 of 32 kept frames, protocol DFC-32, every third eval clip. Bits are whole files; BD-rates are per
clip, then averaged. Times are processor seconds per clip of all threads.
"""

from __future__ import annotations

import argparse
import io
import math
from time import process_time
from typing import Any

import numpy as np

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, table, write_json
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.bdrate import bd_rate
from dfccodec.metrics.lpips import load_lpips, lpips

FILLS = ("motion", "blend")


def measure(frames: np.ndarray, loaded: LoadedModel, qp: int, fill: str, network: Any) -> dict[str, float]:
    """Encode and decode one clip (T, H, W, 3) uint8."""
    coded = io.BytesIO()
    begin = process_time()
    dfc.encode(frames, coded, budget="8", qp=qp, fill=fill, model=loaded)
    encoded = process_time()
    back = np.stack([picture.rgb for picture in dfc.decode(coded.getvalue(), model=loaded)])
    decoded = process_time()
    return {
        "bpp": len(coded.getvalue()) * 8 / (FRAMES * SIDE * SIDE),
        "psnr": -10 * math.log10(max(mse(back, frames), 1e-10)),
        "lpips": float(np.mean(lpips(frames[1::3], back[1::3], network))),
        "encode": encoded - begin,
        "decode": decoded - encoded,
    }


def compare(rows: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """BD-rates of `blend` over `motion` in percent, and ratios of CPU time, for one clip."""
    points = {
        metric: [[(row["bpp"], sign * row[metric]) for row in rows[fill]] for fill in FILLS]
        for metric, sign in (("psnr", 1), ("lpips", -1))
    }
    times = {
        name: sum(row[name] for row in rows["motion"]) / sum(row[name] for row in rows["blend"])
        for name in ("encode", "decode")
    }
    return {metric: bd_rate(anchor, test).percent for metric, (anchor, test) in points.items()} | times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--qps", type=int, nargs="+", default=[20, 26, 32])
    options = parser.parse_args()
    loaded, network = dfc.load_model(), load_lpips()
    clips = {}
    for number, (name, frames) in enumerate(dfc32_clips(EVAL)):
        if number % options.every == 1 % options.every:
            rows = {fill: [measure(frames, loaded, qp, fill, network) for qp in options.qps] for fill in FILLS}
            clips[name] = compare(rows)
            print(name, {key: round(value, 2) for key, value in clips[name].items()}, flush=True)
    record = {"kept": 8, "qps": options.qps, "clips": clips}
    write_json("blend", record)
    print(report(record))


def report(record: dict[str, Any]) -> str:
    """The table of docs/encoding.md."""
    found = {key: np.array([clip[key] for clip in record["clips"].values()]) for key in ("psnr", "lpips")}
    speed = {key: [clip[key] for clip in record["clips"].values()] for key in ("encode", "decode")}
    return table(
        (f"`--fill blend` over `motion`, {len(record['clips'])} clips", "mean", "worst", "best"),
        [
            *(
                (f"bits at equal {name}", *(f"{x:+.1f} %" for x in (np.nanmean(v), np.nanmax(v), np.nanmin(v))))
                for name, v in (("RGB-PSNR", found["psnr"]), ("LPIPS", found["lpips"]))
            ),
            *(
                (f"speed of {key} (CPU time)", *(f"{x:.1f}×" for x in (np.median(v), min(v), max(v))))
                for key, v in speed.items()
            ),
        ],
    )


if __name__ == "__main__":
    main()
