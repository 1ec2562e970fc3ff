"""Few kept frames of 32: fill policy `generate` beside the other policies and x264.

    python -m benchmarks.quality.regen                       one kept frame, all clips, about 10 minutes
    python -m benchmarks.quality.regen --kept 4 --every 4    does not change the published figures

Protocol DFC-32. With `generate`, a single kept frame is the middle or the most important one, and several are in the
middle of equal parts of the clip; with other policies they are the most important ones. Bits are whole files. LPIPS on
every fourth frame; `mini-regen` was trained with AlexNet and never met VGG-16. `motion, cheaper` has the lowest QP (in
steps of 2) with which its file is not larger than 0.03 bits per pixel. x264 (medium) has the lowest CRF with which its
stream is not.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, SIDE, dfc32_clips, mse, table, write_json
from benchmarks.quality.anchors import ANCHORS, code
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import load_lpips, lpips

FILLS = ("token", "hold", "lerp", "motion", "blend", "generate")
MAX_BYTES = int(0.03 * FRAMES * SIDE * SIDE / 8)
NETWORKS = ("alex", "vgg")
CRFS = range(24, 52)


def figures(name: str, frames: np.ndarray, back: np.ndarray, size: int, networks: dict[str, Any]) -> dict[str, Any]:
    """Size and quality of one decoded clip."""
    row = {"codec": name, "bytes": size, "psnr": -10 * math.log10(max(mse(back, frames), 1e-10))}
    return row | {net: float(np.mean(lpips(frames[1::4], back[1::4], networks[net]))) for net in NETWORKS}


def coded(frames: np.ndarray, loaded: LoadedModel, fill: str, kept: int, qp: int) -> tuple[int, np.ndarray, float]:
    """Encode with `kept` frames and decode: bytes, frames and seconds of decoding."""
    out = io.BytesIO()
    dfc.encode(frames, out, budget=str(kept), qp=qp, fill=fill, model=loaded)
    begin = perf_counter()
    back = np.stack([picture.rgb for picture in dfc.decode(out.getvalue(), model=loaded)])
    return len(out.getvalue()), back, perf_counter() - begin


def under_limit(
    frames: np.ndarray, loaded: LoadedModel, kept: int, qp: int, limit: int = MAX_BYTES
) -> tuple[int, np.ndarray]:
    """Fill policy `motion` at the lowest QP, from `qp` on, whose file is within the limit in bytes."""
    low, high = 0, (62 - qp) // 2
    found: dict[int, tuple[int, np.ndarray]] = {}
    while low < high or low not in found:
        middle = (low + high) // 2
        found[middle] = coded(frames, loaded, "motion", kept, qp + 2 * middle)[:2]
        low, high = (low, middle) if found[middle][0] <= limit else (min(middle + 1, high), high)
    return found[low]


def x264_under_limit(frames: np.ndarray, limit: int = MAX_BYTES) -> tuple[int, np.ndarray]:
    """x264 medium at the lowest CRF whose stream is within the limit in bytes; at the highest CRF if none is."""
    anchor = ANCHORS["x264"]
    low, high = CRFS.start, CRFS.stop - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if code(anchor, frames, middle)[0] <= limit else (middle + 1, high)
    return code(anchor, frames, low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--kept", type=int, default=1)
    parser.add_argument("--qp", type=int, default=24)
    parser.add_argument("--folder", type=Path, default=EVAL)
    given = parser.parse_args()
    loaded, networks = dfc.load_model("mini"), {net: load_lpips(net=net) for net in NETWORKS}
    rows: list[dict[str, Any]] = []
    for name, frames in list(dfc32_clips(given.folder))[:: given.every]:
        for fill in FILLS:
            size, back, seconds = coded(frames, loaded, fill, given.kept, given.qp)
            rows.append({"clip": name, "fps": FRAMES / seconds, **figures(fill, frames, back, size, networks)})
        for label, (size, back) in (
            ("motion, cheaper", under_limit(frames, loaded, given.kept, given.qp)),
            ("x264", x264_under_limit(frames)),
        ):
            rows.append({"clip": name, **figures(label, frames, back, size, networks)})
        print(
            name,
            *(
                f"{r['codec']} {r['bytes']} {r['psnr']:.2f} {r['alex']:.4f} {r['vgg']:.4f};"
                for r in rows
                if r["clip"] == name
            ),
            flush=True,
        )
    print(summary(rows))
    if (given.kept, given.every) == (1, 1):
        write_json("regen", {"qp": given.qp, "rows": rows})


def summary(rows: list[dict[str, Any]]) -> str:
    """Markdown table of means, and how often `generate` has the lower LPIPS."""
    best = {(r["clip"], net): r[net] for r in rows if r["codec"] == "generate" for net in NETWORKS}
    out = []
    for name in dict.fromkeys(r["codec"] for r in rows):
        mine = [r for r in rows if r["codec"] == name]
        means = [float(np.mean([r[key] for r in mine])) for key in ("bytes", "psnr", *NETWORKS)]
        wins = [sum(best[r["clip"], net] < r[net] for r in mine) for net in NETWORKS]
        out.append([name, f"{means[0]:.0f}", f"{means[1]:.2f}", f"{means[2]:.4f}", f"{means[3]:.4f}",
                    "" if name == "generate" else f"{wins[0]}, {wins[1]} of {len(mine)}"])  # fmt: skip
    speed = float(np.median([r["fps"] for r in rows if r["codec"] == "generate"]))
    head = ["", "bytes", "PSNR", "LPIPS (AlexNet)", "LPIPS (VGG-16)", "generate is lower in"]
    return f"{table(head, out)}\n\n`generate` decodes {speed:.0f} frames/s (median)."


if __name__ == "__main__":
    main()
