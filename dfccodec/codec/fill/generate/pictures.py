"""Dropped frames of fill policy `generate`, by `mini-regen`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.generate.warp import MotionReferences
from dfccodec.codec.fill.postprocess import Times
from dfccodec.container.records import Clip, Header
from dfccodec.errors import ModelError
from dfccodec.models import registry
from dfccodec.models.regen import PATCH, Reference, Regen
from dfccodec.runtime.device import pick_dtype

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@lru_cache(maxsize=1)
def load_generator() -> Regen:
    """The generator of this installation, loaded once."""
    model = registry.load_regen()[0].eval()
    model.requires_grad_(False)
    return model


def supports(header: Header) -> bool:
    """Whether the generator takes the pictures and latents of a file."""
    return not header.tile and (header.channels, header.patch) == (load_generator().config.channels, PATCH)


class Generator(MotionReferences):
    """Generates the dropped frames of a clip from its decoded kept frames.

    Args:
        clip: the clip, of at least one kept frame.
        header: header of its file.
        latents: (K, 1, rows, columns, C) float32 of the kept frames.

    Raises:
        ModelError: the generator is missing or is not for this file: the payload has more waves than it knows, or the
            latents are not of mini.
        DamagedError: the payload is invalid.
    """

    def __init__(self, clip: Clip, header: Header, latents: Floats) -> None:
        super().__init__(clip, header)
        self._model = _generator_for(header, waves=self._motion.shape[1] // payload.NUMBERS_PER_WAVE)
        self._motion = self._with_all_waves(self._motion)
        self._content = np.ascontiguousarray(latents[:, 0].transpose(0, 3, 1, 2))

    def _with_all_waves(self, motion: Floats) -> Floats:
        """Amplitudes (K, 4 · waves, gh, gw) of the waves of the generator; those that the file lacks are 0."""
        count, numbers, *cells = motion.shape
        out = np.zeros((count, 2, 2 * self._model.config.waves, *cells), np.float32)
        out[:, :, : numbers // 2] = motion.reshape(count, 2, numbers // 2, *cells)
        return out.reshape(count, -1, *cells)

    def compose_at(self, times: Times, out: Sequence[Bytes]) -> None:
        """Generate the pictures at `times` (P,) to `out`."""
        noise = torch.from_numpy(hashed_noise(next(iter(self._pictures.values())).shape))[None]
        dtype = pick_dtype("auto", torch.device("cpu"))
        enabled = dtype != torch.float32
        for part in self._batches(len(times)):
            with torch.inference_mode(), torch.autocast("cpu", dtype if enabled else torch.bfloat16, enabled=enabled):
                self._write(self._model.generate(self.references(times[part]), noise).float(), out[part])

    def references(self, times: Times) -> list[Reference]:
        """The kept frames before and after each of the times (B,)."""
        after = np.searchsorted(self._kept, times)
        found = []
        for index, valid in ((after - 1, after > 0), (after, after < len(self._kept))):
            if not valid.any():
                continue
            index = np.clip(index, 0, len(self._kept) - 1)
            same = slice(0, 1) if (index == index[0]).all() else slice(None)  # one picture for all frames
            found.append(
                Reference(
                    torch.stack([self._pictures[int(k)] for k in self._kept[index[same]]]),
                    torch.from_numpy(self._content[index[same]]),
                    torch.from_numpy(self._motion[index[same]]),
                    self._times(times, index),
                    torch.from_numpy(valid),
                )
            )
        return found


def _generator_for(header: Header, waves: int) -> Regen:
    """The generator of this installation, if it can make the dropped frames of a file.

    Raises:
        ModelError: it cannot.
    """
    try:
        model = load_generator()
        if not supports(header):
            raise ModelError("the generator of fill policy generate takes latents of mini only, the file has others")
        if waves > model.config.waves:
            raise ModelError(
                f"the motion latents have {waves} waves, the generator of this dfc has {model.config.waves}: "
                "get a newer dfc"
            )
    except ModelError as error:
        raise ModelError(f"{error}; without the generator: dfc decode --fill motion") from error
    return model


def hashed_noise(shape: tuple[int, ...], seed: int = 0) -> Floats:
    """Noise of standard deviation 1, uniform, from an integer hash: the same on every machine and in every version."""
    h = np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):  # a mixing function of 32 bits (C. Wellons)
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(15)
    out: Floats = ((h.astype(np.float64) / 2**32 - 0.5) * 12**0.5).astype(np.float32).reshape(shape)
    return out
