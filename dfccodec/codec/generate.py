"""Generate a clip: noise, Euler steps, latents and gaps, positions of the kept frames, `.dfc` file."""

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
"""Frame rate of a generated clip in frames per second; the published generator is trained on about this rate."""


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

    The generator chooses the positions of the kept frames. Importance is 255 for kept and 0 for dropped frames.

    Args:
        dit: the generator.
        loaded: the codec model of the latents; has the grid and the fill token.
        out: a binary stream.
        latent_frames: number of kept frames K, 1 … the generator's limit.
        steps: Euler steps from noise to latents.
        seed: random seed of the noise, which is drawn on the CPU so that every device starts from the same.
        qp: quantizer index of the latents.

    Raises:
        ModelError: generator and codec model do not match, or the clip is too long.
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
            f"the generated clip has {frames} frames, the model takes {loaded.model.max_frames}: use another seed"
        )
    kept = np.zeros(frames, bool)
    kept[positions[0].cpu().numpy()] = True
    side = loaded.model.tile
    header = make_header(SourceInfo(side, side, RATE, 1 / RATE), loaded, clip_frames=frames)
    clip = flow.latents[0].float().cpu().numpy(), kept
    how = f"generate --latent-frames {latent_frames} --steps {steps} --seed {seed}"
    return write_clips(out, [clip], header, loaded, Settings(qp=qp, fill=Fill.TOKEN), how)
