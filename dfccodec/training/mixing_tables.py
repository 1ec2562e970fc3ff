"""Trains the tables of context mixing (SPEC.md 7.11.2) on coded clips.

    python -m dfccodec.training.mixing_tables encode ../shared/clips/train runs/coded
    python -m dfccodec.training.mixing_tables train runs/coded dfccodec/entropy/mixing/mixing.tables

The first command takes a quarter of an hour, the second five minutes. Tables are part of the format: other ones need
another bit of `tools`.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfccodec.codec.api import encode, load_model
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MotionField
from dfccodec.codec.predict.order import read_motion
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy.mixing import latents, motion
from dfccodec.entropy.mixing.tables import (
    LINEAR_CELLS,
    LINEAR_CHANNELS,
    LINEAR_ROWS,
    LINEAR_WEIGHTS,
    Content,
    Tables,
    dump_tables,
    keys_of,
)
from dfccodec.entropy.predicted import decode_detail, divide
from dfccodec.errors import InputError
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.training.data.dataset import VIDEO_SUFFIXES

SIDE, FRAMES, KEPT = 256, 32, "8"
QPS = (16, 24, 32), (20, 28, 36), (18, 26, 34)
"""QPs at which a video is encoded, by its name."""

FIRST_WEIGHT = 20_000
COUNTS = 0, 8, 30
"""Counts in the file: 0 for contexts seen less than three times, 8 for less than 19."""

RIDGE = 3e-4
MAX_CELLS = 1 << 20
"""Cells from which partners are found."""

Shorts = npt.NDArray[np.int16]


@dataclass
class Coded:
    """Everything to learn from: integers (K, rows, columns, channels) of each stream, and motion fields."""

    latents: dict[Content, list[Shorts]]
    motion: dict[Content, list[MotionField]]


def encode_videos(folder: Path, out: Path) -> None:
    """Encode the centre of every video at three QPs; existing files are kept.

    Raises:
        InputError: there is no video.
    """
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if folder.is_dir() else []
    if not videos:
        raise InputError(f"no video in {folder}: give a folder of .mp4, .mkv, .mov or .webm files")
    out.mkdir(parents=True, exist_ok=True)
    model = load_model("mini")
    for path in videos:
        missing = [
            qp for qp in QPS[zlib.crc32(path.stem.encode()) % len(QPS)] if not (out / f"{path.stem}-{qp}.dfc").exists()
        ]
        if missing:
            frames = np.stack(read_scaled(path, SIDE, max_frames=FRAMES))
            y, x = (frames.shape[1] - SIDE) // 2, (frames.shape[2] - SIDE) // 2
            frames = np.ascontiguousarray(frames[:, y : y + SIDE, x : x + SIDE])
        for qp in missing:
            encode(frames, out / f"{path.stem}-{qp}.dfc", budget=KEPT, qp=qp, model=model)


def read_files(folder: Path) -> Coded:
    """Read the clips of coding 3 in the `.dfc` files of a folder, in a fixed order that mixes videos and QPs.

    Raises:
        InputError: there is none.
    """
    out = Coded({c: [] for c in Content}, {c: [] for c in Content})
    for path in sorted(folder.glob("*.dfc"), key=lambda path: zlib.crc32(path.name.encode())):
        with path.open("rb") as stream:
            reader = StreamReader(stream)
            header = reader.preamble.header
            for item in reader:
                if isinstance(item, ClipAt) and item.clip.coding == Coding.PREDICTED and item.clip.kept.any():
                    _add(out, item.clip, header)
    missing = [content.name.lower() for content in Content if not (out.latents[content] or out.motion[content])]
    if missing:
        make = f"make more with python -m {__spec__.name} encode VIDEOS {folder}"
        raise InputError(f"no clip of coding 3 with {', '.join(missing)} in {folder}: {make}")
    return out


def _add(out: Coded, clip: Clip, header: Header) -> None:
    parts = divide(clip)
    for content in (Content.INTRA, Content.RESIDUAL):
        values = parts.decode(content, header.grid)[:, 0]
        if values[:1].any():
            out.latents[content].append(values)
    for detail in filter(None, parts.details):
        out.latents[Content.DETAIL].append(decode_detail(detail, header)[None])
    fields = {Content.KEPT_MOTION: read_motion(clip, header)}
    if clip.fill == Fill.BLEND:
        fields[Content.DROPPED_MOTION] = payload.read_clip(clip, header)
    for content, field in fields.items():
        if field.blocks.any():
            out.motion[content].append(field)


def train(coded: Coded) -> tuple[Tables, ...]:
    """Return trained tables."""
    return tuple(_train(content, coded) for content in Content)


def _train(content: Content, coded: Coded) -> Tables:
    kinds = keys_of(content)
    contexts, sets = sum(k.contexts for k in kinds), sum(k.sets_a + k.sets_b for k in kinds)
    empty = np.zeros((0, LINEAR_WEIGHTS), np.int16)
    tables = Tables(
        np.full(contexts, 32768, np.uint16), np.zeros(contexts, np.uint8), np.full((sets, 7), FIRST_WEIGHT, np.int32),
        np.zeros(0, np.uint16), np.zeros((0, 2), np.uint8), empty,
    )  # fmt: skip
    if not content.is_motion:
        clips = coded.latents[content]
        similar = clips if content == Content.DETAIL else coded.latents[Content.INTRA]
        tables = replace(tables, profile=profile(clips), partners=partners(similar), linear=linear(clips))
        for values in clips:
            latents.learn(values, content, tables)
    else:
        for field in coded.motion[content]:
            motion.learn(field.references, field.blocks, tables)
    n = tables.counts
    return replace(tables, counts=np.where(n < 3, COUNTS[0], np.where(n < 19, COUNTS[1], COUNTS[2])).astype(np.uint8))


def profile(clips: Sequence[Shorts]) -> npt.NDArray[np.uint16]:
    """Mean magnitude of each channel in first frames, (channels,): the geometric mean over clips, 256 in the mean."""
    means = np.stack([np.abs(values[0].astype(np.int64)).mean(axis=(0, 1)) for values in clips if values[0].any()])
    logs = np.log(means / means.sum(axis=1, keepdims=True) + 2e-4)
    found = np.exp(logs.mean(axis=0))
    out: npt.NDArray[np.uint16] = np.rint(found / found.mean() * 256).clip(1, 65535).astype(np.uint16)
    return out


def partners(clips: Sequence[Shorts]) -> npt.NDArray[np.uint8]:
    """For each channel, the two earlier ones whose magnitudes correlate most with the part of its magnitude that the
    mean of the 12 channels before does not explain, (channels, 2).

    Cells without integers do not count.
    """
    channels = clips[0].shape[-1]
    rows = [values.reshape(-1, channels) for values in clips]
    cells = np.concatenate([found[found.any(axis=1)] for found in rows])[:MAX_CELLS]
    sizes = np.log1p(np.minimum(np.abs(cells.astype(np.float32)), 6))
    out = np.full((channels, 2), channels, np.uint8)
    for c in range(1, channels):
        known = np.stack([np.ones(len(sizes), np.float32), sizes[:, max(0, c - 12) : c].mean(axis=1)], axis=1)
        rest = sizes[:, c] - known @ np.linalg.lstsq(known, sizes[:, c], rcond=None)[0]
        earlier = sizes[:, :c] - sizes[:, :c].mean(axis=0)
        scores = (rest @ earlier) / np.sqrt((earlier**2).sum(axis=0) + 1e-9)
        best = np.argsort(scores)[::-1][:2]
        out[c, : len(best)] = best
    return out


def linear(clips: Sequence[Shorts]) -> Shorts:
    """Weights of the linear prediction, (40, 84), by least squares: busy cells weigh less."""
    out = np.zeros((LINEAR_ROWS, LINEAR_WEIGHTS), np.int16)
    frames = [frame.astype(np.float32) for values in clips for frame in values if frame.any()]
    for c in range(LINEAR_ROWS):
        known = min(c, LINEAR_CHANNELS)
        size = LINEAR_CELLS * known + 4
        square, product = np.zeros((size, size)), np.zeros(size)
        for x, y in _samples(frames, c, known):
            square, product = square + x.T @ x, product + x.T @ y
        square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
        weights = np.rint(256 * np.linalg.solve(square, product)).clip(-512, 511)
        for cell in range(LINEAR_CELLS):
            at = cell * LINEAR_CHANNELS
            out[c, at : at + known] = weights[cell * known : (cell + 1) * known]
        out[c, -4:] = weights[-4:]
    return out


def _samples(frames: Sequence[npt.NDArray[np.float32]], c: int, known: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Known integers and wanted ones of channel c, of all cells of each frame."""
    busy = slice(2, 32)
    for frame in frames:
        cells = [_moved(frame, *move) for move in ((0, 0), (0, -1), (-1, 0), (0, 1), (1, 0))]
        scale = 1 / (1 + sum(np.abs(cell[..., busy]).mean(axis=-1) for cell in cells) / 5)
        left, above = cells[1][..., c].copy(), cells[2][..., c].copy()
        left[1:, 0], left[0, 0], above[0] = above[1:, 0], 0, left[0]
        corners = []
        for side, edge in ((-1, 0), (1, -1)):
            corner = _moved(frame, -1, side)[..., c].copy()
            corner[:, edge], corner[0] = above[:, edge], left[0]
            corners.append(corner)
        parts = [cell[..., :known] for cell in cells] + [n[..., None] for n in (left, above, *corners)]
        x = np.concatenate(parts, axis=-1) * scale[..., None]
        yield x.reshape(-1, x.shape[-1]).astype(np.float64), (frame[..., c] * scale).ravel().astype(np.float64)


def _moved(frame: npt.NDArray[np.float32], down: int, right: int) -> npt.NDArray[np.float32]:
    rows, columns = (np.arange(n) for n in frame.shape[:2])
    out: npt.NDArray[np.float32] = frame[(rows + down).clip(0, len(rows) - 1)][
        :, (columns + right).clip(0, len(columns) - 1)
    ]
    return out


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train the tables of context mixing.")
    parser.add_argument("action", choices=("encode", "train"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    if args.action == "encode":
        encode_videos(args.source, args.target)
    else:
        args.target.write_bytes(dump_tables(train(read_files(args.source))))


if __name__ == "__main__":
    main()
