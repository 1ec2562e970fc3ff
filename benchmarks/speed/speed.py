"""Frames per second and peak memory of `mini`, compared with the published architecture in the same run.

    python -m benchmarks.speed.speed [--threads 2] [--rounds 3]       about 8 minutes on two cores
    python -m benchmarks.speed.speed --published-rounds 0             without the published architecture: 5 minutes
    python -m benchmarks.speed.speed --seconds 10,600                 also peak memory for videos of these lengths

Each row is a separate process, so that its peak memory is separate too. Rows alternate, and the best round of each row
counts, because other programs can only make it slower. "File" is the complete `dfc.encode` or `Decoder`, entropy coding
included, from and to arrays in memory. "Network" is the time inside the model; with motion, an encode includes a
decode. A clip is coded once before the measurement. The published architecture has random weights, which do not affect
its speed. It takes only 256×256 pixels, and is measured without warm-up, because one pass takes a minute.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, FRAMES, table, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import ModelId
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.runtime.device import pick_dtype
from dfccodec.runtime.resources import available_cpus

SIZES = ((256, 256), (1280, 720))
PUBLISHED = "dfc-170m"
CLIP = "sam2_dog.mp4"
QP, BUDGET = 24, "8"
MOTION, DEFAULTS = " and motion", " by default"
"""Encoder parts of a row in addition to the network: motion, or motion and refinement, the default of `dfc encode`."""

Case = tuple[str, str, int, int]
"""Model, precision, width, height."""


class Timed(LoadedModel):
    """A model that measures the seconds spent inside it."""

    spent = 0.0

    def encode(self, tile: np.ndarray, qp: int, keep: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        begun = perf_counter()
        out = super().encode(tile, qp, keep)
        Timed.spent += perf_counter() - begun
        return out

    def decode(self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int) -> np.ndarray:
        begun = perf_counter()
        out = super().decode(slots, known, height, width, qp)
        Timed.spent += perf_counter() - begun
        return out

    def decode_frames(
        self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int,
        on_frame: Callable[[int, np.ndarray], None], wanted: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        def give(number: int, picture: np.ndarray) -> None:
            start = perf_counter()
            on_frame(number, picture)
            Timed.spent -= perf_counter() - start  # the callback is not part of the network

        begun = perf_counter()
        super().decode_frames(slots, known, height, width, qp, give, wanted)
        Timed.spent += perf_counter() - begun


def ready(model: str, dtype: str) -> Timed:
    """Return the model; the published model has random weights."""
    if model != PUBLISHED:
        found = load_model(model, device="cpu", dtype=dtype)
        return Timed(found.model, found.identity, found.device, found.dtype)
    from dfccodec.models.config import PUBLISHED_VAE
    from dfccodec.models.vae import VideoVAE
    from dfccodec.models.video_vae_adapter import VideoVAEAdapter

    torch.manual_seed(0)
    codec = VideoVAEAdapter(VideoVAE(PUBLISHED_VAE))
    device = torch.device("cpu")
    return Timed(codec, ModelId(model, bytes(32), codec.config_json), device, pick_dtype(dtype, device))


def footage(width: int, height: int, count: int = FRAMES, clip: str = CLIP) -> np.ndarray:
    """Return the beginning of a real clip, scaled to cover the size and cropped, (count, height, width, 3) uint8."""
    frames = np.stack(read_scaled(EVAL / clip, min(width, height), max_frames=count))
    y, x = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    if min(y, x) < 0:
        raise SystemExit(f"{clip} does not cover {width}×{height}")
    return np.ascontiguousarray(frames[:, y : y + height, x : x + width])


def peak() -> float:
    """Return the peak resident memory of this process in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6  # bytes on macOS, KiB elsewhere


def options_of(job: dict[str, Any]) -> dict[str, Any]:
    """Return options of dfc.encode. Rows of a model alone have no motion and no refinement."""
    if job["model"].endswith(DEFAULTS):
        return {}
    return {"fill": "motion" if job["model"].endswith(MOTION) else "token", "refine": 0}


def timed(work: Any) -> dict[str, float]:
    """Return the seconds of one call: in total, and inside the network."""
    Timed.spent, begun = 0.0, perf_counter()
    work()
    return {"file": perf_counter() - begun, "network": Timed.spent}


def child(job: dict[str, Any]) -> dict[str, Any]:
    """Measure one row in this process: encode or decode, once for warm-up and once timed."""
    torch.set_num_threads(job["threads"])
    options = options_of(job)
    loaded = ready(job["model"].removesuffix(MOTION).removesuffix(DEFAULTS), job["dtype"])
    frames, path, rest = footage(job["width"], job["height"]), Path(job["path"]), peak()
    if "seconds" in job:
        return {"rest": rest, "long": long_peak(loaded, frames, job, path)}

    def encode() -> None:
        coded = io.BytesIO()
        dfc.encode(frames, coded, budget=BUDGET, qp=QP, model=loaded, **options)
        path.write_bytes(coded.getvalue())

    def decode() -> None:
        for _ in Decoder(io.BytesIO(path.read_bytes()), lambda _: loaded):
            pass

    work = encode if job["stage"] == "encode" else decode
    if job["warm"]:
        work()
    return {**timed(work), "rest": rest, "peak": peak(), "frames": len(frames)}


def long_peak(loaded: LoadedModel, frames: np.ndarray, job: dict[str, Any], path: Path) -> float:
    """Return the peak memory while a clip, repeated forwards and backwards, is coded through a file on disk."""

    def many() -> Iterator[np.ndarray]:
        for number in range(job["seconds"] * 25):
            at = number % (2 * len(frames))
            yield frames[min(at, 2 * len(frames) - 1 - at)]

    if job["stage"] == "encode":
        dfc.encode(many(), path, budget=BUDGET, qp=QP, model=loaded, **options_of(job))
    else:
        with path.open("rb") as stream:
            for _ in Decoder(stream, lambda _: loaded):
                pass
    return peak()


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements of one job (model, threads, file), made by `child` in a separate process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"])}
    command = [sys.executable, "-m", "benchmarks.speed.speed", "--job", json.dumps(job)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def measure(cases: list[Case], args: argparse.Namespace, folder: Path) -> dict[Case, dict[str, dict[str, float]]]:
    """Return minimum seconds and maximum memory of each case and stage; rounds alternate."""
    best: dict[Case, dict[str, dict[str, float]]] = {case: {} for case in cases}
    for number in range(max(args.rounds, args.published_rounds)):
        for case in cases:
            if number >= (args.published_rounds if case[0] == PUBLISHED else args.rounds):
                continue
            for stage in ("encode", "decode"):
                job = job_of(case, stage, args, folder)
                job["warm"] = case[0] != PUBLISHED  # with half a minute per clip, warm-up makes no difference
                found, old = run(job), best[case].get(stage)
                if old:
                    for key in ("file", "network"):
                        found[key] = min(found[key], old[key])
                    found["peak"] = max(found["peak"], old["peak"])
                best[case][stage] = found
                print(f"round {number + 1}: {' '.join(map(str, case))} {stage} {found['file']:.2f} s", file=sys.stderr)
    return best


def job_of(case: Case, stage: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    model, dtype, width, height = case
    path = str(folder / f"{model}-{dtype}-{width}.dfc")
    return {
        "model": model, "dtype": dtype, "width": width, "height": height, "stage": stage, "path": path,
        "threads": args.threads,
    }  # fmt: skip


def speed_rows(best: dict[Case, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for (model, dtype, width, height), stages in best.items():
        row: dict[str, Any] = {"model": model, "dtype": dtype, "size": f"{width}×{height}"}
        for stage, found in stages.items():
            for key in ("file", "network"):
                row[f"{stage}_{key}_fps"] = round(found["frames"] / found[key], 2)
            row[f"{stage}_peak_mb"], row[f"{stage}_rest_mb"] = round(found["peak"]), round(found["rest"])
        other = best.get((PUBLISHED, dtype, width, height))
        if other and model != PUBLISHED:
            for stage, found in stages.items():
                row[f"{stage}_times_published"] = round(other[stage]["network"] / found["network"], 1)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> str:
    def stage(row: dict[str, Any], name: str) -> tuple[str, ...]:
        times = row.get(f"{name}_times_published")
        ratio = f"{times:.0f}×" if times else ("1" if row["model"] == PUBLISHED else "–")
        fps = f"{row[f'{name}_file_fps']:.1f}", f"{row[f'{name}_network_fps']:.1f}"
        return (*fps, ratio, f"{row[f'{name}_peak_mb']} MB")

    head = ["model", "precision", "size"]
    for name in ("encode", "decode"):
        head += [f"{name} file, fps", "network, fps", f"over {PUBLISHED}", "peak memory"]
    return table(head, [(r["model"], r["dtype"], r["size"], *stage(r, "encode"), *stage(r, "decode")) for r in rows])


def long_rows(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Return the peak memory of `mini` by length of a video."""
    rows = []
    for seconds in args.seconds:
        row: dict[str, Any] = {"seconds": seconds}
        for stage in ("encode", "decode"):
            case = ("mini", "auto", *SIZES[0])
            found = run({**job_of(case, stage, args, folder), "seconds": seconds})
            row[f"{stage}_peak_mb"] = round(found["long"])
        rows.append(row)
    return rows


def cases(args: argparse.Namespace) -> list[Case]:
    """Return all rows: bfloat16 if the CPU supports it, the published architecture at its only size."""
    fast = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    dtypes = ("float32", "bfloat16") if fast else ("float32",)
    sizes = SIZES[:1] if args.small else SIZES
    found: list[Case] = [("mini", dtype, *size) for size in sizes for dtype in dtypes]
    found += [("mini" + more, dtypes[-1], *SIZES[0]) for more in (MOTION, DEFAULTS)]
    return found + [(PUBLISHED, dtype, *SIZES[0]) for dtype in dtypes if args.published_rounds]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory.")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--published-rounds", type=int, default=1)
    parser.add_argument("--seconds", default="10", help="lengths of video whose peak memory is asked for, with commas")
    parser.add_argument("--small", action="store_true", help="256×256 only")
    parser.add_argument("--no-json", action="store_true", help="leave results/speed.json alone")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(child(json.loads(args.job))))
        return
    args.seconds = [int(s) for s in args.seconds.split(",") if s]
    with tempfile.TemporaryDirectory() as name:
        rows = speed_rows(measure(cases(args), args, Path(name)))
        lengths = long_rows(args, Path(name))
    about = {"processor": processor(), "threads": args.threads, "torch": torch.__version__, "rounds": args.rounds}
    print(f"{about['processor']}, {args.threads} thread(s), torch {torch.__version__}, best of {args.rounds}")
    print(f"{FRAMES} frames, QP {QP}, {BUDGET} kept\n\n{show(rows)}")
    if lengths:
        head = ("video of 256×256, 25 frames/s", "encode peak", "decode peak")
        cells = [(f"{r['seconds']} s", f"{r['encode_peak_mb']} MB", f"{r['decode_peak_mb']} MB") for r in lengths]
        print("\n" + table(head, cells))
    if not args.no_json:
        write_json("speed", {**about, "rows": rows, "memory": lengths})


def processor() -> str:
    """Return the name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
