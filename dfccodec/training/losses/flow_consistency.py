"""Flow-guided consistency: decoded pictures should change only as their motion says.

After the loss of MTC-VAE (arXiv 2602.01340, eq. 10–12). The flow comes from the motion search of the codec,
and a pixel counts as far as the source itself agrees with its flow (Lai et al. 2018, "Learning blind video temporal
consistency"), so occlusions and wrong vectors count little.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.motion.pyramid import Pyramid
from dfccodec.codec.motion.search import estimate_motion
from dfccodec.container.records import MotionFilter
from dfccodec.models.regen import warp_picture
from dfccodec.runtime.resources import single_threaded_blas

AGREEMENT = 50.0
"""Weight of a pixel whose source differs by e from the source along its flow: exp(−AGREEMENT · |e|²)."""

SEARCH_LAMBDA = 1e-3
"""λ of the motion search: large enough for smooth fields, which are more like the true motion."""


@single_threaded_blas()
def estimate_flow(picture: Tensor, reference: Tensor) -> Tensor:
    """Flow (2, rows, columns) in pixels, by block, from a picture (3, H, W) in [0, 1] into a reference."""
    now, then = (np.ascontiguousarray(x.detach().permute(1, 2, 0).cpu().numpy()) for x in (picture, reference))
    motion = MotionFilter.LINEAR
    mvs = estimate_motion(Pyramid(now), Pyramid(then, motion), SEARCH_LAMBDA)
    flow = mvs.transpose(2, 0, 1).astype(np.float32) / np.float32(motion.subpel)
    return torch.from_numpy(flow).to(picture.device)


def flow_inconsistency(made: Tensor, truth: Tensor, numbers: Tensor) -> Tensor:
    """Mean absolute difference between pictures and their predecessors along the flow.

    Args:
        made: (B, N, 3, H, W) decoded pictures; H and W are multiples of 8.
        truth: (B, N, 3, H, W) their sources in [0, 1], from which the flow is estimated.
        numbers: (N,) frame numbers, rising. Only pairs of adjacent frames count.

    Returns:
        (B,) mean over pixels of all pairs, weighted by the agreement of the source with the flow; 0 without a pair.
    """
    pairs = [i for i in range(len(numbers) - 1) if int(numbers[i + 1] - numbers[i]) == 1]
    total = made.new_zeros(len(made))
    for first in pairs:
        flow = torch.stack([estimate_flow(clip[first + 1], clip[first]) for clip in truth])
        agrees = torch.exp(
            -AGREEMENT * (truth[:, first + 1] - warp_picture(truth[:, first], flow, "bilinear")).square().sum(dim=1)
        )
        change = (made[:, first + 1] - warp_picture(made[:, first], flow, "bilinear")).abs().mean(dim=1)
        total = total + (agrees * change).mean(dim=(1, 2)) / len(pairs)
    return total
