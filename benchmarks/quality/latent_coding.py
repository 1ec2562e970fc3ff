"""Size and speed of the latent codings, compared with other coders and with entropies.

    python -m benchmarks.quality.latent_coding [--clips ../shared/clips/eval] [--kept 6 8 32]

Latents of `mini` with uniformly kept frames; figures are mean bytes per clip. "order-0" is the entropy of each channel:
the size of an ideal coder without contexts, not counting tables. "range, ideal" is the sum of −log2 p over all symbols
of the range coding: its size without coder overhead. "inter" is the range coding with inter prediction; its encoder
includes motion estimation. Speeds are integers per second of CPU time, on one thread, over all clips: for pictures of
256×256, and for the first eight frames of each clip at 480 lines, all kept, QP 24. In small pictures, a pass has few
integers, so the overhead of function calls dominates.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import zstandard

from benchmarks.clips import EVAL, dfc32_clips, steps_of, table, uniform, write_json
from dfccodec.codec.api import load_model
from dfccodec.codec.clip.quantizer import quantize
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.entropy.inter.coding import decode_inter, encode_inter
from dfccodec.entropy.rans import decode_range, encode_range, ideal_bits
from dfccodec.entropy.zstd_coding import decode_zstd, encode_zstd
from dfccodec.media.input.read_frames import read_scaled

QPS = (16, 24, 32)
KEPT = (6, 8, 32)
LINES = 480


def zstd(data: bytes, level: int = 19) -> int:
    """Return the size after zstd in bytes."""
    return len(zstandard.ZstdCompressor(level=level).compress(data))


def order0(values: np.ndarray) -> float:
    """Return the bytes of values (K, tiles, rows, columns, C) at the order-0 entropy of each channel."""
    bits = 0.0
    for channel in values.reshape(-1, values.shape[-1]).T:
        _, counts = np.unique(channel, return_counts=True)
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def planes(values: np.ndarray) -> bytes:
    """Return zigzag and byte planes, channel-major, without prediction."""
    x = np.moveaxis(values, -1, 0).astype(np.int32)
    folded = np.where(x < 0, -2 * x - 1, 2 * x).astype(np.uint16)
    return (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()


ARRANGEMENTS: dict[str, Callable[[np.ndarray], float]] = {
    "int16 interleaved (token-major), zstd 19": lambda v: zstd(v.tobytes()),
    "int16 channel-major, zstd 19": lambda v: zstd(np.moveaxis(v, -1, 0).tobytes()),
    "byte planes channel-major, zstd 19": lambda v: zstd(planes(v)),
    "ours (filters, planes), zstd 3": lambda v: len(encode_zstd(v, 3)[0]),
    "ours (filters, planes), zstd 12": lambda v: len(encode_zstd(v, 12)[0]),
    "ours (filters, planes), zstd 22": lambda v: len(encode_zstd(v, 22)[0]),
}
"""Measured only for the first number of kept frames, because level 22 is slow."""


class Speeds:
    """CPU seconds and number of integers of the latent codings."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.integers = 0

    def timed(self, name: str, work: Callable[[], Any]) -> Any:
        begun = process_time()
        done = work()
        self.seconds[name] += process_time() - begun
        return done

    def there_and_back(self, values: np.ndarray) -> tuple[int, int, int]:
        """Encode and decode the integers with zstd, range and inter coding, and return the three sizes in bytes.

        Raises:
            RuntimeError: the decoded integers differ.
        """
        shape = values.shape[0], values.shape[1:4], values.shape[4]
        plain, count = self.timed("zstd encode", lambda: encode_zstd(values))
        back = self.timed("zstd decode", lambda: decode_zstd(plain, *shape, count))
        coded = self.timed("range encode", lambda: encode_range(values))
        again = self.timed("range decode", lambda: decode_range(coded, *shape))
        moved = self.timed("inter encode", lambda: encode_inter(values))
        third = self.timed("inter decode", lambda: decode_inter(moved, *shape))
        if not all(np.array_equal(found, values) for found in (back, again, third)):
            raise RuntimeError("what was coded did not come back")
        self.integers += values.size
        return len(plain), len(coded), len(moved)

    def per_second(self) -> dict[str, float]:
        return {name: self.integers / seconds for name, seconds in self.seconds.items()}


class Measured:
    """Bytes of each coder for each (kept, QP), and speeds by picture size."""

    def __init__(self) -> None:
        self.bytes: dict[str, dict[tuple[int, int], list[float]]] = defaultdict(lambda: defaultdict(list))
        self.speeds = {"256×256": Speeds(), f"{LINES} lines": Speeds()}

    def clip(self, values: np.ndarray, kept: int, qp: int) -> None:
        """Measure the latents of one clip."""
        plain, coded, moved = self.speeds["256×256"].there_and_back(values)
        sizes = {
            "order-0 entropy per channel": order0(values), "ours (filters, planes), zstd 19": plain,
            "range": coded, "range, ideal": ideal_bits(values) / 8, "inter": moved,
        }  # fmt: skip
        for name, size in sizes.items():
            self.bytes[name][kept, qp].append(size)

    def report(self, columns: list[tuple[int, int]]) -> dict[str, Any]:
        """Print the tables. Returns the record for JSON."""
        mean = {name: {at: float(np.mean(v)) for at, v in by.items()} for name, by in self.bytes.items()}
        rows = [(name, *(f"{by[at] / 1000:.2f}" if at in by else "" for at in columns)) for name, by in mean.items()]
        base = mean["ours (filters, planes), zstd 19"]
        for name in ("range", "inter"):
            rows.append((f"{name} against zstd 19", *(f"{mean[name][at] / base[at] - 1:+.1%}" for at in columns)))
        print(table(("kB a clip", *(f"{kept} kept, QP {qp}" for kept, qp in columns)), rows))
        speed = {picture: speeds.per_second() for picture, speeds in self.speeds.items()}
        coders = next(iter(speed.values()))
        lines = [(name, *(f"{by[name] / 1e6:.2f}" for by in speed.values())) for name in coders]
        print("\n" + table(("million integers/s", *speed), lines))
        nested: dict[str, dict[str, dict[str, float]]] = {name: defaultdict(dict) for name in mean}
        for name, by in mean.items():
            for (kept, qp), size in by.items():
                nested[name][str(kept)][str(qp)] = size
        return {"bytes": nested, "integers_per_second": speed}


def large(path: Path, loaded: LoadedModel) -> np.ndarray:
    """Integers (8, 1, rows, columns, C) of a clip's first frames at `LINES` lines, QP 24."""
    frames = np.stack(read_scaled(path, LINES, max_frames=8))
    rows, columns = frames.shape[1] // 16, frames.shape[2] // 16
    latents, _ = loaded.encode(np.ascontiguousarray(frames[:, : rows * 16, : columns * 16]), 24)
    return quantize(latents.reshape(len(frames), 1, rows, columns, -1), steps_of(loaded), 24)


def main() -> None:
    parser = argparse.ArgumentParser(description="Codings of latents.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--kept", type=int, nargs="+", default=KEPT)
    args = parser.parse_args()
    loaded = load_model("mini", dtype="float32")
    measured = Measured()
    for path in sorted(args.clips.glob("*.mp4")):
        measured.speeds[f"{LINES} lines"].there_and_back(large(path, loaded))
    for _, frames in dfc32_clips(args.clips):
        for qp in QPS:
            for kept in args.kept:
                latents, _ = loaded.encode(frames[uniform(kept)], qp)
                values = quantize(latents.reshape(kept, 1, 16, 16, -1), steps_of(loaded), qp)
                measured.clip(values, kept, qp)
                for name, coder in ARRANGEMENTS.items() if kept == args.kept[0] else ():
                    measured.bytes[name][kept, qp].append(coder(values))
    write_json("latent_coding", measured.report([(kept, qp) for kept in args.kept for qp in QPS]))


if __name__ == "__main__":
    main()
