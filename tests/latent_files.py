"""Small `.dfc` files of a model without a network."""

from __future__ import annotations

from pathlib import Path

from support import flat_model, moving_square

import dfccodec as dfc

LENGTHS = {"a": 70, "b": 40, "c": 32, "deep/d": 65, "deep/e": 9}
"""Frames of each file; clips have 32, budget is 8 of 32."""


def write_latent_file(path: Path, frames: int = 40, qp: int = 8, **options: object) -> Path:
    """Encode a video of 64×48 pixels, 3×4 tokens of 3 channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"model": flat_model(), "coding": "zstd", "fill": "token", "budget": "8", "qp": qp} | options
    dfc.encode(moving_square(frames), path, **given)  # type: ignore[arg-type]
    return path
