"""Peak memory of `dfc encode` and `dfc decode` by length and by picture size of a video.

    python -m benchmarks.speed.memory                                             10 s and 600 s of 640×360: two hours
    python -m benchmarks.speed.memory --rate 10 --fill token --refine 0                      a quarter of that
    python -m benchmarks.speed.memory --seconds 2 --sizes 1920x1080 3840x2160         large pictures

The source is an .mp4 with audio, which repeats a real clip forwards and backwards. Each run is a separate process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import av
import numpy as np

from benchmarks.clips import EVAL, table, write_json
from dfccodec.media.input.read_frames import read_scaled

CLIP = "sam2_dog.mp4"
UNIT = 1024 if sys.platform != "darwin" else 1


def footage(path: Path, width: int, height: int, seconds: int, rate: int) -> None:
    """Write the video."""
    pictures = np.stack(read_scaled(EVAL / CLIP, 288, max_frames=48))
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "20"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound: Any = container.add_stream("aac", rate=48000, layout="stereo")
        noise = np.random.default_rng(0)
        for number in range(seconds * rate):
            at = number % (2 * len(pictures))
            picture = pictures[min(at, 2 * len(pictures) - 1 - at)]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(width, height, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(video.encode(frame))
            heard = noise.normal(0, 999, (1, 2 * 48000 // rate)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(heard, format="s16", layout="stereo")
            samples.sample_rate, samples.pts, samples.time_base = 48000, number * 48000 // rate, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def peak(*arguments: str | Path) -> tuple[float, float]:
    """Return peak memory in MB and seconds of a `dfc` command."""
    begun = perf_counter()
    command = [sys.executable, "-m", "dfccodec", *map(str, arguments), "-q", "-y"]
    with subprocess.Popen(command) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_maxrss * UNIT / 1e6, perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory.")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 600])
    parser.add_argument("--sizes", nargs="+", default=["640x360"])
    parser.add_argument("--rate", type=int, default=25, help="frames per second")
    parser.add_argument("--fill", default="motion")
    parser.add_argument("--refine", default="2")
    parser.add_argument("--name", default="memory", help="of the file under results/; none with an empty one")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        for seconds in args.seconds:
            with tempfile.TemporaryDirectory() as name:
                video, file, back = (Path(name) / part for part in ("in.mp4", "a.dfc", "out.mp4"))
                footage(video, width, height, seconds, args.rate)
                row: dict[str, Any] = {"size": size, "seconds": seconds, "frames": seconds * args.rate}
                options = ("--fill", args.fill, "--refine", args.refine)
                row["encode_mb"], row["encode_s"] = peak("encode", video, "-o", file, *options)
                row["decode_mb"], row["decode_s"] = peak("decode", file, "-o", back)
            rows.append({key: round(value, 1) if isinstance(value, float) else value for key, value in row.items()})
            print(rows[-1], flush=True)
    head = ("size", "video", "encode peak", "of the shortest", "decode peak", "of the shortest")
    first = {row["size"]: row for row in reversed(rows)}

    def cells(row: dict[str, Any]) -> list[str]:
        out = [row["size"], f"{row['seconds']} s"]
        for stage in ("encode_mb", "decode_mb"):
            out += [f"{row[stage]:.0f} MB", f"{row[stage] / first[row['size']][stage] - 1:+.1%}"]
        return out

    print(table(head, [cells(row) for row in rows]))
    if args.name:
        write_json(args.name, {"options": f"--fill {args.fill} --refine {args.refine}", "rows": rows})


if __name__ == "__main__":
    main()
