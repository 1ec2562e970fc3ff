"""Output that is either complete or not there: written beside the target, renamed at the end."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from dfccodec.errors import DfcError, UsageError

_LONGEST = 255

_MOVIES = "mp4 m4v mov mkv webm avi ts m2ts mts mpg mpeg vob flv f4v wmv asf ogv 3gp mxf nut y4m h264 hevc ivf dv rm"
_PICTURES = "gif apng png jpg jpeg webp avif heic bmp tif tiff"
_SOUND = "mp3 m4a aac wav flac ogg opus"
_MEDIA = frozenset(f".{ending}" for ending in f"{_MOVIES} {_PICTURES} {_SOUND}".split())
"""Endings of names that players and viewers open."""


def misnamed(target: Path, coded: bool) -> str:
    """What is wrong with the name of a file to write, and a better one; empty for a name that misleads nobody.

    Args:
        target: the name.
        coded: whether a .dfc file is written, or else a video.
    """
    suffix = target.suffix.lower()
    if coded and suffix in _MEDIA:
        what, better = "a .dfc file under the name of another kind, which no player opens", target.with_suffix(".dfc")
    elif not coded and suffix == ".dfc":
        what, better = "a video under the name of a .dfc file", target.with_suffix(".mp4")
    else:
        return ""
    return f"output {target} would be {what}: name it {better}"


def resolve_target(target: Path) -> Path:
    """The file that a path stands for, behind links.

    Raises:
        UsageError: what is there is a folder, or a pipe or a device, which a rename would replace with a file.
    """
    real = Path(os.path.realpath(target))
    with contextlib.suppress(OSError):  # nothing is there, or what is wrong with it shows when it is written
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"output {target} is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"output {target} is a pipe or a device: write to standard output, -o - > {target}")
    return real


def no_folder(folder: Path, error: OSError) -> DfcError:
    """The error of a folder that cannot be written into."""
    fix = "make it first, or name another output" if error.errno == errno.ENOENT else "name another output"
    return DfcError(f"cannot write into {folder}: {error.strerror}; {fix}")


def shortened(name: str, max_bytes: int) -> str:
    """A file's name that has `max_bytes` for so many bytes more: file systems take 255. A digest stands for what is
    cut."""
    raw = os.fsencode(name)
    if len(raw) + max_bytes <= _LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return raw[: _LONGEST - max_bytes - len(digest)].decode(errors="ignore") + digest


def permissions(target: Path) -> int:
    """Mode of the file that becomes `target`: that of what is there, else that of any new file."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


@contextlib.contextmanager
def replacing_path(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder; on success it becomes the target, on any error it is removed.

    Raises:
        DfcError: the folder cannot be written.
        UsageError: the target is no file.
    """
    target = resolve_target(target)
    try:
        prefix = f".{shortened(target.name, 32)}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=target.parent)
    except OSError as error:
        raise no_folder(target.parent, error) from None
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(permissions(target))  # mkstemp makes files for their owner only
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def pictures_of(pattern: Path) -> list[Path]:
    """The pictures that are there of a series `%05d.png`, in no order; those of a plain name are that file."""
    before, mark, after = pattern.name.partition("%")
    if not mark:
        return [pattern] if pattern.exists() else []
    number = re.compile(re.escape(before) + r"\d+" + re.escape(after.partition("d")[2]), re.ASCII)
    folder = pattern.parent
    return [path for path in folder.iterdir() if number.fullmatch(path.name)] if folder.is_dir() else []


@contextlib.contextmanager
def replacing_pictures(pattern: Path) -> Iterator[Path]:
    """A pattern `%05d.png` in a temporary folder; on success its pictures take their places, else they are gone.

    The folder that the pattern names is made if it is not there.

    Raises:
        DfcError: the folder, or the one it is to be made in, cannot be written.
    """
    folder = pattern.parent
    beside = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        made = Path(tempfile.mkdtemp(prefix=".dfc-pictures-", suffix=".part", dir=beside))
    except OSError as error:
        raise no_folder(beside, error) from None
    try:
        yield made / pattern.name
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(made.iterdir()):
                path.replace(folder / path.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """As :func:`replacing_path`, as a binary stream, flushed to disk before the rename."""
    with replacing_path(target) as path:
        stream = path.open("wb")
        try:
            yield cast(BinaryIO, Named(stream, target))
            with naming(target):
                stream.flush()
                os.fsync(stream.fileno())
                stream.close()
        except BaseException:
            with contextlib.suppress(OSError):  # what does not fit on a full disk fails once more
                stream.close()
            raise


@contextlib.contextmanager
def naming(target: object) -> Iterator[None]:
    """An error of the system's in here, such as a full disk, says where: Python's own does not.

    Raises:
        OSError: the same, with the target's name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from None
        raise


class Named:
    """A stream to write to whose errors say where it leads."""

    def __init__(self, stream: IO[bytes], name: object) -> None:
        self._stream, self._name = stream, name

    def write(self, data: bytes) -> int:
        """As the stream's.

        Raises:
            OSError: the stream's own, with the name.
        """
        with naming(self._name):
            return self._stream.write(data)
