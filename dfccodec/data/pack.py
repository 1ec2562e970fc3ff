"""Packs `.dfc` files into tar shards in the layout of WebDataset, with an index. Imports no torch.

A sample is `KEY.dfc`, with `KEY.txt` and `KEY.json` where the file has them. Shards depend on the files alone, so an
interrupted run is continued by running it again: finished shards stay.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dfccodec.data.dataset_card import write_card
from dfccodec.data.files import DfcLocation, Sources, find_files, open_location, sidecars_of
from dfccodec.data.index import LatentIndex, build_index
from dfccodec.errors import InputError, OutputExistsError, UsageError
from dfccodec.runtime.atomic_output import replacing

INDEX_NAME = "index.json"

DEFAULT_SHARD_BYTES = 1 << 30
"""Bytes after which a shard ends: WebDataset's advice, large enough for sequential reads from a network disk."""

_COPY_BYTES = 1 << 20

_SHARD_NAME = re.compile(r"shard-(\d{6})\.tar")


@dataclass(frozen=True)
class PackReport:
    """Result of packing: numbers of shards and files, shards that were there already, and bytes of all shards."""

    shards: int
    files: int
    reused: int
    size: int


@dataclass(frozen=True)
class _Sample:
    key: str
    location: DfcLocation
    members: tuple[tarfile.TarInfo, ...]

    @property
    def size(self) -> int:
        """Bytes in the shard: a header of 512 bytes, and contents padded to blocks of 512."""
        return sum(512 + -(-member.size // 512) * 512 for member in self.members)


def pack_folder(
    sources: Sources,
    out: str | Path,
    *,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    seed: int | None = None,
    mixed_qp: bool = False,
    on_damage: str = "raise",
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> PackReport:
    """Pack `.dfc` files and their captions into `out/shard-000000.tar` and so on, with `out/index.json` and a dataset
    card `out/README.md`.

    Args:
        sources: see `LatentDataset`.
        out: a folder, created if needed; not one of the sources.
        shard_bytes: bytes after which a shard ends.
        seed: mixes the files, so that a sequential reader sees them in random order; None keeps the order of names.
        mixed_qp: whether files may have different QPs.
        on_damage: `raise`, or `skip` to leave out damaged files with a warning.
        overwrite: whether shards of other files may be replaced.
        progress: called with the number of files done.

    Raises:
        InputError, DamagedError, ModelError: as for `LatentDataset`.
        UsageError: two files have the same name, or the output is a source.
        OutputExistsError: the folder has shards of other files.
    """
    target = Path(out)
    if shard_bytes < 1:
        raise UsageError(f"shard size {shard_bytes} is too small: give 1 byte or more")
    if target.exists() and not target.is_dir():
        raise UsageError(f"output {target} is a file: name a folder")
    several = [sources] if isinstance(sources, str | Path) else sources
    if any(isinstance(source, str | Path) and _is_within(source, target) for source in several):
        raise UsageError(f"output {target} is the input: name another folder")
    locations = find_files(sources, exclude=target)
    index = build_index(locations, mixed_qp=mixed_qp, on_damage=on_damage)
    plan = _plan(index, shard_bytes, seed)
    _check_stale(target, plan, overwrite)
    target.mkdir(parents=True, exist_ok=True)
    done = reused = 0
    shards = []
    for number, samples in enumerate(plan):
        path = target / _name(number)
        if _is_complete(path, samples):
            reused += 1
        else:
            with replacing(path) as stream:
                _write_shard(stream, samples)
        done += len(samples)
        shards.append({"url": path.name, "nsamples": len(samples), "filesize": path.stat().st_size})
        if progress:
            progress(done)
    latents = _write_index(target / INDEX_NAME, shards, index)
    write_card(target, latents, shards)
    return PackReport(len(plan), done, reused, sum(path["filesize"] for path in shards))  # type: ignore[misc]


def _is_within(path: str | Path, folder: Path) -> bool:
    return folder.exists() and Path(path).resolve().is_relative_to(folder.resolve())


def _name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def _plan(index: LatentIndex, shard_bytes: int, seed: int | None) -> list[list[_Sample]]:
    """Divide the files into shards."""
    order: Sequence[int] = range(len(index.files))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(index.files)).tolist()
    shards: list[list[_Sample]] = []
    seen: dict[str, DfcLocation] = {}
    size = 0
    for number in order:
        sample = _sample(index.files[number].location)
        if sample.key in seen:
            raise UsageError(
                f"{seen[sample.key].label} and {sample.location.label} would both be {sample.key!r} in the shards: "
                "rename one"
            )
        seen[sample.key] = sample.location
        if not shards or size + sample.size > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(sample)
        size += sample.size
    return shards


def _sample(location: DfcLocation) -> _Sample:
    folder, slash, name = location.key.rpartition("/")
    key = folder + slash + name.replace(".", "_")  # WebDataset ends a key at the first dot
    stat = os.stat(location.path)
    size = location.size if location.size >= 0 else stat.st_size - location.offset
    sizes = [(".dfc", size), *((suffix, len(content)) for suffix, content in sidecars_of(location))]
    members = []
    for suffix, count in sizes:
        member = tarfile.TarInfo(key + suffix)
        member.size, member.mtime = count, int(stat.st_mtime)
        members.append(member)
    return _Sample(key, location, tuple(members))


def _write_shard(stream: BinaryIO, samples: Sequence[_Sample]) -> None:
    for sample in samples:
        beside = dict(sidecars_of(sample.location))
        for member in sample.members:
            suffix = member.name[len(sample.key) :]
            if suffix == ".dfc":
                with open_location(sample.location) as content:
                    _add(stream, member, content, sample.location)
            else:
                _add(stream, member, io.BytesIO(beside.get(suffix, b"")), sample.location)
    stream.write(bytes(2 * tarfile.BLOCKSIZE))  # the end of an archive


def _add(stream: BinaryIO, member: tarfile.TarInfo, content: BinaryIO, location: DfcLocation) -> None:
    stream.write(member.tobuf(tarfile.PAX_FORMAT))
    left = member.size
    while left and (part := content.read(min(left, _COPY_BYTES))):
        stream.write(part)
        left -= len(part)
    if left:
        raise InputError(f"{location.label} has become shorter while it was packed: run dfc pack again")
    stream.write(bytes(-member.size % tarfile.BLOCKSIZE))


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    with tarfile.open(path, "r:") as shard:
        for member in shard:
            yield member.name, member.size, int(member.mtime)


def _is_complete(path: Path, samples: Sequence[_Sample]) -> bool:
    """Whether a shard exists and has these members. Shards appear when complete, so no content is compared."""
    wanted = [(member.name, member.size, int(member.mtime)) for sample in samples for member in sample.members]
    try:
        return path.is_file() and list(_members(path)) == wanted
    except (tarfile.TarError, OSError):
        return False


def _check_stale(target: Path, plan: Sequence[Sequence[_Sample]], overwrite: bool) -> None:
    """Reject, or remove, shards of other files."""
    found = sorted(target.glob("shard-*.tar")) if target.is_dir() else []
    for path in found:
        match = _SHARD_NAME.fullmatch(path.name)
        number = int(match[1]) if match else len(plan)
        if number < len(plan) and _is_complete(path, plan[number]):
            continue
        if not overwrite:
            raise OutputExistsError(
                f"{path} is a shard of other files: give -y to replace the shards of {target}, or name another folder"
            )
        if match and number >= len(plan):
            path.unlink()


def _write_index(path: Path, shards: list[dict[str, object]], index: LatentIndex) -> dict[str, object]:
    """Write the index: the layout of WebDataset's `wids`, and what the latents are under `dfc`, which is returned."""
    clips = index.clips
    latents: dict[str, object] = {
        "model": index.model.name,
        "fingerprint": index.model.fingerprint.hex(),
        "channels": index.files[0].header.channels,
        "qp": sorted({int(qp) for qp in clips["qp"]}),
        "files": len(index.files),
        "clips": len(clips),
        "frames": int(clips["frames"].sum(dtype=np.int64)),
        "kept": int(clips["count"].sum(dtype=np.int64)),
    }
    record = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "shardlist": shards,
        "dfc": latents,
    }
    with replacing(path) as stream:
        stream.write((json.dumps(record, indent=1) + "\n").encode())
    return latents
