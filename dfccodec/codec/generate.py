"""Generation: noise -> Euler steps -> latents and gaps -> positions, which is what a `.dfc` file holds."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

import numpy as np
import torch

from dfccodec.codec.encoder import EncodeReport, make_header
from dfccodec.codec.from_latents import write_clips
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.settings import Settings
from dfccodec.container.records import Fill
from dfccodec.errors import ModelError
from dfccodec.media.picture import SourceInfo
from dfccodec.models.dit import VideoDiT, positions_from_gaps

RATE = Fraction(30)
"""Frames per second of a generated clip; the published generator is trained on footage of about that rate."""


def generate(
    dit: VideoDiT,
    loaded: LoadedModel,
    out: BinaryIO,
    latent_frames: int = 8,
    steps: int = 100,
    seed: int = 256,
    qp: int = 16,
) -> EncodeReport:
    """Sample one clip and write it as a `.dfc` file.

    Kept frames are where the generator puts them; importance is 255 for kept and 0 for dropped frames.

    Args:
        dit: the generator.
        loaded: the codec model whose latents it makes; gives grid and fill token.
        out: a binary stream.
        latent_frames: kept frames K, 1 … the generator's limit.
        steps: Euler steps from noise to latents.
        seed: of the noise, drawn on the CPU so that every device starts from the same.
        qp: quantizer index of the stored latents.

    Raises:
        ModelError: generator and codec model do not belong together, or the clip they make is too long.
    """
    config = dit.config
    tokens = (loaded.model.tile // loaded.model.patch) ** 2
    if (config.hw, config.compressed_channel_dim) != (tokens, loaded.model.channels):
        raise ModelError(
            f"the generator makes {config.hw} tokens of {config.compressed_channel_dim}, "
            f"model {loaded.identity.name} takes {tokens} of {loaded.model.channels}: "
            "use the pair dfc-dit-504m and dfc-170m"
        )
    noise = torch.randn(
        1, latent_frames, tokens, config.compressed_channel_dim, generator=torch.Generator().manual_seed(seed)
    )
    flow = dit.sample(noise.to(loaded.device), steps)
    positions, totals = positions_from_gaps(flow.gaps)
    frames = int(totals[0])
    if frames > loaded.model.max_frames:
        raise ModelError(
            f"the clip sampled has {frames} frames, the model takes {loaded.model.max_frames}: use another seed"
        )
    kept = np.zeros(frames, bool)
    kept[positions[0].cpu().numpy()] = True
    side = loaded.model.tile
    header = make_header(SourceInfo(side, side, RATE, 1 / RATE), loaded, clip_frames=frames)
    clip = flow.latents[0].float().cpu().numpy(), kept
    how = f"generate --latent-frames {latent_frames} --steps {steps} --seed {seed}"
    return write_clips(out, [clip], header, loaded, Settings(qp=qp, fill=Fill.TOKEN), how)
