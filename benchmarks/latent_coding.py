"""What the byte arrangement of latents is worth: our coding against others and against order-0 entropy per channel.

    python benchmarks/latent_coding.py [--clips ../shared/clips/eval] [--kept 6]

Integers of `mini`, frames kept uniformly, mean bytes a clip. "order-0" is the entropy of each channel by itself: what
an ideal coder without any context would need, tables not counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard
from clips import EVAL, dfc32_clips, table, uniform, write_json

from dfccodec.codec.api import load_model
from dfccodec.codec.quantizer import quantize
from dfccodec.entropy.latents import encode_latents

QPS = (16, 24, 32)


def zstd(data: bytes, level: int = 19) -> int:
    """Bytes after zstd."""
    return len(zstandard.ZstdCompressor(level=level).compress(data))


def order0(values: np.ndarray) -> float:
    """Bytes at the order-0 entropy of each channel; values (K, tiles, rows, columns, C)."""
    bits = 0.0
    for channel in values.reshape(-1, values.shape[-1]).T:
        _, counts = np.unique(channel, return_counts=True)
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8


def planes(values: np.ndarray) -> bytes:
    """Zigzag and byte planes, channel-major, no prediction."""
    x = np.moveaxis(values, -1, 0).astype(np.int32)
    folded = np.where(x < 0, -2 * x - 1, 2 * x).astype(np.uint16)
    return (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()


CODERS: dict[str, Callable[[np.ndarray], float]] = {
    "order-0 entropy per channel": order0,
    "int16 interleaved (token-major), zstd 19": lambda v: zstd(v.tobytes()),
    "int16 channel-major, zstd 19": lambda v: zstd(np.moveaxis(v, -1, 0).tobytes()),
    "byte planes channel-major, zstd 19": lambda v: zstd(planes(v)),
    "ours (filters, planes), zstd 3": lambda v: len(encode_latents(v, 3)[0]),
    "ours (filters, planes), zstd 12": lambda v: len(encode_latents(v, 12)[0]),
    "ours (filters, planes), zstd 19": lambda v: len(encode_latents(v, 19)[0]),
    "ours (filters, planes), zstd 22": lambda v: len(encode_latents(v, 22)[0]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Byte arrangements of latents.")
    parser.add_argument("--clips", type=Path, default=EVAL)
    parser.add_argument("--kept", type=int, default=6)
    args = parser.parse_args()
    loaded = load_model("mini", dtype="float32")
    sizes: dict[str, dict[int, list[float]]] = {name: {qp: [] for qp in QPS} for name in CODERS}
    for _, frames in dfc32_clips(args.clips):
        for qp in QPS:
            latents, _ = loaded.encode(frames[uniform(args.kept)], qp)
            values = quantize(latents.reshape(args.kept, 1, 16, 16, -1), loaded.model.steps, qp)
            for name, coder in CODERS.items():
                sizes[name][qp].append(coder(values))
    mean = {name: {qp: float(np.mean(v)) for qp, v in by_qp.items()} for name, by_qp in sizes.items()}
    rows = [(name, *(f"{by_qp[qp] / 1000:.1f}" for qp in QPS)) for name, by_qp in mean.items()]
    print(table((f"kB a clip, {args.kept} of 32 kept", *(f"QP {qp}" for qp in QPS)), rows))
    write_json("latent_coding", mean)


if __name__ == "__main__":
    main()
