"""Mean and standard deviation of the channels of latents, for normalization."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dfccodec.data.dataset import LatentDataset
from dfccodec.errors import InputError
from dfccodec.runtime.atomic_output import replacing

MAX_FRAMES = 4000
"""Kept frames from which statistics are computed: a million tokens of 256×256 pixels."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of every channel over tokens.

    Attributes:
        mean, deviation: (C,) float64.
        zeros: (C,) float64, the share of latents that are quantized to 0.
        tokens: number of tokens they were computed from.
        model, fingerprint: the model of the latents; empty if unknown.
    """

    mean: np.ndarray
    deviation: np.ndarray
    zeros: np.ndarray
    tokens: int
    model: str = ""
    fingerprint: str = ""

    @classmethod
    def of(cls, parts: Iterable[np.ndarray], model: str = "", fingerprint: str = "") -> ChannelStatistics:
        """Compute statistics of latents (…, C), given part by part.

        Raises:
            InputError: there is no token.
        """
        count, total, squares, zeros = 0, np.zeros(1), np.zeros(1), np.zeros(1)
        for part in parts:
            flat = part.reshape(-1, part.shape[-1])
            count += len(flat)
            total = total + flat.sum(axis=0, dtype=np.float64)
            squares = squares + np.square(flat, dtype=np.float64).sum(axis=0)
            zeros = zeros + (flat == 0).sum(axis=0)
        if not count:
            raise InputError("there are no latents to compute statistics from: give more files")
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
        return cls(mean, deviation, zeros / count, count, model, fingerprint)

    def normalize(self, latents: Tensor) -> Tensor:
        """Return latents (…, C) with mean 0 and deviation 1 in every channel."""
        return (latents - self._like(self.mean, latents)) / self._like(self.deviation, latents)

    def denormalize(self, latents: Tensor) -> Tensor:
        """Inverse of :meth:`normalize`."""
        return latents * self._like(self.deviation, latents) + self._like(self.mean, latents)

    @staticmethod
    def _like(values: np.ndarray, latents: Tensor) -> Tensor:
        return torch.from_numpy(values).to(latents.device, latents.dtype)

    def save(self, path: str | Path) -> None:
        """Write them as JSON, to a temporary file that is renamed."""
        record = {
            "model": self.model, "fingerprint": self.fingerprint, "tokens": self.tokens, "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(), "zeros": self.zeros.tolist(),
        }  # fmt: skip
        with replacing(Path(path)) as stream:
            stream.write(json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, path: str | Path) -> ChannelStatistics:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file cannot be read, or is another one.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            mean, deviation, zeros = (np.array(record[name], np.float64) for name in ("mean", "deviation", "zeros"))
            found = cls(mean, deviation, zeros, int(record["tokens"]), record["model"], record["fingerprint"])
        except OSError as error:
            raise InputError(f"cannot open {path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} holds no channel statistics ({error}): write them with ChannelStatistics.save"
            ) from None
        if not found.mean.shape == found.deviation.shape == found.zeros.shape or found.mean.ndim != 1:
            raise InputError(f"{path}: mean, deviation and zeros differ in length: compute the statistics again")
        return found


def channel_statistics(dataset: LatentDataset, max_frames: int = MAX_FRAMES) -> ChannelStatistics:
    """Compute the statistics of a dataset from windows at uniform spacing.

    Args:
        dataset: in any dtype; its crop applies.
        max_frames: about how many kept frames to read.

    Raises:
        InputError: no window can be read.
    """

    def parts() -> Iterable[np.ndarray]:
        frames, spaced = 0, np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), max_frames)).round())
        mixed = np.random.default_rng(0).permutation(spaced)  # whichever are read first are of all files
        for number in mixed.astype(int):
            item = dataset[int(number)]
            if item is not None and frames < max_frames:
                frames += len(item["positions"])
                yield (item["latents"].float() * item["scale"][:, None]).numpy()

    model = dataset.index.model
    return ChannelStatistics.of(parts(), model.name, model.fingerprint.hex())
