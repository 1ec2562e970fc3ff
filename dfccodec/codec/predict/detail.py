"""Details of kept frames (SPEC.md 7.10.2): what the 96 channels of the model cannot hold, in a DCT of 8×8 blocks.

The components are those of an orthonormal transform of colours: the sum of red, green and blue; red minus blue; red and
blue minus twice green.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.predicted import DETAIL_BLOCK, DETAIL_CHANNELS

Floats = npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def basis() -> Floats:
    """The transform of a block, (192, 192): channel c of colour o of the pixel (i, j) at column (i · 8 + j) · 3 + o.

    It is orthonormal. Channels are the components in turn, each in order of u + v, then u, of its frequencies.
    """
    n = np.arange(DETAIL_BLOCK)
    dct = np.sqrt(np.where(n == 0, 1, 2) / DETAIL_BLOCK)[:, None] * np.cos(
        np.pi * n[:, None] * (2 * n + 1) / (2 * DETAIL_BLOCK)
    )
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    rows = np.einsum("ui,vj,ko->kuvijo", dct, dct, colours).reshape(len(colours), DETAIL_BLOCK**2, -1)
    order = sorted(range(DETAIL_BLOCK**2), key=lambda k: (sum(divmod(k, DETAIL_BLOCK)), k))
    out: Floats = rows[:, order].reshape(DETAIL_CHANNELS, -1).astype(np.float32)
    return out


def forward(picture: Floats) -> Floats:
    """Transform of a picture (H, W, 3) of whole blocks: (H / 8, W / 8, 192)."""
    height, width, _ = picture.shape
    blocks = picture.reshape(height // DETAIL_BLOCK, DETAIL_BLOCK, width // DETAIL_BLOCK, DETAIL_BLOCK, 3)
    out: Floats = blocks.swapaxes(1, 2).reshape(*blocks.shape[::2][:2], -1) @ basis().T
    return out


def inverse(values: npt.NDArray[np.int16], step: float) -> Floats:
    """Picture (H, W, 3) of integers (H / 8, W / 8, 192), with the quantizer step `step`."""
    rows, columns, _ = values.shape
    coded = values.any(axis=-1)
    blocks = np.zeros((rows, columns, DETAIL_CHANNELS), np.float32)
    blocks[coded] = (values[coded].astype(np.float64) * step).astype(np.float32) @ basis()
    blocks = blocks.reshape(rows, columns, DETAIL_BLOCK, DETAIL_BLOCK, 3).swapaxes(1, 2)
    return blocks.reshape(rows * DETAIL_BLOCK, columns * DETAIL_BLOCK, 3)
