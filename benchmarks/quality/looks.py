"""Looks compared with `faithful`, on the same files: PSNR, LPIPS (AlexNet and VGG-16), flicker.

    python -m benchmarks.quality.looks                                  sharp, all eval clips; results/looks.json
    python -m benchmarks.quality.looks 0.5 a.safetensors --every 4 --out /tmp/x   half of it, and other weights
    python -m benchmarks.quality.looks sharp --pictures /tmp/x --out /tmp/x        and pictures side by side

Files are encoded once, with default settings, and stored in `--files` with their measurements. All looks show the same
bytes, so figures of one QP are at equal bits.

PSNR uses all 32 frames. LPIPS with AlexNet uses every third frame from the second one, as in rd.py; LPIPS with VGG-16,
which is twenty times slower, uses every sixth. Flicker is LPIPS (AlexNet) between source and decoded frame differences:
from every third frame to the next one, halved and shifted to mid-grey.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, RESULTS, dfc32_clips, table, weights_id, write_json
from benchmarks.quality.rd import ROOT, SAMPLED, Cache, Row, source_hash
from benchmarks.report.rd_report import REFERENCE, points_of
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.look import MODEL, PictureLook, load_look
from dfccodec.codec.look_strength import FAITHFUL, SHARP
from dfccodec.metrics.bdrate import Points, bd_rate, pareto_front
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.metrics.psnr import psnr
from dfccodec.models import registry
from dfccodec.runtime.resources import available_cpus

KEPT, QPS = 8, (16, 24, 32, 40)
MEASURED = ("psnr", "lpips", "vgg", "flicker")
LOOKED_AT = {"lpips": SAMPLED, "vgg": slice(1, None, 6)}
"""Frames for each network."""

PICTURE_FRAME = 16
"""Frame of a clip for `--pictures`."""


class Yardstick:
    """Metrics against one clip. Values that depend only on the source are computed once."""

    def __init__(self, frames: np.ndarray, networks: Mapping[str, Lpips]) -> None:
        self._frames, self._networks = frames, networks
        self._truth = self._features(frames)

    def __call__(self, back: np.ndarray) -> Row:
        row = {"psnr": round(psnr(self._frames, back), 4)}
        with torch.inference_mode():
            for name, features in self._features(back).items():
                network = self._networks["vgg" if name == "vgg" else "lpips"]
                row[name] = round(float(network.distance(self._truth[name], features).mean()), 5)
        return row

    @torch.inference_mode()
    def _features(self, frames: np.ndarray) -> dict[str, list[torch.Tensor]]:
        found = {name: net.features(_planes(frames[LOOKED_AT[name]])) for name, net in self._networks.items()}
        return {**found, "flicker": self._networks["lpips"].features(_changes(frames))}


def _planes(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()


def _changes(frames: np.ndarray) -> torch.Tensor:
    """Return differences from sampled frames to the next ones, halved and shifted to mid-grey."""
    at = np.arange(len(frames))[SAMPLED]
    at = at[at + 1 < len(frames)]
    return 0.5 + (_planes(frames[at + 1]) - _planes(frames[at])) / 2


def coded(path: Path, frames: np.ndarray, qp: int, loaded: LoadedModel) -> bytes:
    """Return the file of a clip with default settings; encode it if it is missing."""
    if not path.exists():
        dfc.encode(frames, path, budget=str(KEPT), qp=qp, model=loaded, frame_rate=25)
    return path.read_bytes()


def decoded(data: bytes, loaded: LoadedModel, look: PictureLook | None) -> np.ndarray:
    """Decode a file and show it with a look, (T, H, W, 3) uint8."""
    return np.stack([picture.rgb for picture in Decoder(io.BytesIO(data), lambda _: loaded, look=look)])


def load(text: str) -> tuple[str, PictureLook | None]:
    """A look of the command line, `sharp`, a strength or a file of weights, and the identity of its weights."""
    file = text if text.endswith(".safetensors") else MODEL
    fingerprint = registry.load_look(file)[1].fingerprint.hex()[:16]
    return fingerprint, load_look(SHARP if file == text else text, file)


def measure(
    args: argparse.Namespace, loaded: LoadedModel, decoders: Mapping[str, tuple[str, PictureLook | None]], cache: Cache
) -> dict[str, dict[str, dict[str, Row]]]:
    """Return look -> clip -> point -> row for the selected clips."""
    networks = {"lpips": load_lpips(), "vgg": load_lpips(net="vgg")}
    folder = args.files / f"{weights_id(loaded)}-{source_hash()}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        name: cache.open(f"{name} {weights}", f"{KEPT} kept of {FRAMES}", source_hash())
        for name, (weights, _) in decoders.items()
    }
    found: dict[str, dict[str, dict[str, Row]]] = {name: {} for name in decoders}
    for number, (name, frames) in enumerate(dfc32_clips(EVAL)):
        if number % args.every != args.first:
            continue
        clip = f"{name} {hashlib.sha256(frames.tobytes()).hexdigest()[:12]}"
        yardstick = None
        for qp in args.qps:
            data, at, pictures = coded(folder / f"{name}-{qp}.dfc", frames, qp, loaded), f"{KEPT}@{qp}", []
            for look, (_, shown) in decoders.items():
                points = rows[look].setdefault(clip, {})
                if at not in points or args.pictures:
                    pictures.append(back := decoded(data, loaded, shown))
                    if at not in points:
                        yardstick = yardstick or Yardstick(frames, networks)
                        points[at] = {"bytes": len(data), **yardstick(back)}
            if args.pictures:
                show(args.pictures / f"{name}-{qp}.png", [*pictures, frames])
        for look in decoders:
            found[look][clip] = {f"{KEPT}@{qp}": rows[look][clip][f"{KEPT}@{qp}"] for qp in args.qps}
        cache.save()
        print(name, {look: found[look][clip] for look in decoders}, flush=True)
    return found


def show(path: Path, videos: list[np.ndarray]) -> None:
    """Save one frame of each video side by side, and below with five times the contrast."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.concatenate([video[PICTURE_FRAME] for video in videos], axis=1)
    middle = np.median(videos[-1][PICTURE_FRAME], axis=(0, 1))
    strong = ((row - middle) * 5 + 128).clip(0, 255).astype(np.uint8)
    Image.fromarray(np.concatenate([row, strong])).save(path)


def lines(found: Mapping[str, Mapping[str, Mapping[str, Row]]], qps: list[int]) -> Iterator[tuple[Any, ...]]:
    """Yield means over clips for each QP and look; each figure with its ratio to the faithful one."""
    for qp in qps:
        means = {
            look: {key: float(np.mean([points[f"{KEPT}@{qp}"][key] for points in clips.values()])) for key in MEASURED}
            for look, clips in found.items()
        }
        for look, mean in means.items():
            base = means[FAITHFUL]
            ratios = (f"{mean[key]:.4f} (×{mean[key] / base[key]:.3f})" for key in MEASURED[1:])
            yield qp, look, f"{mean['psnr']:.2f} ({mean['psnr'] - base['psnr']:+.2f})", *ratios


def report(record: Mapping[str, Any]) -> str:
    """Table of a result, and the BD-rates below it."""
    bd = record["bd_rate_vs_x264"]
    rates = (f"{look} {row['mean_over_clips']:+.1f} %" for look, row in bd.items())
    worse = [
        f"{clip} {point.partition('@')[2]} (×{row['lpips'] / record['rows'][FAITHFUL][clip][point]['lpips']:.2f})"
        for clip, points in record["rows"].get(SHARP, {}).items()
        for point, row in points.items()
        if row["lpips"] > record["rows"][FAITHFUL][clip][point]["lpips"]
    ]
    head = table(("QP", "look", "PSNR", "LPIPS", "LPIPS-VGG", "flicker"), list(lines(record["rows"], record["qps"])))
    return (
        f"{head}\n\nBits over x264 medium at equal LPIPS (AlexNet), mean of clips: {', '.join(rates)}. "
        f"Clips and QPs with a higher LPIPS than the decoded pictures: {', '.join(worse) or 'none'}."
    )


def against_x264(clips: Mapping[str, Mapping[str, Row]]) -> dict[str, Any]:
    """Return the BD-rate by LPIPS against x264 medium: of each clip, their mean, and of the mean curves."""
    rows = (Cache(RESULTS / "rd_anchors.json").get(REFERENCE) or {"rows": {}})["rows"]
    base = {clip: points_of(REFERENCE, rows[clip], "lpips") for clip in clips if clip in rows}
    own = {clip: points_of(f"dfc-{KEPT}", clips[clip], "lpips") for clip in base}
    each = {c: bd_rate(pareto_front(list(base[c].values())), pareto_front(list(own[c].values()))).percent for c in base}
    whole = bd_rate(_mean_curve(base), _mean_curve(own)).percent
    good = [value for value in each.values() if not np.isnan(value)]
    return {
        "mean_over_clips": round(float(np.mean(good)), 1) if good else None,
        "of_mean_curves": None if np.isnan(whole) else round(whole, 1),
        "clips": {clip.split()[0]: None if np.isnan(value) else round(value, 1) for clip, value in each.items()},
    }


def _mean_curve(clips: Mapping[str, Mapping[str, tuple[float, float]]]) -> Points:
    """Return mean bits and mean quality over clips."""
    points = next(iter(clips.values()), {})
    means = (np.mean([clip[at] for clip in clips.values()], axis=0) for at in points)
    return pareto_front([(float(bits), float(quality)) for bits, quality in means])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Looks beside the decoded pictures, on the same files.")
    parser.add_argument("looks", nargs="*", default=[SHARP], help="sharp, a number from 0 to 1, or a file of weights")
    parser.add_argument("--qps", type=int, nargs="+", default=list(QPS))
    parser.add_argument("--every", type=int, default=1, help="one clip in so many")
    parser.add_argument("--first", type=int, default=0, help="the first of these")
    parser.add_argument("--files", type=Path, default=ROOT / "runs" / "looks", help="for files and what was measured")
    parser.add_argument("--pictures", type=Path, help="folder for decoders and source side by side; not the repository")
    parser.add_argument("--out", type=Path, help="folder for looks.json, instead of the repository's results")
    args = parser.parse_args()
    if args.every != 1 and not args.out:
        parser.error("--every needs --out: results in the repository are of all clips")
    return args


def main() -> None:
    args = parse()
    torch.set_num_threads(available_cpus())
    loaded = load_model("mini")
    decoders = {FAITHFUL: (weights_id(loaded), None), **{text: load(text) for text in args.looks}}
    found = measure(args, loaded, decoders, Cache(args.files / "rows.json"))
    record: dict[str, Any] = {"looks": {look: weights for look, (weights, _) in decoders.items()}}
    record["bd_rate_vs_x264"] = {look: against_x264(clips) for look, clips in found.items()}
    record["rows"] = {
        look: {clip.split()[0]: points for clip, points in clips.items()} for look, clips in found.items()
    }
    record["qps"] = args.qps
    print(report(record))
    write_json("looks", record, folder=args.out or RESULTS)


if __name__ == "__main__":
    main()
