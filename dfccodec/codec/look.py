"""Looks: filters of decoded pictures (`models.look`). A file is the same whatever look it is shown with."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch

from dfccodec.codec.look_strength import parse_look
from dfccodec.models import registry
from dfccodec.models.look import UNSHUFFLE, Look
from dfccodec.runtime.device import pick_device, pick_dtype

MODEL = "mini-sharp"
"""The model of `sharp`."""

MAX_PIXELS = 1 << 19
"""Pixels that are filtered at once, in bands of rows that overlap. Bounds memory to about 200 MB."""


class PictureLook:
    """Shows decoded pictures with a look.

    Args:
        network: the filter.
        strength: part of its residual that is added, 0 to 1.
        device, dtype: where and in which precision it runs.
    """

    def __init__(self, network: Look, strength: float, device: torch.device, dtype: torch.dtype) -> None:
        self._network, self._strength, self._device, self._dtype = network, strength, device, dtype

    def __call__(self, rgb: np.ndarray, qp: int) -> np.ndarray:
        """The picture (H, W, 3) uint8 of a clip at a quantizer index, with the look; same shape and type."""
        height, width, _ = rgb.shape
        rows = max(UNSHUFFLE, MAX_PIXELS // width // UNSHUFFLE * UNSHUFFLE)
        margin = self._network.receptive_rows
        bands = []
        for top in range(0, height, rows):
            first = max(0, top - margin)
            band = self._filtered(rgb[first : top + rows + margin], qp)
            bands.append(band[top - first : top - first + rows])
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

    @torch.inference_mode()
    def _filtered(self, rgb: np.ndarray, qp: int) -> np.ndarray:
        picture = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device).permute(2, 0, 1)[None].float() / 255
        reduced = self._dtype != torch.float32
        with torch.autocast(self._device.type, self._dtype) if reduced else contextlib.nullcontext():
            residual = self._network(picture, torch.tensor([qp], device=self._device))
        shown = (picture + self._strength * residual).clamp(0, 1)
        out: np.ndarray = (shown[0] * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
        return out


def load_look(
    look: str | float, model: str | Path = MODEL, device: str = "auto", dtype: str = "auto"
) -> PictureLook | None:
    """Load a look; None for `faithful`.

    Args:
        look: see :func:`look_strength.parse_look`.
        model: name or file of the network.
        device, dtype: as for `api.load_model`.

    Raises:
        UsageError: the look or the device is not known.
        ModelError: the model is missing, invalid or of another kind.
    """
    strength = parse_look(look)
    if not strength:
        return None
    place = pick_device(device)
    network, _ = registry.load_look(str(model), place)
    return PictureLook(network, strength, place, pick_dtype(dtype, place))
