"""Bytes and clips per second of training data: latents in `.dfc` and in other files, and pixels.

    python -m benchmarks.speed.training_data [--clips 200] [--seconds 3]        15 minutes

A clip is 32 frames of 256×256 pixels of the training footage, in a file of its own; its latents are those of 8 kept
frames, read as bfloat16 with their positions. Pixels are the 32 frames of an x264 file (crf 23) as RGB bytes. Rates are
clips per second of CPU time of one process with one thread, in random order, from the page cache. The first epoch reads
every clip once after the files were evicted from the page cache, in wall-clock time, with opening the dataset.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from safetensors.torch import load_file, save_file

import dfccodec as dfc
from benchmarks.clips import EVAL, table, write_json
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.data import LatentDataset, pack_folder
from dfccodec.media.input.read_frames import read_scaled

TRAIN = EVAL.parent / "train"
FRAMES, SIDE, KEPT, QP = 32, 256, 8, 24
CODINGS = ("inter", "range", "zstd")

Read = Callable[[int], object]


@dataclass(frozen=True)
class Format:
    """A way to store clips: its files, and a function that opens them and returns a reader of one clip."""

    name: str
    files: list[Path]
    open: Callable[[], Read]
    snr: float | None = None


def footage(count: int) -> Iterator[np.ndarray]:
    """Yield clips (32, 256, 256, 3) uint8, two of each video, until there are `count`."""
    for path in sorted(TRAIN.glob("*.mp4")):
        frames = np.stack(read_scaled(path, SIDE, max_frames=2 * FRAMES))
        y, x = (frames.shape[1] - SIDE) // 2, (frames.shape[2] - SIDE) // 2
        for begin in (0, FRAMES):
            clip = frames[begin : begin + FRAMES, y : y + SIDE, x : x + SIDE]
            if len(clip) == FRAMES and count > 0:
                count -= 1
                yield np.ascontiguousarray(clip)


def write_pixels(path: Path, clip: np.ndarray) -> None:
    """Write a clip as x264 with medium settings."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "23", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def read_pixels(path: Path) -> torch.Tensor:
    """Read all frames, (32, 256, 256, 3) uint8, with one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return torch.from_numpy(np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]))


def read_npz(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Read float16 latents as bfloat16, which NumPy does not have, and positions."""
    with np.load(path) as file:
        return torch.from_numpy(file["latents"]).to(torch.bfloat16), torch.from_numpy(file["positions"])


def energy(exact: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Mean energy of latents and of their error, (2,)."""
    return np.array([np.square(part, dtype=np.float64).mean() for part in (exact, exact - stored)])


def write_clip(folder: Path, number: int, clip: np.ndarray, loaded: LoadedModel) -> dict[str, np.ndarray]:
    """Write a clip in every format; return the energies of latents and of their error by precision."""
    write_pixels(folder / "mp4" / f"{number:04d}.mp4", clip)
    energies: dict[str, np.ndarray] = {}
    for qp, codings in ((QP, CODINGS), (12, ("zstd",))):
        for coding in codings:
            path = folder / f"{coding}-{qp}" / f"{number:04d}.dfc"
            dfc.encode(clip, path, budget=KEPT, qp=qp, preset="latents", coding=coding, model=loaded)
        with dfc.open(path) as file:
            kept, coded = file[0].kept_indices, file[0].dequantized()
        exact = loaded.encode(clip, qp, KEPT)[0][kept].astype(np.float32)
        energies[f"QP {qp}"] = energy(exact, coded.reshape(exact.shape))
        if qp == QP:
            latents, positions = exact, kept
    tensors = {"latents": torch.from_numpy(latents).to(torch.bfloat16), "positions": torch.from_numpy(positions)}
    arrays: dict[str, Any] = {"latents": latents.astype(np.float16), "positions": positions}
    energies["bfloat16"] = energy(latents, tensors["latents"].float().numpy())
    energies["float16"] = energy(latents, arrays["latents"].astype(np.float32))
    np.savez(folder / "npz" / f"{number:04d}.npz", **arrays)
    np.savez_compressed(folder / "npz-compressed" / f"{number:04d}.npz", **arrays)
    torch.save(tensors, folder / "pt" / f"{number:04d}.pt")
    save_file(tensors, folder / "safetensors" / f"{number:04d}.safetensors")
    return energies


def formats(folder: Path, snr: dict[str, float]) -> list[Format]:
    """Return all formats of the clips in a folder."""

    def each(name: str, where: str, read: Callable[[Path], object], error: float | None = None) -> Format:
        files = sorted((folder / where).iterdir())
        return Format(name, files, lambda: lambda number: read(files[number]), error)

    def latents(name: str, where: str, dtype: torch.dtype, error: float) -> Format:
        files = sorted((folder / where).iterdir())
        return Format(name, files, lambda: LatentDataset(folder / where, dtype=dtype).__getitem__, error)

    return [
        each("pixels, x264", "mp4", read_pixels),
        each("`.npz`, float16", "npz", read_npz, snr["float16"]),
        each("`.npz`, float16, compressed", "npz-compressed", read_npz, snr["float16"]),
        each("`.pt`, bfloat16", "pt", lambda path: torch.load(path, weights_only=True), snr["bfloat16"]),
        each("safetensors, bfloat16", "safetensors", load_file, snr["bfloat16"]),
        *(latents(f"`.dfc`, {coding}", f"{coding}-{QP}", torch.bfloat16, snr[f"QP {QP}"]) for coding in CODINGS),
        latents("`.dfc`, zstd, as int8", f"zstd-{QP}", torch.int8, snr[f"QP {QP}"]),
        latents("`.dfc`, zstd, in shards", "shards", torch.bfloat16, snr[f"QP {QP}"]),
        latents("`.dfc`, zstd, QP 12", "zstd-12", torch.bfloat16, snr["QP 12"]),
    ]


def rate(found: Format, count: int, seconds: float) -> float:
    """Return clips per second of CPU time, read in random order."""
    read, rng, done = found.open(), np.random.default_rng(0), 0
    read(0)
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        read(int(rng.integers(count)))
        done += 1
    return done / (time.process_time() - begin)


def first_epoch(found: Format, count: int) -> float:
    """Return clips per second of the first epoch after the files were evicted from the page cache."""
    for path in found.files:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    begin = time.perf_counter()
    read = found.open()
    for number in np.random.default_rng(1).permutation(count):
        read(int(number))
    return count / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded, rows, count = dfc.load_model(dtype="float32"), [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("mp4", "npz", "npz-compressed", "pt", "safetensors", "zstd-12", *(f"{c}-{QP}" for c in CODINGS)):
            (folder / part).mkdir()
        energies: list[dict[str, np.ndarray]] = []
        for clip in footage(options.clips):
            energies.append(write_clip(folder, count, clip, loaded))
            count += 1
        pack_folder(folder / f"zstd-{QP}", folder / "shards")
        means = {name: np.mean([clip[name] for clip in energies], axis=0) for name in energies[0]}
        snr = {name: float(10 * np.log10(signal / error)) for name, (signal, error) in means.items()}
        every = formats(folder, snr)
        rates: dict[str, list[float]] = {one.name: [] for one in every}
        for _ in range(3):  # in turn, because other programs disturb
            for one in every:
                rates[one.name].append(rate(one, count, options.seconds / 3))
        for one in every:
            size = sum(path.stat().st_size for path in one.files if path.suffix != ".json") / count
            cold = max(first_epoch(one, count) for _ in range(2))
            rows.append({"name": one.name, "bytes": size, "rate": max(rates[one.name]), "cold": cold, "snr": one.snr})
    record = {"clips": count, "rows": rows}
    write_json("training_data", record)
    print(report(record))


def report(record: dict[str, Any]) -> str:
    """The table of docs/latents.md."""
    pixels = record["rows"][0]
    rows = [
        (
            row["name"],
            f"{row['bytes'] / 1000:.1f}",
            f"{row['rate']:.0f}",
            f"{row['rate'] / pixels['rate']:.0f} ×",
            f"{row['cold']:.0f}",
            "" if row["snr"] is None else f"{row['snr']:.0f} dB",
        )
        for row in record["rows"]
    ]
    head = ("file", "kB a clip", "clips/s, one core", "of pixels", "first epoch, clips/s", "SNR of latents")
    return f"{record['clips']} clips:\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
