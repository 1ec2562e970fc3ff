"""Time of each stage of an encode and a decode, and the time that the network waits for frames.

    python -m benchmarks.speed.pipeline [--height 720] [--clips 2] [--threads 2] [--fill motion]     about 4 minutes

A real clip is scaled to the height, coded by x264 and encoded twice by dfc: with a prefetch thread for the source, and
without. Then the file is decoded into an .mp4. Each stage is timed in its thread; the shares of the stages of one
thread add up to the busy time of that thread, so clips are coded one at a time. "waits" is the time in which the
thread of the network has no frames. Each column of the timeline is a hundredth of the run.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

import numpy as np
import torch

import dfccodec as dfc
from benchmarks.clips import EVAL, table, write_json
from dfccodec.codec import decoder, encoder
from dfccodec.codec.api import load_model
from dfccodec.codec.clip import decode as clip_decode
from dfccodec.codec.clip import encode as clip_encode
from dfccodec.codec.clip import parallel
from dfccodec.codec.clip.frame_buffer import ClipFrameBuffer
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.motion_encoder import MotionSearch
from dfccodec.container.records import Header, Ratio
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_latents, encode_latents
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.media.output.sink import VideoSink
from dfccodec.runtime import prefetch as ahead_module
from dfccodec.runtime.resources import available_cpus

CLIP = "sam2_dog.mp4"
COLUMNS = 100


@dataclass
class Clock:
    """Records spans of work: (stage, begin, end), in seconds from the start."""

    begun: float = field(default_factory=perf_counter)
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    own: threading.local = field(default_factory=threading.local)

    @contextmanager
    def span(self, stage: str) -> Iterator[None]:
        """Time a stage. Nested stages in the same thread are not counted for the outer stage."""
        outer = getattr(self.own, "stage", None)
        self._turn(stage)
        try:
            yield
        finally:
            self._turn(outer)

    def _turn(self, stage: str | None) -> None:
        """Switch the current thread to another stage."""
        now = perf_counter() - self.begun
        if getattr(self.own, "stage", None) is not None:
            self.spans.append((self.own.stage, self.own.since, now))
        self.own.stage, self.own.since = stage, now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a wrapper that records each call of a function as a span."""

        def call(*args: Any, **more: Any) -> Any:
            with self.span(stage):
                return function(*args, **more)

        return call

    def methods(self, kind: type, stage: str, *names: str) -> AbstractContextManager[Any]:
        """Record calls of these methods as spans."""
        new: dict[str, Any] = {name: self.timed(stage, getattr(kind, name)) for name in names}
        patch: AbstractContextManager[Any] = mock.patch.multiple(kind, **new)
        return patch

    def steps(self, stage: str, items: Iterable[Any]) -> Generator[Any, None, None]:
        """Yield items, and record the computation of each item as a span."""
        iterator = iter(items)
        while True:
            with self.span(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item


def source(path: Path, height: int, frames: int) -> tuple[int, int]:
    """Write the clip, forward and back until there are enough frames; returns its size."""
    pictures = read_scaled(EVAL / CLIP, height, max_frames=frames)
    size = pictures[0].shape[1] // 2 * 2, pictures[0].shape[0] // 2 * 2
    with VideoSink(path, Header(*size, Ratio(25, 1), Ratio(1, 25))) as sink:
        for number in range(frames):
            at = number % (2 * len(pictures))
            picture = pictures[min(at, 2 * len(pictures) - 1 - at)][: size[1], : size[0]]
            sink.write(np.ascontiguousarray(picture), number, 1)
    return size


def encode(path: Path, out: Path, loaded: LoadedModel, fill: str, is_ahead: bool) -> Clock:
    """Encode, and time all stages."""
    clock = Clock()

    def batches(*args: Any) -> Generator[Any, None, None]:
        return clock.steps("read", original(*args))

    def handed(items: Iterable[Any], room: int = 1) -> Generator[Any, None, None]:
        made = ahead_module.prefetch(items, room) if is_ahead else (item for item in items)
        return clock.steps("waits", made) if is_ahead else made

    original = encoder._batches
    with (
        mock.patch.multiple(encoder, _batches=batches, prefetch=handed),
        mock.patch.object(parallel, "parallel_clips", return_value=1),
        mock.patch.multiple(
            clip_encode,
            encode_latents=clock.timed("entropy", encode_latents),
        ),
        clock.methods(LoadedModel, "network", "encode", "decode_frames"),
        clock.methods(MotionSearch, "motion", "__init__", "add_frame", "decisions"),
        mock.patch.object(payload, "write", clock.timed("entropy", payload.write)),
        mock.patch.object(Writer, "write_clip", clock.timed("write", Writer.write_clip)),
    ):
        dfc.encode(path, out, model=loaded, fill=fill, refine=0)
    return clock


def decode(path: Path, out: Path, loaded: LoadedModel) -> Clock:
    """Decode into a video, and time all stages."""
    clock = Clock()
    stream = io.BytesIO(path.read_bytes())
    with (
        mock.patch.multiple(
            clip_decode,
            decode_latents=clock.timed("entropy", decode_latents),
        ),
        clock.methods(LoadedModel, "network", "decode_frames"),
        clock.methods(ClipFrameBuffer, "motion", "__init__", "add_frame", "__exit__"),
    ):
        pictures = decoder.Decoder(stream, lambda _: loaded)
        with VideoSink(out, pictures.preamble.header) as sink:
            for picture in pictures:
                with clock.span("write"):
                    sink.write(picture.rgb, picture.pts, picture.duration)
    return clock


def row(name: str, clock: Clock, frames: int) -> dict[str, Any]:
    """Return total seconds, frames per second, and the share of each stage."""
    whole = max(end for _, _, end in clock.spans)
    found: dict[str, float] = {}
    for stage, begin, end in clock.spans:
        found[stage] = found.get(stage, 0.0) + end - begin
    shares = {stage: round(spent / whole, 4) for stage, spent in found.items()}
    return {"run": name, "seconds": round(whole, 2), "fps": round(frames / whole, 2), "shares": shares}


def timeline(clock: Clock) -> str:
    """Return a line per stage that shows when it was active."""
    whole = max(end for _, _, end in clock.spans)
    lines = []
    for stage in dict.fromkeys(stage for stage, _, _ in clock.spans):
        line = [" "] * COLUMNS
        for _, begin, end in (span for span in clock.spans if span[0] == stage):
            first, last = (int(moment / whole * (COLUMNS - 1)) for moment in (begin, end))
            if end - begin > whole / COLUMNS / 4:
                line[first : last + 1] = "█" * (last + 1 - first)
        lines.append(f"{stage:>8} {''.join(line)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the time goes.")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--clips", type=int, default=2, help="of 32 frames")
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--fill", default="motion")
    parser.add_argument("--no-json", action="store_true", help="leave results/pipeline.json alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    frames, loaded = args.clips * 32, load_model("mini", device="cpu")
    with tempfile.TemporaryDirectory() as name:
        video, file = Path(name) / "in.mp4", Path(name) / "a.dfc"
        width, height = source(video, args.height, frames)
        encode(video, file, loaded, "token", True)  # to warm up
        runs = [
            ("encode, one after the other", encode(video, file, loaded, args.fill, False)),
            ("encode, read ahead", encode(video, file, loaded, args.fill, True)),
            ("decode into mp4", decode(file, Path(name) / "out.mp4", loaded)),
        ]
    rows = [row(title, clock, frames) for title, clock in runs]
    stages = ("read", "waits", "network", "motion", "entropy", "write")
    head = ("run", "seconds", "frames/s", *stages)
    cells = [
        (r["run"], r["seconds"], r["fps"], *(f"{r['shares'][s]:.1%}" if s in r["shares"] else "–" for s in stages))
        for r in rows
    ]
    print(f"{width}×{height}, {frames} frames, {args.threads} thread(s), fill {args.fill}\n\n{table(head, cells)}")
    for title, clock in runs:
        print(f"\n{title}\n{timeline(clock)}")
    if not args.no_json:
        about = {"size": f"{width}×{height}", "frames": frames, "threads": args.threads, "fill": args.fill}
        write_json("pipeline", {**about, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
