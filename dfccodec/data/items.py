"""One window of latents as tensors, in the precision that training wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from dfccodec.data.clip_reader import ClipLatents
from dfccodec.data.index import FileRecord
from dfccodec.data.windows import ClipPart
from dfccodec.errors import UsageError

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int16, torch.int8)
"""Types of latents. Integer types hold quantized values: latents are these times `scale`."""


class LatentItem(TypedDict):
    """A window of K kept frames of N tokens with C channels.

    Attributes:
        latents: (K, N, C) in the dtype of the dataset; for integer types multiply by `scale`.
        scale: (K, C) float32, what a unit of each channel is worth: 1 for float types.
        positions: (K,) int64 frame numbers, counted from `first_frame`.
        gaps: (K,) int64 frames since the kept frame before in the same clip, or since the start of the clip.
        trailing: (K,) int64 dropped frames after the last kept frame of a clip; 0 for other frames.
        starts, ends: (K,) bool, first and last kept frame of a clip; DFC's segment embedding f_c belongs to `starts`.
        segments: (K,) int64 number of the clip within the window, from 0.
        importance: (K,) float32 in 0…1.
        times: (K,) float64 timestamps in seconds.
        qp: (K,) int64 quantizer index.
        grid: (tiles, rows, columns) with N their product.
        first_frame: frame number in the video: the first of the window (unit `frames`), else of its first clip.
        index: number of the window in the dataset.
        file, source, caption: name of the file, of its source, and its caption or "".
        model, fingerprint: name and fingerprint (hexadecimal) of the model of the latents.
    """

    latents: Tensor
    scale: Tensor
    positions: Tensor
    gaps: Tensor
    trailing: Tensor
    starts: Tensor
    ends: Tensor
    segments: Tensor
    importance: Tensor
    times: Tensor
    qp: Tensor
    grid: tuple[int, int, int]
    first_frame: int
    index: int
    file: str
    source: str
    caption: str
    model: str
    fingerprint: str


Crop = tuple[slice, slice]
"""Rows and columns of tokens."""


def check_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type of latents.

    Raises:
        UsageError: it is none of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r} is not possible: give one of {', '.join(map(str, DTYPES))}")
    return dtype


def make_item(
    record: FileRecord, parts: Sequence[tuple[ClipPart, ClipLatents]], dtype: torch.dtype, first_frame: int | None,
    crop: Crop | None, index: int,
) -> LatentItem:  # fmt: skip
    """Build an item from the parts of clips of a window.

    Args:
        record: the file.
        parts: at least one.
        dtype: one of `DTYPES`.
        first_frame: frame that positions count from, relative to the file; None is the start of the first clip.
        crop: rows and columns to cut out; the grid must then have one tile.
        index: number of the window.
    """
    origin = parts[0][1].clip.first_frame if first_frame is None else first_frame
    fields = [_clip_fields(part, found, origin, number) for number, (part, found) in enumerate(parts)]
    values = [found.integers[part.first : part.last] for part, found in parts]
    if crop is not None:
        values = [value[:, :, crop[0], crop[1]] for value in values]
    integers = values[0] if len(values) == 1 else np.concatenate(values)
    counts = [len(value) for value in values]
    scale = torch.from_numpy(np.repeat(np.stack([found.scale for _, found in parts]), counts, axis=0))
    tensors = {name: torch.from_numpy(np.concatenate([f[name] for f in fields])) for name in fields[0]}
    latents, scale = _convert(integers, scale, dtype)
    tick = record.header.time_base
    times = tensors["pts"].double() * (tick.num / tick.den if tick.den else 0.0)
    return {
        "latents": latents.flatten(1, -2), "scale": scale,
        "positions": tensors["positions"], "gaps": tensors["gaps"], "trailing": tensors["trailing"],
        "starts": tensors["starts"], "ends": tensors["ends"], "segments": tensors["segments"],
        "importance": tensors["importance"], "times": times, "qp": tensors["qp"],
        "grid": (integers.shape[1], integers.shape[2], integers.shape[3]), "first_frame": origin, "index": index,
        "file": record.location.label, "source": record.source, "caption": record.caption,
        "model": record.model.name, "fingerprint": record.model.fingerprint.hex(),
    }  # fmt: skip


def _clip_fields(part: ClipPart, found: ClipLatents, origin: int, segment: int) -> dict[str, np.ndarray]:
    clip = found.clip
    at = np.flatnonzero(clip.kept)
    chosen, count = slice(part.first, part.last), part.last - part.first
    numbers = np.arange(len(at))
    trailing = np.where(numbers == len(at) - 1, clip.frames - 1 - at, 0)
    return {
        "positions": (clip.first_frame + at - origin)[chosen],
        "gaps": np.diff(at, prepend=0)[chosen],
        "trailing": trailing[chosen],
        "starts": (numbers == 0)[chosen],
        "ends": (numbers == len(at) - 1)[chosen],
        "segments": np.full(count, segment),
        "importance": (clip.importance[at] / np.float32(255))[chosen],
        "pts": np.array(clip.timestamps, np.int64)[at][chosen],
        "qp": np.full(count, found.qp),
    }


def _convert(integers: np.ndarray, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Integers (K, tiles, rows, columns, C) and scale (K, C) to latents in `dtype` and their scale."""
    if dtype == torch.int16:
        return torch.from_numpy(integers.copy()), scale  # the cached clip must not change with the item
    if dtype == torch.int8:
        return _to_int8(integers, scale)
    values = torch.from_numpy(integers.astype(np.float32))
    latents = values.mul_(scale[:, None, None, None]).to(dtype)
    return latents, torch.ones_like(scale)


def _to_int8(integers: np.ndarray, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Integers as 8 bits. A channel of a frame with larger integers gets a step that is doubled until they fit."""
    largest = np.abs(integers.astype(np.int32)).max(axis=(1, 2, 3), initial=0)  # (K, C)
    shift = np.ceil(np.log2(np.maximum(largest / 127, 1))).astype(np.int32)
    if not shift.any():
        return torch.from_numpy(integers.astype(np.int8)), scale
    factor = np.exp2(shift).astype(np.float32)
    rounded = np.rint(integers / factor[:, None, None, None]).astype(np.int8)
    return torch.from_numpy(rounded), scale * torch.from_numpy(factor)
