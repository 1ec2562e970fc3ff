"""Finds `.dfc` files: in folders, by glob patterns, and inside tar shards. Imports no torch."""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.errors import DfcError, InputError, UsageError

CAPTION_KEYS = ("caption", "text", "description")
"""Keys of a sidecar `.json`, and names of tags, that hold a caption, by preference."""

MAX_CAPTION = 1 << 20
"""Maximum bytes of a sidecar: a caption of this size is another kind of file."""


@dataclass(frozen=True)
class DfcLocation:
    """Where the bytes of a `.dfc` file are: a file of its own, or a part of a tar shard.

    Attributes:
        path: the file or the shard.
        key: name without suffix, relative to the folder given; unique within a shard.
        offset, size: range of bytes within `path`; size -1 is up to the end.
        sidecars: (offset, size, suffix) of `.txt` and `.json` in the shard; None looks beside the file.
        content: `path` read into memory, for files that arrive as bytes; None reads it when needed.
    """

    path: str
    key: str
    offset: int = 0
    size: int = -1
    sidecars: tuple[tuple[int, int, str], ...] | None = None
    content: bytes | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.path if self.sidecars is None else f"{self.path}, {self.key}.dfc"


Sources = str | Path | Sequence[str | Path | DfcLocation]
"""A folder (searched recursively), a `.dfc` file, a `.tar` shard, or a glob pattern; or several of them."""


class FileRange(io.RawIOBase):
    """A range of bytes of a file as a stream of its own, whose position 0 is the start of the range."""

    def __init__(self, path: str, offset: int = 0, size: int = -1) -> None:
        self._file = open(path, "rb", buffering=0)
        self._start, self._place = offset, 0
        self._size = os.fstat(self._file.fileno()).st_size - offset if size < 0 else size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = base + place
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._size - self._place))
        self._file.seek(self._start + self._place)
        found = self._file.readinto(memoryview(buffer)[:count]) or 0
        self._place += found
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def open_location(location: DfcLocation) -> Iterator[BinaryIO]:
    """Open a `.dfc` file, wherever it is, as a seekable stream.

    Raises:
        InputError: it cannot be opened.
    """
    if location.content is not None:
        end = None if location.size < 0 else location.offset + location.size
        yield io.BytesIO(location.content[location.offset : end])
        return
    try:
        raw = FileRange(location.path, location.offset, location.size)
    except OSError as error:
        raise InputError(f"cannot open {location.path}: {error.strerror}") from None
    with raw, io.BufferedReader(raw) as stream:
        yield cast(BinaryIO, stream)


@contextlib.contextmanager
def naming(label: str) -> Iterator[None]:
    """Add the name of a file to every error of dfc in this block."""
    try:
        yield
    except DfcError as error:
        if label in str(error):
            raise
        named = type(error)(f"{label}: {error}")
        named.__dict__.update(error.__dict__)
        raise named from None


def find_files(sources: Sources, exclude: Path | None = None) -> list[DfcLocation]:
    """Find all `.dfc` files of the sources, sorted by name, so that every process finds the same order.

    Args:
        sources: where to look.
        exclude: a folder whose files are left out.

    Raises:
        InputError: there is none, a shard is damaged, or a folder has both files and shards, which may be the same.
        UsageError: a source is of another type.
    """
    several = [sources] if isinstance(sources, str | Path) or not isinstance(sources, Iterable) else list(sources)
    if not several or not all(isinstance(source, str | Path | DfcLocation) for source in several):
        raise UsageError(f"sources {sources!r}: give a folder, a file, a glob pattern, or a list of them")
    found: dict[tuple[str, int], DfcLocation] = {}
    for source in several:
        for location in [source] if isinstance(source, DfcLocation) else _find(str(source), exclude):
            found[location.path, location.offset] = location
    if not found:
        names = ", ".join(map(str, several))
        raise InputError(
            f"no .dfc file in {names}: write some with dfc encode VIDEOS --preset latents --output-dir DIR"
        )
    return sorted(found.values(), key=lambda location: (location.path, location.offset))


def _find(source: str, exclude: Path | None) -> Iterator[DfcLocation]:
    path = Path(source)
    if path.is_dir():
        yield from _find_in_folder(path, exclude)
        return
    matches = [source] if path.exists() else sorted(glob.glob(source, recursive=True))
    if not matches:
        raise InputError(f"{source} does not exist: give a folder, a .dfc file, a .tar shard, or a glob pattern")
    for name in matches:
        if Path(name).is_dir():
            yield from _find_in_folder(Path(name), exclude)
        elif name.endswith((".dfc", ".tar")) or matches == [source]:
            yield from _locations(name, Path(name).parent)


def _find_in_folder(folder: Path, exclude: Path | None) -> Iterator[DfcLocation]:
    found = sorted(p for p in folder.rglob("*") if p.suffix in (".dfc", ".tar") and not p.name.startswith("."))
    if exclude is not None:
        found = [path for path in found if not path.resolve().is_relative_to(exclude.resolve())]
    kinds = {path.suffix: path for path in reversed(found)}
    if len(kinds) > 1:
        raise InputError(
            f"{folder} has files, such as {kinds['.dfc']}, and shards, such as {kinds['.tar']}: give one of them, as a "
            "folder or a glob pattern, so that nothing is read twice"
        )
    for path in found:
        yield from _locations(str(path), folder)


def _locations(name: str, root: Path) -> Iterator[DfcLocation]:
    if name.endswith(".tar"):
        yield from read_shard(name)
    else:
        yield DfcLocation(name, Path(name).relative_to(root).with_suffix("").as_posix())


def read_shard(path: str | Path) -> list[DfcLocation]:
    """List the `.dfc` files of a tar shard, in their order.

    Raises:
        InputError: the file is no tar file, or it is compressed.
    """
    members: dict[str, list[tuple[str, int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as shard:  # ":" refuses compression: members must be at known places
            for member in shard:
                folder, slash, name = member.name.rpartition("/")
                key, _, suffix = name.partition(".")  # as webdataset divides names
                key = folder + slash + key
                if member.isfile():
                    members.setdefault(key, []).append((suffix, member.offset_data, member.size))
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path} is not a readable tar shard ({error}): write it again with dfc pack") from None
    out = []
    for key, parts in members.items():
        sidecars = tuple((at, size, "." + suffix) for suffix, at, size in parts if suffix in ("txt", "json"))
        out += [DfcLocation(str(path), key, at, size, sidecars) for suffix, at, size in parts if suffix == "dfc"]
    return out


def sidecars_of(location: DfcLocation) -> list[tuple[str, bytes]]:
    """Return suffix and content of the sidecars of a file: `.txt`, then `.json`.

    Raises:
        InputError: one is too long for a caption, or cannot be read.
    """
    parts = []
    if location.sidecars is None:
        for suffix in (".txt", ".json"):
            beside = Path(location.path).with_suffix(suffix)
            if beside.is_file():
                parts.append((0, beside.stat().st_size, suffix, str(beside)))
    else:
        parts = [(at, size, suffix, location.path) for at, size, suffix in sorted(location.sidecars, key=_txt_first)]
    out = []
    for at, size, suffix, path in parts:
        if size > MAX_CAPTION:
            raise InputError(f"{path}: sidecar of {size} bytes: a caption has at most {MAX_CAPTION}; rename the file")
        if location.content is not None:
            out.append((suffix, location.content[at : at + size]))
            continue
        with open(path, "rb") as stream:
            stream.seek(at)
            out.append((suffix, stream.read(size)))
    return out


def _txt_first(part: tuple[int, int, str]) -> bool:
    return part[2] != ".txt"


def read_caption(location: DfcLocation, tags: Sequence[tuple[str, str]]) -> str:
    """Return the caption of a file: its sidecar `.txt`, or `caption`, `text` or `description` of its sidecar `.json` or
    of its tags; empty if there is none.

    Raises:
        InputError: a sidecar is not UTF-8, or not a JSON object.
    """
    for suffix, content in sidecars_of(location):
        try:
            text = content.decode("utf-8")
            found = text.strip() if suffix == ".txt" else _first(json.loads(text).items())
        except (ValueError, AttributeError, RecursionError) as error:
            kind = "UTF-8 text" if suffix == ".txt" else "a JSON object"
            raise InputError(f"sidecar {suffix} is not {kind} ({error}): correct or remove it") from None
        if found:
            return found
    return _first((key.lower(), value) for key, value in tags)


def _first(pairs: Iterator[tuple[str, object]] | object) -> str:
    known = dict(cast("Iterator[tuple[str, object]]", pairs))
    return next((str(known[key]).strip() for key in CAPTION_KEYS if known.get(key)), "")
