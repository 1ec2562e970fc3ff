"""Training data of a generator: the latents of kept frames of whole videos, read from `.dfc` files.

    python -m dfccodec.training.data.latent_videos ../shared/clips/train runs/latents --variants 2

Any `.dfc` files of one latent space will do. The command above encodes every video with small quantizer steps. Further
variants are mirrored, shifted by part of a patch or scaled: their pictures are encoded again, because mirrored latents
are not the latents of mirrored pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange

from dfccodec.codec.api import encode, load_model
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.data.clip_reader import ClipReader
from dfccodec.data.files import find_files
from dfccodec.data.index import LatentIndex, build_index
from dfccodec.errors import DfcError, InputError
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.training.data.dataset import VIDEO_SUFFIXES, source_name

QP = 12
"""Quantizer index of training data: the error of the quantizer is far below what the decoder shows."""

BUDGET = "50%"
"""Kept frames; smaller numbers are subsets by importance, as `dfc trim` makes them."""

VARIANTS = ((256, 0, False), (272, 8, True), (288, 4, False), (288, 12, True))
"""Short side in pixels, shift in pixels down and to the right, and whether the pictures are mirrored."""


@dataclass(frozen=True)
class LatentVideo:
    """The kept frames of one video.

    Args:
        source: name of the source video.
        latents: (N, 96, h, w) float16, dequantized.
        clip: (N,) number of the clip of each kept frame.
        position: (N,) frame number within the clip.
        importance: (N,) uint8.
        lengths: (clips,) frames of each clip, dropped ones included.
    """

    source: str
    latents: np.ndarray
    clip: np.ndarray
    position: np.ndarray
    importance: np.ndarray
    lengths: np.ndarray


def load_latent_videos(folder: Path) -> Iterator[LatentVideo]:
    """Yield the latents of every `.dfc` file of a folder, also of those in tar shards. All must be of one model.

    Raises:
        InputError: there is none, or a file has several tiles per frame.
        ModelError: a file is of another model.
        DamagedError: a file is damaged.
    """
    try:
        locations = find_files(folder)
    except InputError:
        raise InputError(
            f"no .dfc file in {folder}: make them with python -m dfccodec.training.data.latent_videos VIDEOS OUT"
        ) from None
    index = build_index(locations, mixed_qp=True)
    reader = ClipReader(index, cached_clips=0)
    for number in range(len(index.files)):
        video = _read_file(index, reader, number)
        if len(video.latents):
            yield video


def _read_file(index: LatentIndex, reader: ClipReader, number: int) -> LatentVideo:
    record = index.files[number]
    tiles = record.header.grid[0]
    if tiles != 1:
        raise InputError(f"{record.location.label} has {tiles} tiles per frame: encode with a model of any size (mini)")
    clips = [reader.read(clip) for clip in range(index.first_clip[number], index.first_clip[number + 1])]
    kept = [np.flatnonzero(found.clip.kept) for found in clips]
    latents = [rearrange(found.integers * found.scale, "k 1 h w c -> k c h w").astype(np.float16) for found in clips]
    return LatentVideo(
        source_name(f"{record.source}.dfc"),
        np.concatenate(latents),
        np.repeat(np.arange(len(kept)), [len(k) for k in kept]),
        np.concatenate(kept),
        np.concatenate([found.clip.importance[found.clip.kept] for found in clips]),
        np.array([found.clip.frames for found in clips]),
    )


def encode_variant(path: Path, target: Path, model: LoadedModel, variant: int) -> None:
    """Encode one variant (see `VARIANTS`) of a video to `target`."""
    side, shift, mirrored = VARIANTS[variant]
    frames = np.stack(read_scaled(path, side))[:, shift:, shift:]
    height, width = (length // model.model.patch * model.model.patch for length in frames.shape[1:3])
    frames = frames[:, :height, :width, :]
    if mirrored:
        frames = frames[:, :, ::-1]
    # Decoding the integers takes ten times as long with the range coder, and files are read at every start.
    encode(
        np.ascontiguousarray(frames), target, budget=BUDGET, qp=QP, fill="token", refine=0, coding="zstd", model=model
    )


def encode_videos(folder: Path, out: Path, variants: int, model: LoadedModel) -> int:
    """Encode every video of a folder in the first `variants` variants.

    Existing files are kept, so an interrupted run can be continued.

    Returns:
        number of files written.

    Raises:
        InputError: the folder has no video, or a video cannot be read.
    """
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if folder.is_dir() else []
    if not videos:
        raise InputError(f"no video in {folder}: give a folder of .mp4, .mkv, .mov or .webm files")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for variant in range(variants):
        for path in videos:
            target = out / f"{path.stem}-{variant}.dfc"
            if not target.exists():
                encode_variant(path, target, model, variant)
                count += 1
    return count


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Encode videos as training data of a generator.")
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", type=int, default=2, choices=range(1, len(VARIANTS) + 1))
    parser.add_argument("--model", default="mini")
    args = parser.parse_args()
    try:
        encode_videos(args.folder, args.out, args.variants, load_model(args.model))
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
