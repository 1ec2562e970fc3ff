"""Rate–distortion at 960×540, 1280×720 and near them: dfc over QP and kept frames, compared with x264 and x265.

    python -m benchmarks.quality.large                       missing measurements, then the table (90 minutes)
    python -m benchmarks.quality.large --clips bunny,leap    some clips only; does not change the repository's result
    python -m benchmarks.quality.large --encode fill=hold    with other arguments of dfc.encode than the defaults

The clips are those of `benchmarks/large_clips.py`, which says how to get them. Bits, metrics and BD-rates are those of
`rd.py`. Measurements are cached in `runs/large_rows.json` for one version of the package's code.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clips import table, weights_id, write_json
from benchmarks.large_clips import FOLDER, Source, large_clips
from benchmarks.quality.anchors import ANCHORS, versions
from benchmarks.quality.rd import ROOT, Cache, Row, Yardstick, measure_anchor, measure_dfc, once, source_hash
from benchmarks.report.rd_report import METRICS, bd_of, ratios
from dfccodec.codec.api import load_model
from dfccodec.metrics.lpips import load_lpips
from dfccodec.runtime.resources import available_cpus

GRID = {16: (16, 24, 32, 40), 8: (16, 22, 28, 34, 40), 4: (28, 34, 40)}
"""QPs for each number of kept frames."""

CODECS = ("x264", "x265", "dfc")
Results = dict[str, dict[str, dict[str, Row]]]


def measure(args: argparse.Namespace, cache: Cache) -> tuple[Results, dict[str, Source]]:
    """Measure missing points clip by clip. Returns codec -> clip -> point -> row, and the clips."""
    loaded = load_model("mini")
    network = load_lpips() if "lpips" in args.metrics else None
    setting = ", ".join([f"{k} {v}" for k, v in args.encode.items()] or ["defaults"])
    opened = {"dfc": cache.open("dfc", setting, f"mini {weights_id(loaded)}, code {source_hash()}")}
    opened |= {n: cache.open(n, ANCHORS[n].setting(), versions(ANCHORS[n])) for n in CODECS if n != "dfc"}
    found: Results = {codec: {} for codec in CODECS}
    sources, begun = {}, time.perf_counter()
    for source, frames in large_clips(args.folder):
        if args.clips and source.name not in args.clips:
            continue
        sources[source.name] = source
        key = f"{source.name} {hashlib.sha256(frames.tobytes()).hexdigest()[:12]}"
        ruler = once(partial(Yardstick, np.ascontiguousarray(frames), args.metrics, network))
        for codec, rows in opened.items():
            points = rows.setdefault(key, {})
            if codec == "dfc":
                measure_dfc(points, frames, loaded, args.encode, args, ruler)
            else:
                measure_anchor(points, frames, ANCHORS[codec], args.metrics, ruler)
            found[codec][key] = points
            cache.save()
        print(f"{time.perf_counter() - begun:6.0f} s  {source.name}", flush=True)
    return found, sources


def summary(found: Results, sources: dict[str, Source], metrics: list[str]) -> dict[str, Any]:
    """Return BD-rates over x264 of dfc, of dfc at 8 kept frames and of x265, with the clips."""
    curves = {name: {m: bd_of(name, found, m) for m in metrics} for name in ("dfc", "dfc-8", "x265")}
    shown = {name: {"size": list(s.size), "about": s.about} for name, s in sources.items()}
    times = ratios("dfc", found) if "psnr" in metrics else []
    return {"clips": shown, "bd_rate_over_x264": curves, "times_x264": [list(t) for t in times]}


def table_of(record: dict[str, Any]) -> str:
    """Return the BD-rates over x264 in percent, a row per clip: dfc, then x265 in RGB-PSNR."""
    curves = record["bd_rate_over_x264"]
    metrics = list(curves["dfc"])
    labels = [METRICS[m].label.split(",")[0].split(" (")[0] for m in metrics]

    def number(value: Any) -> str:
        return f"{value:+.1f}" if isinstance(value, float | int) else "–"

    rows = []
    for name, clip in record["clips"].items():
        cells = [number(curves["dfc"][m]["clips"][name]) for m in metrics]
        other = number(curves["x265"][metrics[0]]["clips"][name])
        rows.append([f"{name}: {clip['about']}", "×".join(map(str, clip["size"])), *cells, other])
    means = [number(curves["dfc"][m]["mean_over_clips"]) for m in metrics]
    rows.append(["**mean**", "", *means, number(curves["x265"][metrics[0]]["mean_over_clips"])])
    means = [number(curves["dfc-8"][m]["mean_over_clips"]) for m in metrics]
    rows.append(["**mean, 8 of 32 kept**", "", *means, ""])
    return table(["BD-rate over x264 medium, %", "size", *labels, f"x265, {labels[0]}"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rate–distortion on larger pictures.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the unpacked packages")
    parser.add_argument("--clips", default="", help="names of clips; all without it")
    parser.add_argument("--metrics", default=",".join(METRICS))
    parser.add_argument("--encode", nargs="*", default=[], metavar="NAME=TEXT", help="other arguments of dfc.encode")
    parser.add_argument("--out", type=Path, help="folder of the cache and the result instead of the repository's")
    args = parser.parse_args()
    args.grid = GRID
    args.clips, args.metrics = ([n for n in text.split(",") if n] for text in (args.clips, args.metrics))
    args.encode = dict(pair.split("=", 1) for pair in args.encode)
    if args.encode and not args.out:
        parser.error("--encode needs --out: the result in the repository is of the defaults")
    torch.set_num_threads(available_cpus())
    record = summary(*measure(args, Cache((args.out or ROOT / "runs") / "large_rows.json")), args.metrics)
    print(table_of(record))
    if not args.clips:
        write_json("large", record, folder=args.out)


if __name__ == "__main__":
    main()
