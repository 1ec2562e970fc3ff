"""Predicted kept frames: what each tool is worth, budgets by trimming, and drift between precisions.

    python -m benchmarks.quality.predicted [--every 2]

Protocol DFC-32, 8 of 32 kept. Rates are whole files; the anchor is x264 medium (results/rd_anchors.json). A tool is
switched off by changing a constant of the encoder. Results go to results/predicted.json.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dfccodec as dfc
from benchmarks.clips import EVAL, RESULTS, dfc32_clips, mse, read_json, table, write_json
from benchmarks.quality.rd import Cache
from dfccodec.codec.api import load_model
from dfccodec.codec.clip import encode as clip_encoder
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.predict import encoder, residual_quantizer
from dfccodec.metrics.bdrate import bd_rate

QPS = (20, 26, 32, 38)
TOOLS: Mapping[str, dict[str, Any]] = {
    "all tools": {},
    "one QP for all kept frames": {"QP_OFFSETS": (0, 0, 0, 0), "INTRA_OFFSET": 0},
    "no decision by cell or integer": {"CELL_LAMBDA": 0.0, "COEFF_LAMBDA": 0.0},
    "no intra frame but the first": {"INTRA_TRIAL_SHARE": math.inf},
    "vectors as dear as of dropped frames": {"MOTION_LAMBDA": 1.0},
    "no direct motion": {"DIRECT_MOTION": False},
    "no choice of inter coding": {"INTER_ERROR": float("inf")},
}
BUDGETS = (6, 4, 2, 1)
MODULES = encoder, clip_encoder, residual_quantizer


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(max(mse(a, b), 1e-10))


def encoded(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, frame_rate=25, **{"budget": "8", **options})
    return out.getvalue()


def decoded(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([picture.rgb for picture in Decoder(io.BytesIO(data), lambda _: loaded)])


def curve(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> list[tuple[float, float]]:
    files = [encoded(frames, loaded, qp=qp, **options) for qp in QPS]
    return [(len(data), psnr(frames, decoded(data, loaded))) for data in files]


def set_constants(values: Mapping[str, Any]) -> None:
    """Set constants of the encoder in the modules that use them."""
    for name, value in values.items():
        for module in MODULES:
            if hasattr(module, name):
                setattr(module, name, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every so many clips")
    parser.add_argument("--only-trim", action="store_true", help="measure trims anew; the rest of the result stays")
    args = parser.parse_args()
    clips = list(dfc32_clips(EVAL))[:: args.every]
    if args.only_trim:
        stored = read_json("predicted")
        stored["trim"] = trimmed(clips, load_model("mini"))
        write_json("predicted", stored)
        print(trim_table(stored["trim"]))
        return
    anchors = Cache(RESULTS / "rd_anchors.json").get("x264")
    assert anchors is not None
    points = {key.split()[0]: [(r["bytes"], r["psnr"]) for r in rows.values()] for key, rows in anchors["rows"].items()}
    loaded, exact = load_model("mini"), load_model("mini", dtype="float32")
    names = {name for changes in TOOLS.values() for name in changes}
    usual = {name: getattr(module, name) for module in MODULES for name in names if hasattr(module, name)}
    rates: dict[str, dict[str, float]] = {}
    for tool, changes in [*TOOLS.items(), ("--coding inter", {})]:
        set_constants(usual | changes)
        options = {"coding": "inter"} if tool == "--coding inter" else {}
        rates[tool] = {
            name: round(bd_rate(points[name], curve(frames, loaded, **options)).percent, 2) for name, frames in clips
        }
        print(f"{tool}: {np.mean([*rates[tool].values()]):+.1f} %", flush=True)
    set_constants(usual)
    budgets, drift = trimmed(clips, loaded), drifted(clips, loaded, exact)
    write_json("predicted", {"qps": QPS, "bd_rate": rates, "trim": budgets, "drift": drift})
    print(table(["tool", "BD-rate over x264, %"], [[t, f"{np.mean([*r.values()]):+.1f}"] for t, r in rates.items()]))
    print(trim_table(budgets))
    print(drift)


def trim_table(budgets: dict[str, list[float]]) -> str:
    """Return the result of `trimmed` as a table."""
    head = ["kept", "trimmed: bytes", "PSNR", "with --search: bytes", "PSNR", "encoded: bytes", "PSNR", "worst loss"]
    return table(head, [[k, *row] for k, row in budgets.items()])


def trimmed(clips: list[tuple[str, np.ndarray]], loaded: LoadedModel) -> dict[str, list[float]]:
    """Means of 8 kept frames at QP 26 trimmed to fewer, without and with a search, and of encodes with that budget:
    bytes, PSNR, three times; then by how many decibels the worst clip with a search is below its encode."""
    rows: dict[str, list[list[float]]] = {}
    for _, frames in clips:
        whole = encoded(frames, loaded, qp=26)
        for budget in BUDGETS:
            plain, searched = io.BytesIO(), io.BytesIO()
            dfc.trim(whole, plain, str(budget))
            dfc.trim(whole, searched, str(budget), search=loaded)
            fresh = encoded(frames, loaded, qp=26, budget=str(budget))
            row: list[float] = []
            for data in (plain.getvalue(), searched.getvalue(), fresh):
                row += [len(data), psnr(frames, decoded(data, loaded))]
            rows.setdefault(str(budget), []).append(row)
    means = {budget: np.mean(found, axis=0).tolist() for budget, found in rows.items()}
    worst = {budget: max(row[5] - row[3] for row in found) for budget, found in rows.items()}
    return {budget: [round(n, 2) for n in (*means[budget], worst[budget])] for budget in rows}


def drifted(clips: list[tuple[str, np.ndarray]], loaded: LoadedModel, exact: LoadedModel) -> dict[str, float]:
    """Differences of pictures decoded in the usual precision from those in float32, in 1/255."""
    means, largest, loss = [], 0, []
    for _, frames in clips:
        data = encoded(frames, loaded, qp=26)
        a, b = decoded(data, loaded), decoded(data, exact)
        difference = np.abs(a.astype(int) - b)
        means.append(difference.mean(axis=(1, 2, 3)).max())
        largest = max(largest, int(difference.max()))
        loss.append(psnr(frames, b) - psnr(frames, a))
    return {
        "mean of the worst frame": round(float(np.max(means)), 3), "largest": largest,
        "PSNR float32 minus bfloat16": round(float(np.mean(loss)), 4),
        "worst PSNR": round(float(np.max(np.abs(loss))), 4),
    }  # fmt: skip


if __name__ == "__main__":
    main()
