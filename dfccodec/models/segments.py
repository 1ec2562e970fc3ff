"""Segment embedding and keyframe predictor of MTC-VAE: segment boundaries that a generator can produce.

A segment is a clip. A learned vector f_c is added to every token of its first kept frame. A linear predictor on the
mean latent of a frame finds these frames again. A generator trained on such latents therefore generates boundaries as
part of the latents. f_c is subtracted before the latents are decoded.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

CONFIDENCE = 0.6
"""A frame begins a segment if the predictor is at least as sure as this."""


class SegmentMarks(nn.Module):
    """The embedding f_c and the keyframe predictor, over normalized latents.

    Args:
        channels: width of a latent.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(channels))
        self.predictor = nn.Linear(channels, 1)

    def add(self, latents: Tensor, starts: Tensor) -> Tensor:
        """Add f_c to the frames of latents (…, K, C, h, w) where `starts` (…, K) is True."""
        return latents + starts[..., None, None, None] * self.embedding[:, None, None]

    def remove(self, latents: Tensor, starts: Tensor) -> Tensor:
        """Inverse of `add`."""
        return latents - starts[..., None, None, None] * self.embedding[:, None, None]

    def logits(self, latents: Tensor) -> Tensor:
        """Log odds (…, K) that a frame of (…, K, C, h, w) is the first one of a segment."""
        out: Tensor = self.predictor(latents.mean(dim=(-2, -1))).squeeze(-1)
        return out

    def find(self, latents: Tensor) -> Tensor:
        """First frames of segments, (…, K) bool. The first frame of all is always one."""
        starts = torch.sigmoid(self.logits(latents)) >= CONFIDENCE
        starts[..., 0] = True
        return starts


def compression_rate(starts: Tensor, frames: int) -> list[float]:
    """Return the rate C = T / length of every segment (MTC-VAE, equation 7).

    Args:
        starts: (K,) bool, first frames of segments.
        frames: frames T of a whole segment.
    """
    edges = [*starts.nonzero().flatten().tolist(), len(starts)]
    return [frames / (end - begin) for begin, end in pairwise(edges)]
