"""Report of rd.py: curves, BD-rates, plots, `results/rd.json` and `docs/rd.md`."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clips import CODING, FRAMES, RESULTS, SIDE, table
from benchmarks.quality.anchors import ANCHORS
from dfccodec.metrics.bdrate import BdRate, bd_rate, envelope, pareto_front, pchip

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- written by benchmarks/quality/rd.py -->", "<!-- end of what benchmarks/quality/rd.py writes -->"
REFERENCE = "x264"
RATIO_AT = (26, 28, 30, 32)

Rows = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Clip -> point -> row."""

Curve = list[tuple[float, float]]
"""(bits per pixel, quality), quality higher for better."""


@dataclass(frozen=True)
class Metric:
    """Name and axis of a metric, and its conversion to a quality scale with about uniform perceptual differences."""

    label: str
    quality: Callable[[float], float]
    to_axis: Callable[[float], float] = float
    """Conversion from quality to the value on the axis of the plot."""


METRICS = {
    "psnr": Metric("RGB-PSNR, dB", float),
    "ms_ssim": Metric("MS-SSIM, −10 log₁₀(1 − x), dB", lambda x: -10 * math.log10(max(1 - x, 1e-6))),
    "vmaf": Metric("VMAF (v0.6.1)", float),
    "lpips": Metric("LPIPS (AlexNet, lower is better)", lambda x: -x, lambda q: -q),
}

OWN: dict[str, dict[str, Any]] = {"dfc": {}, "dfc-best": {"preset": "best"}}
"""Curves of dfc: curve -> options of `dfc.encode`."""

LABELS = {
    "dfc": "dfc mini, best QP and kept frames",
    "dfc-best": "the same, --preset best",
    "dfc-32": "dfc mini, all 32 kept",
    "dfc-8": "dfc mini, 8 of 32 kept",
    **{name: anchor.label for name, anchor in ANCHORS.items()},
}
STYLES = {
    "dfc": ("#d62728", "-", "", 2.6),
    "dfc-best": ("#8c1515", "-", "", 1.8),
    "dfc-32": ("#ff9896", "--", "", 1.5),
    "dfc-8": ("#e377c2", ":", "", 1.8),
    "x264": ("#1f77b4", "-", "", 1.5),
    "x264-psnr": ("#1f77b4", ":", "", 1.3),
    "x265": ("#2ca02c", "-", "", 1.5),
    "svtav1": ("#ff7f0e", "-", "", 1.5),
    "vp9": ("#9467bd", "-", "", 1.5),
    "vvenc": ("#555555", "-", "", 1.5),
}


def points_of(name: str, points: Mapping[str, Mapping[str, float]], metric: str) -> dict[str, tuple[float, float]]:
    """Return the points of one clip on a curve: bits per pixel and quality."""
    kept = _kept(name)
    scale, quality = 8 / (FRAMES * SIDE * SIDE), METRICS[metric].quality
    return {
        at: (row["bytes"] * scale, quality(row[metric]))
        for at, row in points.items()
        if metric in row and (kept is None or at.split("@")[0] == kept)
    }


def shape(points: Mapping[str, tuple[float, float]], name: str) -> Curve:
    """Return the useful points of a curve: for dfc, the best over numbers of kept frames; else all non-dominated
    points."""
    if name not in OWN:
        return pareto_front(list(points.values()))
    by_kept: dict[str, Curve] = {}
    for at, point in points.items():
        by_kept.setdefault(at.split("@")[0], []).append(point)
    return envelope(list(by_kept.values()))


def mean_curve(name: str, rows: Rows, metric: str) -> Curve:
    """Return mean bits and mean quality over clips of each setting that all clips have, then apply `shape`."""
    clips = [points_of(name, points, metric) for points in rows.values()]
    common = set.intersection(*(set(c) for c in clips))
    return shape({at: tuple(np.mean([c[at] for c in clips], 0).tolist()) for at in sorted(common)}, name)


def rows_of(name: str, results: Mapping[str, Rows]) -> Rows:
    return results["dfc" if _kept(name) else name]


def _kept(name: str) -> str | None:
    """Return the number of kept frames if a curve of dfc varies only QP; otherwise None."""
    codec, _, kept = name.partition("-")
    return kept if codec == "dfc" and kept.isdecimal() else None


def bd_of(name: str, results: Mapping[str, Rows], metric: str) -> dict[str, Any]:
    """Return the BD-rate against x264 medium: of the mean curves, and the mean over clips."""
    rows, base = rows_of(name, results), results[REFERENCE]
    whole = bd_rate(mean_curve(REFERENCE, base, metric), mean_curve(name, rows, metric))
    clips: dict[str, BdRate] = {}
    for clip, points in rows.items():
        a, b = (shape(points_of(n, p, metric), n) for n, p in ((REFERENCE, base[clip]), (name, points)))
        clips[clip.split()[0]] = bd_rate(a, b)
    good = [bd.percent for bd in clips.values() if not bd.reason]
    return {
        "of_mean_curves": _number(whole.percent),
        "reason": whole.reason,
        "from": _number(whole.low),
        "to": _number(whole.high),
        "mean_over_clips": round(float(np.mean(good)), 1) if good else None,
        "clips_with_overlap": len(good),
        "of_clips": len(clips),
        "clips": {clip: _number(bd.percent) if not bd.reason else bd.reason for clip, bd in clips.items()},
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def bd_table(names: list[str], bd: Mapping[str, Mapping[str, Any]], metrics: list[str]) -> str:
    """Return a table with a row per codec. Cells: mean over clips / of the mean curves, in percent."""

    def cell(record: Mapping[str, Any]) -> str:
        mean, whole = record["mean_over_clips"], record["of_mean_curves"]
        text = " / ".join("none" if v is None else f"{v:+z.0f} %" for v in (mean, whole))
        few = record["clips_with_overlap"] < record["of_clips"]
        return text + (f" ({record['clips_with_overlap']} of {record['of_clips']} clips)" if few else "")

    head = ("BD-rate against x264 medium", *(METRICS[m].label.split(",")[0].split(" (")[0] for m in metrics))
    return table(head, [(LABELS[n], *(cell(bd[n][m]) for m in metrics)) for n in names if n != REFERENCE])


def plot(path: Path, metric: str, curves: Mapping[str, Curve], clips: int) -> None:
    """Plot the mean curves of one metric on white ground, which suits light and dark pages."""
    from matplotlib.figure import Figure  # imported here, so that `update_docs.py` and its test do not need it
    from PIL import Image

    about = METRICS[metric]
    figure = Figure(figsize=(8.6, 4.4), dpi=110, facecolor="white")
    axes = figure.subplots()
    for name, curve in curves.items():
        colour, line, marker, width = STYLES[name]
        bits, quality = zip(*curve, strict=True)
        values = [about.to_axis(q) for q in quality]
        axes.plot(bits, values, line, color=colour, marker=marker, ms=4, lw=width, label=LABELS[name])
    axes.set_xscale("log")
    ticks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    every = [b for curve in curves.values() for b, _ in curve]
    axes.set_xlim(min(every) * 0.9, max(every) * 1.1)
    if metric == "lpips":
        axes.invert_yaxis()
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(about.label)
    axes.set_title(f"DFC-32, mean of {clips} clips, 256×256", fontsize=10, loc="left")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the bytes


def ratios(name: str, results: Mapping[str, Rows]) -> list[tuple[float, int]]:
    """Return the ratio of bits to the reference at each PSNR of RATIO_AT: geometric mean over the clips that both
    reach, and the number of these clips.
    """
    rows, base, out = rows_of(name, results), results[REFERENCE], []
    for target in RATIO_AT:
        logs = []
        for clip, points in rows.items():
            curves = (shape(points_of(n, p, "psnr"), n) for n, p in ((name, points), (REFERENCE, base[clip])))
            bits = [_bits_at(curve, target) for curve in curves]
            if bits[0] and bits[1]:
                logs.append(math.log(bits[0] / bits[1]))
        out.append((math.exp(float(np.mean(logs))) if logs else math.nan, len(logs)))
    return out


def _bits_at(curve: Curve, target: float) -> float | None:
    """Return the bits per pixel at a quality; None if the curve does not reach it."""
    bits, quality = (np.array(v) for v in zip(*sorted(curve, key=lambda p: p[1]), strict=True))
    if len(bits) < 2 or not quality[0] <= target <= quality[-1]:
        return None
    return math.exp(pchip(quality, np.log(bits), np.array([target]))[0])


def ratio_table(names: list[str], results: Mapping[str, Rows]) -> str:
    """Return a table of bits relative to x264 medium at equal PSNR."""
    rows = [(LABELS[n], *(f"{r:.2f} ({c})" for r, c in ratios(n, results))) for n in names if n != REFERENCE]
    head = (f"times the bits of {LABELS[REFERENCE]} (clips that reach it)", *(f"{t} dB" for t in RATIO_AT))
    return table(head, rows)


def points_table(curves: Mapping[str, Curve]) -> str:
    """Return a table of bits per pixel at round PSNRs, from the mean curves; a dash if a curve does not reach it."""
    targets = (24, 26, 28, 30, 32, 34, 36)
    rows = []
    for name, curve in curves.items():
        found = [_bits_at(curve, t) for t in targets]
        cells = ["–" if bits is None else f"{bits:.4f}" for bits in found]
        rows.append((LABELS[name], *cells))
    return table(("bits/pixel at", *(f"{t} dB" for t in targets)), rows)


def report(results: Mapping[str, Rows], weights: str, made_with: dict[str, Any], out: Path | None) -> None:
    """Print the tables; write plots, JSON and, without `out`, the page in docs/."""
    if REFERENCE not in results:
        raise SystemExit(f"no BD-rate without {REFERENCE}: measure it on these clips first")
    names = [n for n in LABELS if n in results or (_kept(n) and "dfc" in results)]
    metrics = []
    for metric in METRICS:
        if lacking := [n for n in names if not _has(results, n, metric)]:
            print(f"{metric} left out: not measured for {', '.join(lacking)}")
        else:
            metrics.append(metric)
    curves = {m: {n: mean_curve(n, rows_of(n, results), m) for n in names} for m in metrics}
    bd = {n: {m: bd_of(n, results, m) for m in metrics} for n in names}
    clips = len(results[REFERENCE])
    figures = out or DOCS / "figures"
    for metric in metrics:
        plot(figures / f"rd_{metric}.png", metric, curves[metric], clips)
    tables = {"bd": bd_table(names, bd, metrics), "why": "", "ratios": "", "points": ""}
    if "psnr" in metrics:
        tables["ratios"] = ratio_table(names, results)
        tables["points"] = points_table(curves["psnr"])
    tables["why"] = "\n".join(
        f"- {LABELS[n]}, {m}: no BD-rate of the mean curves: {bd[n][m]['reason']}."
        for n in names
        for m in metrics
        if bd[n][m]["reason"]
    )
    print("\n" + "\n\n".join(text for text in tables.values() if text))
    values = {
        m: {n: [[round(b, 5), round(METRICS[m].to_axis(q), 4)] for b, q in c] for n, c in by.items()}
        for m, by in curves.items()
    }
    record = {
        "weights": weights,
        "coding": CODING,
        "clips": clips,
        "made_with": made_with,
        "bd_rate_vs_x264": bd,
        "mean_curves": values,
    }
    if "psnr" in metrics:
        record["bits_over_x264"] = {n: dict(zip(map(str, RATIO_AT), ratios(n, results), strict=True)) for n in names}
    (out or RESULTS).mkdir(parents=True, exist_ok=True)
    ((out or RESULTS) / "rd.json").write_text(_compact(record))
    if out is None:
        write_page(DOCS / "rd.md", tables, made_with, metrics)


def _has(results: Mapping[str, Rows], name: str, metric: str) -> bool:
    return all(points_of(name, points, metric) for points in rows_of(name, results).values())


def _compact(record: Any) -> str:
    """Return indented JSON with pairs of numbers on one line."""
    return re.sub(r"\[\s+([-+.e\d]+),\s+([-+.e\d]+)\s+\]", r"[\1, \2]", json.dumps(record, indent=1)) + "\n"


def write_page(path: Path, tables: Mapping[str, str], made_with: Mapping[str, Any], metrics: list[str]) -> None:
    """Write tables and figures between the markers of docs/rd.md."""
    page = path.read_text()
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    figures = "\n\n".join(f"![{METRICS[m].label} over bits per pixel](figures/rd_{m}.png)" for m in metrics)
    made = table(
        ("curve", "settings", "made with"), [(k, f"`{v['setting']}`", v["version"]) for k, v in made_with.items()]
    )
    parts = [text for text in (*tables.values(), figures, made) if text]
    path.write_text(page[:start] + "\n\n" + "\n\n".join(parts) + "\n\n" + page[end:])
