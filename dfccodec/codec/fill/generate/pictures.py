"""Dropped frames of fill policy `generate`, by `mini-regen`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfccodec.codec.fill.generate import payload
from dfccodec.container.records import Clip, Header
from dfccodec.errors import UnsupportedError
from dfccodec.models import registry
from dfccodec.models.regen import PATCH, TIME_UNIT, Reference, Regen
from dfccodec.runtime.device import pick_dtype

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

BATCH_PIXELS = 1 << 18
"""Pixels that are generated at once."""


@lru_cache(maxsize=1)
def load_generator() -> Regen:
    """The generator of this installation, loaded once."""
    model = registry.load_regen()[0].eval()
    model.requires_grad_(False)
    return model


def supports(header: Header) -> bool:
    """Whether the generator takes the pictures and latents of a file."""
    return not header.tile and (header.channels, header.patch) == (load_generator().config.channels, PATCH)


class Generator:
    """Generates the dropped frames of a clip from its decoded kept frames.

    Args:
        clip: the clip, of at least one kept frame.
        header: header of its file.
        latents: (K, 1, rows, columns, C) float32 of the kept frames.

    Raises:
        UnsupportedError: the payload has more waves than the generator knows, or the latents are not of mini.
        ModelError: the generator is missing.
        DamagedError: the payload is invalid.
    """

    def __init__(self, clip: Clip, header: Header, latents: Floats) -> None:
        self._model = load_generator()
        if not supports(header):
            raise UnsupportedError("fill policy generate works with latents of mini only, the file has others")
        self._kept, self._size = np.flatnonzero(clip.kept), (header.height, header.width)
        self._motion = self._read_motion(clip, header)
        self._content = np.ascontiguousarray(latents[:, 0].transpose(0, 3, 1, 2))
        self._pictures: dict[int, Tensor] = {}

    def _read_motion(self, clip: Clip, header: Header) -> Floats:
        """Amplitudes (K, 4 · waves, gh, gw) for the waves of the generator; those that the file lacks are 0."""
        waves, cells = self._model.config.waves, payload.grid(header)
        out = np.zeros((len(self._kept), 2, 2 * waves, *cells), np.float32)
        known = payload.read(clip.fill_payload, len(self._kept), header)
        if known is not None:
            amplitudes = known.amplitudes()
            given = amplitudes.shape[1] // payload.NUMBERS_PER_WAVE
            if given > waves:
                raise UnsupportedError(
                    f"the motion latents have {given} waves, the generator of this dfc has {waves}: get a newer dfc"
                )
            out[:, :, : 2 * given] = amplitudes.reshape(len(out), 2, 2 * given, *cells)
        return out.reshape(len(out), -1, *cells)

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add a kept frame, (H, W, 3) in 0…1."""
        down, right = (-side % PATCH for side in picture.shape[:2])
        whole = np.pad(picture, ((0, down), (0, right), (0, 0)), "edge")
        self._pictures[frame] = torch.from_numpy(whole).permute(2, 0, 1)

    def compose_all(self, frames: Bytes) -> None:
        """Generate all dropped frames into `frames` (T, H, W, 3) uint8, rounded half up."""
        count = max(1, BATCH_PIXELS // (self._size[0] * self._size[1]))
        dropped = np.setdiff1d(np.arange(len(frames)), self._kept)
        noise = torch.from_numpy(hashed_noise(next(iter(self._pictures.values())).shape))[None]
        dtype = pick_dtype("auto", torch.device("cpu"))
        for start in range(0, len(dropped), count):
            numbers = dropped[start : start + count]
            enabled = dtype != torch.float32
            with torch.inference_mode(), torch.autocast("cpu", dtype if enabled else torch.bfloat16, enabled=enabled):
                made = self._model.generate(self.references(numbers), noise).float()
            made = (made.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
            frames[numbers] = made[:, : self._size[0], : self._size[1]].numpy()

    def references(self, numbers: npt.NDArray[np.int64]) -> list[Reference]:
        """The kept frames before and after each of the dropped frames `numbers` (B,)."""
        after = np.searchsorted(self._kept, numbers)
        out = []
        for index, valid in ((after - 1, after > 0), (after, after < len(self._kept))):
            if not valid.any():
                continue
            index = np.clip(index, 0, len(self._kept) - 1)
            same = slice(0, 1) if (index == index[0]).all() else slice(None)  # one picture for all frames
            time = np.clip((numbers - self._kept[index]) / TIME_UNIT, -1, 1).astype(np.float32)
            out.append(
                Reference(
                    torch.stack([self._pictures[int(k)] for k in self._kept[index[same]]]),
                    torch.from_numpy(self._content[index[same]]),
                    torch.from_numpy(self._motion[index[same]]),
                    torch.from_numpy(time),
                    torch.from_numpy(valid),
                )
            )
        return out


def hashed_noise(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Noise of standard deviation 1, uniform, from an integer hash: the same on every machine and in every version."""
    h = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):  # a mixing function of 32 bits (C. Wellons)
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(15)
    out: Floats = ((h.astype(np.float64) / 2**32 - 0.5) * 12**0.5).astype(np.float32).reshape(shape)
    return out
