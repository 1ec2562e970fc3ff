"""Footage and checkpoints in pieces, for a machine that takes only so much at a time.

    python -m dfccodec.training.data.shards videos ../shared/clips/train shards/ --call 40
    python -m dfccodec.training.data.shards frames ../shared/clips/train shards/ --side 128 --frames 40
    python -m dfccodec.training.data.shards split runs/mini/last.pt shards/
    python -m dfccodec.training.data.shards join shards/last.pt.000 runs/mini/last.pt

`videos` deals a folder of videos out to `shards/00`, `shards/01` …, one transfer each; `frames` decodes them to
`*.frames.npy` (uint8) first, thirty times the bytes, for a machine that cannot decode. `dfc train --data` reads
either, once they lie in one folder. `split` cuts any file into pieces of at most 16 MiB with a checksum; `join` puts
them together again and checks it. docs/training.md has the whole way there and back.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

import numpy as np

from dfccodec.errors import DamagedError, DfcError, InputError
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.training.data.dataset import PACKED, SUFFIXES

PIECE = 16 << 20
"""Bytes of a piece at the most."""

CALL = 64 << 20
"""Bytes that go over in one transfer at the most."""


def pack_footage(folder: Path, out: Path, side: int, frames: int, piece: int = PIECE) -> list[Path]:
    """Decode every video of a folder to one uint8 array each, at most `frames` frames of short side `side`.

    A scene over `piece` bytes loses frames at its end until it fits.

    Raises:
        InputError: no video in the folder, or one that does not decode.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        scene = np.stack(read_scaled(path, side, most=frames))
        target = out / f"{path.stem}{PACKED}"
        np.save(target, scene[: max(1, (piece - 256) // scene[0].nbytes)])
        written.append(target)
    if not written:
        raise InputError(f"no video in {folder}: name a folder of {', '.join(sorted(SUFFIXES))} files")
    return written


def deal_videos(folder: Path, out: Path, call: int) -> list[Path]:
    """Copy the videos of a folder to `out/00`, `out/01` …, at most `call` bytes in each.

    Raises:
        InputError: no video in the folder.
    """
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not videos:
        raise InputError(f"no video in {folder}: name a folder of {', '.join(sorted(SUFFIXES))} files")
    folders = []
    for number, run in enumerate(transfers(videos, call)):
        target = out / f"{number:02d}"
        target.mkdir(parents=True, exist_ok=True)
        for path in run:
            shutil.copyfile(path, target / path.name)
        folders.append(target)
    return folders


def transfers(files: list[Path], call: int = CALL) -> list[list[Path]]:
    """Files in the fewest runs, in order, of at most `call` bytes each."""
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


def split(path: Path, out: Path, piece: int = PIECE) -> list[Path]:
    """Cut a file into `NAME.000`, `NAME.001` …, and write `NAME.sha256` beside them."""
    out.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)] or [b""]
    names = [out / f"{path.name}.{i:03d}" for i in range(len(pieces))]
    for name, part in zip(names, pieces, strict=True):
        name.write_bytes(part)
    (out / f"{path.name}.sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")
    return names


def join(first: Path, target: Path) -> None:
    """Put pieces together again, from `NAME.000` on.

    Raises:
        InputError: the first piece or the checksum is not there.
        DamagedError: a piece is missing or not what was cut.
    """
    stem = first.with_suffix("")
    pieces = sorted(first.parent.glob(f"{stem.name}.[0-9][0-9][0-9]"))
    if first.suffix != ".000" or first not in pieces:
        raise InputError(f"no piece {first}: name the first one, which ends in .000")
    data = b"".join(piece.read_bytes() for piece in pieces)
    wanted = stem.with_name(f"{stem.name}.sha256")
    if not wanted.exists():
        raise InputError(f"no {wanted}: the checksum that split wrote must come along")
    if hashlib.sha256(data).hexdigest() != wanted.read_text().strip():
        raise DamagedError(f"{stem.name}: {len(pieces)} pieces do not make the file that was split; copy them again")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".tmp").write_bytes(data)
    target.with_suffix(".tmp").replace(target)


def main() -> None:
    """The script: see the top of this file."""
    parser = argparse.ArgumentParser(description="Footage and checkpoints in pieces.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    videos = verbs.add_parser("videos", help="deal videos out to transfers")
    frames = verbs.add_parser("frames", help="decode videos to arrays")
    for verb in (videos, frames):
        verb.add_argument("folder", type=Path)
        verb.add_argument("out", type=Path)
    videos.add_argument("--call", type=int, default=CALL >> 20, help="MiB of a transfer at the most")
    frames.add_argument("--side", type=int, default=128, help="short side in pixels")
    frames.add_argument("--frames", type=int, default=40, help="frames of a scene at the most")
    cut = verbs.add_parser("split", help="cut a file into pieces of 16 MiB")
    cut.add_argument("file", type=Path)
    cut.add_argument("out", type=Path)
    glue = verbs.add_parser("join", help="put pieces together")
    glue.add_argument("first", type=Path, help="the piece that ends in .000")
    glue.add_argument("target", type=Path)
    args = parser.parse_args()
    try:
        if args.verb == "videos":
            print("\n".join(str(path) for path in deal_videos(args.folder, args.out, args.call << 20)))
        elif args.verb == "frames":
            runs = transfers(pack_footage(args.folder, args.out, args.side, args.frames))
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
