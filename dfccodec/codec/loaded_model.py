"""A loaded model: network, identity, device and precision."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from dfccodec.container.records import ModelId
from dfccodec.models.identity import check_identity
from dfccodec.models.interface import LatentModel
from dfccodec.runtime.forks import enable_forks
from dfccodec.runtime.resources import keep_freed_memory, malloc_trim


@dataclass(frozen=True)
class LoadedModel:
    """A model on a device.

    Args:
        model: the network, in evaluation mode on `device`.
        identity: name, fingerprint and configuration, as stored in a file.
        device: device of the network.
        dtype: precision of convolutions and attention; latents and pixels are float32.
        file_model: the model of the file that is decoded, if that is another one of the same latent space; else None.
    """

    model: LatentModel
    identity: ModelId
    device: torch.device
    dtype: torch.dtype = torch.float32
    file_model: ModelId | None = None

    def __post_init__(self) -> None:
        enable_forks()
        keep_freed_memory()

    def for_file(self, wanted: ModelId) -> LoadedModel:
        """Return the model as the decoder of a file that names the model `wanted`.

        Raises:
            ModelError: it does not decode latents of that model.
        """
        other = None if check_identity(wanted, self.identity) else wanted
        return self if other == self.file_model else dataclasses.replace(self, file_model=other)

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """Context in which convolutions and attention run in `dtype`."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def encode(self, tile: np.ndarray, qp: int, keep: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Encode one tile (T, h, w, 3) uint8 to latents (T, N, C) float32 and importance (T,) float32.

        If `keep` is given, only the latents of the `keep` most important frames are valid.
        """
        video = torch.from_numpy(np.ascontiguousarray(tile))[None].to(self.device)
        with torch.inference_mode(), self.precision():
            coded = self.model.encode(video, qp, keep=keep)
        return coded.latents[0].float().cpu().numpy(), coded.importance[0].float().cpu().numpy()

    def decode(self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int) -> np.ndarray:
        """Decode slots (T, N, C) float32 to a tile (T, height, width, 3) float32, not clamped.

        `known` (T,) bool tells which slots hold latents of kept frames.
        """
        latents = torch.from_numpy(np.ascontiguousarray(slots))[None].to(self.device)
        mask = torch.from_numpy(known)[None].to(self.device)
        with torch.inference_mode(), self.precision():
            video = self.model.decode(latents, mask, height, width, qp)
        return video[0].float().cpu().numpy()

    def decode_frames(
        self, slots: np.ndarray, known: np.ndarray, height: int, width: int, qp: int,
        on_frame: Callable[[int, np.ndarray], None], wanted: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """As :meth:`decode`, frame by frame in decode order: `on_frame` gets the number and the picture (height, width,
        3)."""
        latents = torch.from_numpy(np.ascontiguousarray(slots)).to(self.device)
        mask = torch.from_numpy(known).to(self.device)
        first = True

        def emit(number: int, frame: torch.Tensor) -> None:
            nonlocal first
            if first:  # the stage before the first picture needs the most memory
                malloc_trim()
                first = False
            on_frame(number, frame.float().cpu().numpy())

        with torch.inference_mode(), self.precision():
            asked = None if wanted is None else torch.from_numpy(wanted)
            self.model.decode_frames(latents, mask, height, width, qp, emit, asked)
