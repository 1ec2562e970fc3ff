"""One picture that stands for a file, as file managers show it. Decodes one frame."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import numpy as np

from dfccodec.codec.api import decode
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.edit.random_access import DfcFile
from dfccodec.errors import InputError
from dfccodec.media.scale import scale_rgb
from dfccodec.media.time_range import Point, Span

PLACE = 0.1
"""Part of the file from which the frame is taken: many videos begin with black or a title."""


def make_thumbnail(source: Path, side: int, model: str | LoadedModel | None = None) -> np.ndarray:
    """Return the most important kept frame of the clip at a tenth of a file, upright, (H, W, 3) uint8.

    Args:
        source: a .dfc file.
        side: maximum of height and width; the frame is not enlarged.
        model: see `dfc.decode`.

    Raises:
        InputError: the file cannot be opened, or has no frame.
        DamagedError, ModelError: as for `dfc.decode`.
    """
    with DfcFile(source) as file:
        number, header = _pick_frame(file), file.header
    span = Span(start=Point(frame=number), duration=Point(frame=1))
    with contextlib.closing(decode(source, span=span, model=model, device="cpu")) as pictures:
        rgb = next(iter(pictures)).rgb
    aspect = Fraction(header.pixel_aspect.num, header.pixel_aspect.den)
    shown = fit_box((max(1, round(header.width * aspect)), header.height), side)
    return np.rot90(scale_rgb(rgb, shown), -header.rotation)


def fit_box(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the largest (width, height) of the same shape within a square, but no larger than `size`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _pick_frame(file: DfcFile) -> int:
    """Return the number of the frame in the file."""
    if not file.frames:
        raise InputError("the file has no frame: there is nothing to show")
    wanted = file.frames * PLACE
    clip = next(clip for clip in file if clip.record.first_frame + clip.record.frames > wanted)
    kept = clip.kept_indices
    best = kept[np.argmax(clip.record.importance[kept])] if len(kept) else 0
    return int(clip.record.first_frame + best)
