"""Batches of windows: padded to the longest, with a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dfccodec.data.items import LatentItem
from dfccodec.errors import UsageError

_PADDING = {"positions": -1}
"""Padding of the fields that is not 0."""

_PER_FRAME = (
    "latents", "scale", "positions", "gaps", "trailing", "starts", "ends", "segments", "importance", "times", "qp",
)  # fmt: skip
_PER_ITEM = ("grid", "file", "source", "caption", "model", "fingerprint")


def collate(items: Sequence[LatentItem | None], frames: int | None = None) -> dict[str, Any] | None:
    """Collate windows to a batch; a `collate_fn` for `torch.utils.data.DataLoader`.

    Args:
        items: windows with the same number of tokens; None stands for a damaged one and is left out.
        frames: number of kept frames K to pad to, for constant shapes; None is the longest window of the batch.

    Returns:
        `latents` (B, K, N, C), `scale` (B, K, C), `mask` (B, K) bool, True for kept frames and False for padding;
        `positions` (padding -1), `gaps`, `trailing`, `starts`, `ends`, `segments`, `importance`, `times`, `qp` (B, K);
        `index` and `first_frame` (B,); `grid`, `file`, `source`, `caption`, `model`, `fingerprint`, lists of length B.
        None if all items are damaged.

    Raises:
        UsageError: windows differ in their number of tokens, or one is longer than `frames`.
    """
    good = [item for item in items if item is not None]
    if not good:
        return None
    sizes = {tuple(item["latents"].shape[1:]) for item in good}
    if len(sizes) > 1:
        names = ", ".join(f"{item['file']} has {tuple(item['latents'].shape[1:])}" for item in good[:4])
        raise UsageError(f"windows of different sizes (tokens, channels): {names}; give the dataset a crop")
    counts = [len(item["positions"]) for item in good]
    longest = max(counts)
    if frames is not None and longest > frames:
        raise UsageError(f"a window has {longest} kept frames, over frames={frames}: give at least {longest}")
    length = frames or longest
    batch: dict[str, Any] = {
        name: torch.stack([_pad(item[name], length, _PADDING.get(name, 0)) for item in good])  # type: ignore[literal-required]
        for name in _PER_FRAME
    }
    batch["mask"] = torch.arange(length)[None] < torch.tensor(counts)[:, None]
    batch |= {name: torch.tensor([item[name] for item in good]) for name in ("index", "first_frame")}
    batch |= {name: [item[name] for item in good] for name in _PER_ITEM}  # type: ignore[literal-required]
    return batch


def _pad(values: Tensor, length: int, fill: int) -> Tensor:
    missing = length - len(values)
    return values if not missing else F.pad(values, (0, 0) * (values.ndim - 1) + (0, missing), value=fill)


def dequantize(batch: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the latents (…, K, N, C) of an item or a batch in the model's units, on the device where they are.

    With integer types a batch travels to the device at a quarter or half of the bytes.

    Args:
        batch: has `latents` (…, K, N, C) and `scale` (…, K, C).
        dtype: a float type.
    """
    latents, scale = batch["latents"], batch["scale"]
    out: Tensor = latents.to(torch.float32) * scale.to(latents.device)[..., None, :]
    return out.to(dtype)
