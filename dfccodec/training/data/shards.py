"""Splits videos and checkpoints into pieces for a machine with a size limit per transfer.

    python -m dfccodec.training.data.shards videos ../shared/clips/train shards/ --call 40
    python -m dfccodec.training.data.shards frames ../shared/clips/train shards/ --side 128 --frames 40
    python -m dfccodec.training.data.shards split runs/mini/last.pt shards/
    python -m dfccodec.training.data.shards join shards/last.pt.000 runs/mini/last.pt

`videos` copies the videos of a folder to `shards/00`, `shards/01` …, one folder per transfer. `frames` decodes them to
`*.frames.npy` (uint8), about thirty times the bytes, for a machine that cannot decode. `dfc train --data` reads both,
once they are in one folder. `split` cuts a file into pieces of up to 16 MiB and writes a checksum. `join` joins the
pieces and verifies the checksum. docs/training.md describes the complete procedure.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np

from dfccodec.errors import DamagedError, DfcError, InputError
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.training.data.dataset import FRAMES_SUFFIX, VIDEO_SUFFIXES

PIECE_BYTES = 16 << 20
"""Maximum number of bytes of a piece."""

TRANSFER_BYTES = 64 << 20
"""Maximum number of bytes per transfer."""


def pack_footage(folder: Path, out: Path, side: int, frames: int, piece: int = PIECE_BYTES) -> list[Path]:
    """Decode every video of a folder to a uint8 array of up to `frames` frames with short side `side`.

    If a scene has more than `piece` bytes, frames at its end are discarded.

    Raises:
        InputError: the folder has no video, or a video does not decode.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES):
        scene = np.stack(read_scaled(path, side, max_frames=frames))
        target = out / f"{path.stem}{FRAMES_SUFFIX}"
        np.save(target, scene[: max(1, (piece - 256) // scene[0].nbytes)])
        written.append(target)
    if not written:
        raise InputError(f"no video in {folder}: name a folder of {', '.join(sorted(VIDEO_SUFFIXES))} files")
    return written


def copy_to_transfers(folder: Path, out: Path, call: int) -> list[Path]:
    """Copy the videos of a folder to `out/00`, `out/01` …, up to `call` bytes each.

    Raises:
        InputError: the folder has no video.
    """
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise InputError(f"no video in {folder}: name a folder of {', '.join(sorted(VIDEO_SUFFIXES))} files")
    folders = []
    for number, run in enumerate(group_transfers(videos, call)):
        target = out / f"{number:02d}"
        target.mkdir(parents=True, exist_ok=True)
        for path in run:
            shutil.copyfile(path, target / path.name)
        folders.append(target)
    return folders


def group_transfers(files: list[Path], call: int = TRANSFER_BYTES) -> list[list[Path]]:
    """Group files, in order, into transfers of up to `call` bytes each."""
    runs: list[list[Path]] = [[]]
    total = 0
    for path in files:
        size = path.stat().st_size
        if runs[-1] and total + size > call:
            runs.append([])
            total = 0
        runs[-1].append(path)
        total += size
    return [run for run in runs if run]


def split(path: Path, out: Path, piece: int = PIECE_BYTES) -> list[Path]:
    """Split a file into `NAME.000`, `NAME.001` …, and write `NAME.sha256` next to them."""
    out.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)] or [b""]
    names = [out / f"{path.name}.{i:03d}" for i in range(len(pieces))]
    for name, part in zip(names, pieces, strict=True):
        name.write_bytes(part)
    (out / f"{path.name}.sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")
    return names


def join(first: Path, target: Path) -> None:
    """Join pieces, starting with `NAME.000`.

    Raises:
        InputError: the first piece or the checksum is missing.
        DamagedError: a piece is missing or damaged.
    """
    stem = first.with_suffix("")
    pieces = sorted(first.parent.glob(f"{stem.name}.[0-9][0-9][0-9]"))
    if first.suffix != ".000" or first not in pieces:
        raise InputError(f"no piece {first}: give the first piece, whose name ends in .000")
    data = b"".join(piece.read_bytes() for piece in pieces)
    wanted = stem.with_name(f"{stem.name}.sha256")
    if not wanted.exists():
        raise InputError(f"no {wanted}: copy the checksum file that split wrote next to the pieces")
    if hashlib.sha256(data).hexdigest() != wanted.read_text().strip():
        raise DamagedError(f"{stem.name}: {len(pieces)} pieces do not match the checksum; copy them again")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".tmp").write_bytes(data)
    target.with_suffix(".tmp").replace(target)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Split videos and checkpoints into pieces for transfer.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    videos = verbs.add_parser("videos", help="copy videos to one folder per transfer")
    frames = verbs.add_parser("frames", help="decode videos to arrays")
    for verb in (videos, frames):
        verb.add_argument("folder", type=Path)
        verb.add_argument("out", type=Path)
    videos.add_argument("--call", type=int, default=TRANSFER_BYTES >> 20, help="maximum MiB per transfer")
    frames.add_argument("--side", type=int, default=128, help="short side in pixels")
    frames.add_argument("--frames", type=int, default=40, help="maximum frames per scene")
    cut = verbs.add_parser("split", help="split a file into pieces of 16 MiB")
    cut.add_argument("file", type=Path)
    cut.add_argument("out", type=Path)
    glue = verbs.add_parser("join", help="join pieces")
    glue.add_argument("first", type=Path, help="first piece, whose name ends in .000")
    glue.add_argument("target", type=Path)
    args = parser.parse_args()
    try:
        if args.verb == "videos":
            print("\n".join(str(path) for path in copy_to_transfers(args.folder, args.out, args.call << 20)))
        elif args.verb == "frames":
            runs = group_transfers(pack_footage(args.folder, args.out, args.side, args.frames))
            for number, run in enumerate(runs):
                size = sum(path.stat().st_size for path in run)
                print(f"transfer {number}: {len(run)} files, {size >> 20} MiB, {run[0].name} to {run[-1].name}")
        elif args.verb == "split":
            print("\n".join(str(path) for path in split(args.file, args.out)))
        else:
            join(args.first, args.target)
    except DfcError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    except OSError as error:
        parser.exit(1, f"error: {error.filename}: {error.strerror}\n")


if __name__ == "__main__":
    main()
