"""Principal components of block trajectories: why the motion latent of fill policy `generate` consists of waves.

    python -m benchmarks.quality.trajectories ../shared/clips/train [--count 150]        about two minutes

A clip of 32 frames of 256×256 per video. Trajectories of cells around frame 16, divided by their largest displacement
(at least 8 pixels), with their mirror images in time. Prints the share of energy of the first components and of the
waves (SPEC.md 6.8).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from dfccodec.codec.fill.generate.fit import trajectories
from dfccodec.errors import InputError
from dfccodec.models.regen import TIME_UNIT, wave_basis
from dfccodec.training.data.dataset import load_scenes
from dfccodec.training.data.decoded import draw_clip

FRAMES, KEPT = 32, 16


def cell_trajectories(folder: Path, count: int) -> np.ndarray:
    """Displacements (n, 31) of all cells, down and right, at the frames 1…31 of clips."""
    found: list[np.ndarray] = []
    rng = np.random.default_rng(1)
    for scene in load_scenes(folder, max_frames=64, on_skip=lambda _: None):
        if len(found) == count:
            break
        try:
            clip = draw_clip(scene, rng)
        except InputError:
            continue
        if len(clip) == FRAMES:
            motion = trajectories(clip, KEPT, [n for n in range(1, FRAMES) if n != KEPT])
            found.append(np.insert(motion, KEPT - 1, 0, axis=0).reshape(FRAMES - 1, -1).T)
    return np.concatenate(found)


def main() -> None:
    """Print both shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=150)
    given = parser.parse_args()
    paths = cell_trajectories(given.folder, given.count)
    largest = np.abs(paths).max(axis=1, keepdims=True)
    paths = (paths / np.maximum(largest, 8))[largest[:, 0] > 0.5]
    paths = np.concatenate([paths, paths[:, ::-1]])
    energy = np.linalg.svd(paths, compute_uv=False) ** 2
    shares = np.cumsum(energy) / energy.sum()
    print("| numbers per direction | principal components | waves |\n| --- | --- | --- |")
    time = (torch.arange(1, FRAMES) - KEPT) / TIME_UNIT
    for waves in range(1, 5):
        basis = np.linalg.qr(wave_basis(time, waves).double().numpy())[0]
        share = np.square(paths @ basis).sum() / np.square(paths).sum()
        print(f"| {2 * waves} | {100 * shares[2 * waves - 1]:.1f} % | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
