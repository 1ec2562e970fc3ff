"""What steps, seeds, noise and the generator of fill policy `generate` are worth, and frames between frames.

    python -m benchmarks.quality.regen_variants steps             the eval clips, one kept frame, about 20 minutes
    python -m benchmarks.quality.regen_variants between --every 3

`steps`: one file per clip, decoded with 1, 2, 4 and 8 steps, another seed, without noise, and without the generator
(`--fill motion`). `between`: every second source frame is encoded with one kept frame of 16 and decoded at twice the
rate; half of the frames in between are compared with the source. Protocol DFC-32, QP 24, LPIPS of every fourth frame.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import dfccodec as dfc
from benchmarks.clips import EVAL, dfc32_clips, mse, table
from dfccodec.codec.fill.generate import pictures
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.metrics.lpips import Lpips, load_lpips, lpips
from dfccodec.models.regen import Regen

Measured = tuple[str, np.ndarray, np.ndarray]
"""Name, decoded and source frames."""

STEPS = {"1 step": 1, "2 steps": 2, "4 steps": 4, "8 steps": 8}


def coded(frames: np.ndarray, loaded: LoadedModel, budget: str) -> bytes:
    """Encode with fill policy `generate`."""
    out = io.BytesIO()
    dfc.encode(frames, out, budget=budget, qp=24, fill="generate", model=loaded)
    return out.getvalue()


def decoded(data: bytes, loaded: LoadedModel, **options: Any) -> np.ndarray:
    """Decode all frames."""
    return np.stack([picture.rgb for picture in dfc.decode(data, model=loaded, **options)])


def steps(frames: np.ndarray, loaded: LoadedModel) -> Iterator[Measured]:
    """Variants of the generator."""
    data = coded(frames, loaded, "1")
    generate, noise = Regen.generate, pictures.hashed_noise
    for name, count in STEPS.items():
        with patch.object(Regen, "generate", lambda model, refs, start, n=count: generate(model, refs, start, n)):
            yield name, decoded(data, loaded), frames
    with patch.object(pictures, "hashed_noise", lambda shape: noise(shape, seed=1)):
        yield "another seed", decoded(data, loaded), frames
    with patch.object(pictures, "hashed_noise", lambda shape: 0 * noise(shape)):
        yield "no noise", decoded(data, loaded), frames
    yield "no generator", decoded(data, loaded, fill="motion"), frames


def between(frames: np.ndarray, loaded: LoadedModel) -> Iterator[Measured]:
    """Frames at odd times of a file of even ones."""
    data, odd, even = coded(frames[::2], loaded, "2"), slice(1, 31, 4), slice(2, None, 4)
    plain, made = decoded(data, loaded), decoded(data, loaded, frame_rate=50)
    yield "rate", made[odd], frames[odd]
    yield "rate, no generator", decoded(data, loaded, frame_rate=50, fill="motion")[odd], frames[odd]
    yield "repeated", plain.repeat(2, axis=0)[odd], frames[odd]
    mean = (plain[:-1].astype(int) + plain[1:]) // 2
    yield "mean of neighbours", mean.astype(np.uint8)[::2], frames[odd]
    yield "rate, frames of the file", made[even], frames[even]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "between"])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=EVAL)
    given = parser.parse_args()
    loaded = dfc.load_model("mini")
    networks: dict[str, Lpips] = {net: load_lpips(net=net) for net in ("alex", "vgg")}
    found: dict[str, list[list[float]]] = {}
    for clip, frames in list(dfc32_clips(given.folder))[:: given.every]:
        for name, made, source in (steps if given.what == "steps" else between)(frames, loaded):
            psnr = -10 * math.log10(max(mse(made, source), 1e-10))
            shown = slice(1, None, 4) if given.what == "steps" else slice(None)
            row = [psnr, *(float(np.mean(lpips(source[shown], made[shown], net))) for net in networks.values())]
            found.setdefault(name, []).append(row)
            print(clip, name, *(f"{value:.4f}" for value in row), flush=True)
    rows = [[name, *(f"{value:.4f}" for value in np.mean(values, axis=0))] for name, values in found.items()]
    print(table(["", "PSNR", "LPIPS (AlexNet)", "LPIPS (VGG-16)"], rows))


if __name__ == "__main__":
    main()
