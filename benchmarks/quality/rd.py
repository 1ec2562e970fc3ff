"""Rate–distortion on protocol DFC-32: dfc over QP and kept frames, compared with x264, x265, SVT-AV1, VP9 and VVenC.

    python -m benchmarks.quality.rd                   missing measurements; then the table, plots and docs/rd.md
    python -m benchmarks.quality.rd --codecs dfc,dfc-best   dfc alone, by default and with `--preset best`
    python -m benchmarks.quality.rd --codecs dfc --full     every fourth QP with every number of frames kept
    python -m benchmarks.quality.rd --codecs ''             no measurements: only table, plots and page
    python -m benchmarks.quality.rd --encode fill=hold      with other arguments of dfc.encode than the defaults
    python -m benchmarks.quality.rd --clips 2 --out /tmp/x  two clips only; does not change the repository's results

Measurements are cached. The cache of the anchors, `results/rd_anchors.json`, is valid for one version and setting of an
encoder. The cache of dfc, `runs/rd_dfc.json`, is valid for one model and one version of the package's code; with
`--out` it is in that folder. An interrupted run can be continued. Measurements with other weights than today's are
ignored.

Bits of dfc are those of complete files; bits of the anchors are those of coded pictures only (see anchors.py). PSNR and
VMAF use all 32 frames, MS-SSIM and LPIPS every third frame from the second one.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, RESULTS, dfc32_clips, weights_id
from benchmarks.quality.anchors import ANCHORS, Anchor, code, versions
from benchmarks.report.rd_report import METRICS, OWN, report
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.metrics.psnr import mse
from dfccodec.metrics.ssim import ms_ssim
from dfccodec.metrics.vmaf import vmaf
from dfccodec.runtime.resources import available_cpus

ROOT = Path(__file__).resolve().parents[2]
SAMPLED = slice(1, None, 3)
"""Frames for MS-SSIM and LPIPS. 3 and 4 have no common factor, so all layers of a hierarchical GOP are sampled
equally."""

GRID = {32: (8, 16, 24, 32, 40, 48), 8: (16, 24, 32, 40), 4: (24, 32, 40)}
FULL_GRID = {kept: tuple(range(8, 49, 4)) for kept in (32, 16, 8, 6, 4, 2, 1)}
"""QPs for each number of kept frames."""

Row = dict[str, float]
"""Bytes and the metrics of one clip at one setting."""


class Yardstick:
    """Metrics against one clip. Values that depend only on the source are computed once."""

    def __init__(self, frames: np.ndarray, metrics: Sequence[str], network: Lpips | None) -> None:
        self._frames, self._metrics, self._network = frames, metrics, network
        if network is not None:
            with torch.inference_mode():
                self._features = network.features(_planes(frames))

    def __call__(self, size: int, back: np.ndarray) -> Row:
        row: Row = {"bytes": size}
        for name in self._metrics:
            row[name] = self._measure(name, back)
        return row

    def _measure(self, name: str, back: np.ndarray) -> float:
        if name == "psnr":
            return round(-10 * math.log10(max(mse(self._frames, back), 1e-10)), 4)
        if name == "ms_ssim":
            return round(ms_ssim(self._frames[SAMPLED], back[SAMPLED]), 6)
        if name == "vmaf":
            return round(vmaf(self._frames, back, available_cpus()), 3)
        assert self._network is not None
        with torch.inference_mode():
            return round(float(self._network.distance(self._features, self._network.features(_planes(back))).mean()), 5)


Ruler = Callable[[], Yardstick]
"""Returns the yardstick of a clip; it is created at the first call."""


def _planes(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames[SAMPLED].astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()


class Cache:
    """Cached rows: codec -> setting, version and rows by clip and point.

    Args:
        path: JSON, written after every clip.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._codecs: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else {}

    def open(self, codec: str, setting: str, version: str) -> dict[str, dict[str, Row]]:
        """Return the rows of a codec by clip and point; none if they were measured with another setting or version."""
        entry = self._codecs.get(codec, {})
        if (entry.get("setting"), entry.get("version")) != (setting, version):
            entry = self._codecs[codec] = {"setting": setting, "version": version, "rows": {}}
        rows: dict[str, dict[str, Row]] = entry["rows"]
        return rows

    def get(self, codec: str) -> dict[str, Any] | None:
        """Return all cached data of a codec, for any setting and version."""
        return self._codecs.get(codec)

    def save(self) -> None:
        """Write the cache, one line per clip, for readable diffs."""
        codecs = []
        for codec, entry in self._codecs.items():
            rows = ",\n".join(f"  {json.dumps(clip)}: {json.dumps(r)}" for clip, r in sorted(entry["rows"].items()))
            head = f' {json.dumps(codec)}: {{"setting": {json.dumps(entry["setting"])},'
            codecs.append(f'{head}\n  "version": {json.dumps(entry["version"])}, "rows": {{\n{rows}}}}}')
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        temporary.write_text("{\n" + ",\n".join(codecs) + "\n}\n")
        temporary.replace(self._path)


def code_dfc(
    frames: np.ndarray, loaded: LoadedModel, qp: int, budgets: Sequence[int], options: Mapping[str, Any]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (kept, bytes, decoded frames) at one QP; each budget is a separate encode."""
    for kept in budgets:
        coded = io.BytesIO()
        dfc.encode(frames, coded, budget=str(kept), qp=qp, model=loaded, frame_rate=25, **options)
        back = np.stack([p.rgb for p in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])
        yield kept, len(coded.getvalue()), back


def source_hash() -> str:
    """Return a hash of the package's code that affects bits and pixels."""
    digest = hashlib.sha256()
    for room in ("codec", "container", "entropy", "models"):
        for path in sorted((ROOT / "dfccodec" / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def measure_dfc(
    rows: dict[str, Row],
    frames: np.ndarray,
    loaded: LoadedModel,
    options: Mapping[str, Any],
    args: argparse.Namespace,
    ruler: Ruler,
) -> None:
    """Measure the missing points of dfc, encoded with `options`."""
    for qp in sorted({qp for qps in args.grid.values() for qp in qps}):
        missing = [k for k, qps in args.grid.items() if qp in qps and _lacks(rows.get(f"{k}@{qp}"), args.metrics)]
        if missing:
            for kept, size, back in code_dfc(frames, loaded, qp, missing, options):
                rows[f"{kept}@{qp}"] = rows.get(f"{kept}@{qp}", {}) | ruler()(size, back)


def measure_anchor(rows: dict[str, Row], frames: np.ndarray, anchor: Anchor, metrics: list[str], ruler: Ruler) -> None:
    """Measure the missing points of an anchor."""
    for point in anchor.points:
        if _lacks(rows.get(str(point)), metrics):
            rows[str(point)] = rows.get(str(point), {}) | ruler()(*code(anchor, frames, point))


def _lacks(row: Row | None, metrics: Sequence[str]) -> bool:
    return row is None or any(name not in row for name in metrics)


def measure(args: argparse.Namespace, anchors: Cache, own: Cache, loaded: LoadedModel) -> list[str]:
    """Measure missing points clip by clip. Returns the names of the clips in the caches."""
    network = load_lpips() if "lpips" in args.metrics else None
    opened = {
        name: (anchors.open(name, ANCHORS[name].setting(), versions(ANCHORS[name])), anchors)
        for name in args.codecs
        if name not in OWN
    }
    options = {name: OWN[name] | args.encode for name in args.codecs if name in OWN}
    precision = str(loaded.dtype).removeprefix("torch.")
    version = f"{loaded.identity.name} {weights_id(loaded)}, code {source_hash()}"
    for name, given in options.items():
        setting = ", ".join([*([f"{k} {v}" for k, v in given.items()] or ["defaults"]), precision])
        opened[name] = (own.open(name, setting, version), own)
    names, begun = [], time.perf_counter()
    for number, (name, frames) in enumerate(dfc32_clips(args.folder)):
        if number == args.clips:
            break
        frames = np.ascontiguousarray(frames)
        clip = f"{name} {hashlib.sha256(frames.tobytes()).hexdigest()[:12]}"
        names.append(clip)
        ruler = once(partial(Yardstick, frames, args.metrics, network))
        for codec, (rows, cache) in opened.items():
            points = rows.setdefault(clip, {})
            before = json.dumps(points)
            if codec in OWN:
                measure_dfc(points, frames, loaded, options[codec], args, ruler)
            else:
                measure_anchor(points, frames, ANCHORS[codec], args.metrics, ruler)
            if json.dumps(points) != before:
                cache.save()
                print(f"{time.perf_counter() - begun:6.0f} s  {name}: {codec}", flush=True)
    return names


def once(make: Ruler) -> Ruler:
    """Return a function that creates the yardstick at its first call: a completely cached clip needs none."""
    made: list[Yardstick] = []

    def get() -> Yardstick:
        if not made:
            made.append(make())
        return made[0]

    return get


def collect(names: list[str], anchors: Cache, own: Cache, weights: str) -> dict[str, dict[str, dict[str, Row]]]:
    """Return codec -> clip -> point -> row, for codecs measured on all these clips; dfc only with `weights`."""
    out = {}
    for codec, cache in (*((name, own) for name in OWN), *((a, anchors) for a in ANCHORS)):
        entry = cache.get(codec)
        if entry is None or any(not entry["rows"].get(name) for name in names):
            print(f"not measured on all clips, left out: {codec}")
        elif cache is own and weights not in entry["version"]:
            print(f"measured with other weights, left out: {codec}")
        else:
            out[codec] = {name: entry["rows"][name] for name in names}
    return out


def _grid(texts: list[str]) -> dict[int, tuple[int, ...]]:
    """Parse `32:24,32 6:24` to QPs for each number of kept frames."""
    pairs = (text.split(":") for text in texts)
    return {int(kept): tuple(int(qp) for qp in qps.split(",")) for kept, qps in pairs}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rate–distortion on protocol DFC-32.")
    parser.add_argument(
        "--codecs", default=",".join([*OWN, *ANCHORS]), help="those to measure: " + ", ".join([*OWN, *ANCHORS])
    )
    parser.add_argument("--metrics", default=",".join(METRICS), help="those to measure: " + ", ".join(METRICS))
    parser.add_argument("--clips", type=int, default=-1, help="the first so many clips only")
    parser.add_argument("--folder", type=Path, default=EVAL)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--encode", nargs="*", default=[], metavar="NAME=TEXT", help="other arguments of dfc.encode")
    parser.add_argument("--full", action="store_true", help="every fourth QP with every number of frames kept")
    parser.add_argument("--grid", nargs="*", metavar="KEPT:QP,QP…", help="points of dfc to measure, as 32:24,32 6:24")
    parser.add_argument("--out", type=Path, help="write results and page here instead of into the repository")
    args = parser.parse_args()
    args.codecs, args.metrics = ([n for n in text.split(",") if n] for text in (args.codecs, args.metrics))
    args.grid = _grid(args.grid) if args.grid else FULL_GRID if args.full else GRID
    args.encode = dict(pair.split("=", 1) for pair in args.encode)
    for given, known in ((args.codecs, [*OWN, *ANCHORS]), (args.metrics, list(METRICS))):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    if (args.clips >= 0 or args.model != "mini" or args.encode) and not args.out:
        parser.error("--clips, --model and --encode need --out: results in the repository are of the defaults")
    return args


def main() -> None:
    args = parse()
    torch.set_num_threads(available_cpus())
    anchors = Cache(RESULTS / "rd_anchors.json")
    own = Cache((args.out or ROOT / "runs") / "rd_dfc.json")
    loaded = load_model(args.model)
    names = measure(args, anchors, own, loaded)
    results = collect(names, anchors, own, weights_id(loaded))
    entries = {codec: own.get(codec) or anchors.get(codec) for codec in results}
    made_with = {c: {"setting": e["setting"], "version": e["version"]} for c, e in entries.items() if e}
    report(results, weights_id(loaded), made_with, args.out)


if __name__ == "__main__":
    main()
