"""Atomic output: written to a temporary file in the same folder, renamed at the end."""

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

_MAX_NAME_BYTES = 255
"""Maximum length of a file name on common file systems."""

_MOVIES = "mp4 m4v mov mkv webm avi ts m2ts mts mpg mpeg vob flv f4v wmv asf ogv 3gp mxf nut y4m h264 hevc ivf dv rm"
_PICTURES = "gif apng png jpg jpeg webp avif heic bmp tif tiff"
_SOUND = "mp3 m4a aac wav flac ogg opus"
_MEDIA = frozenset(f".{ending}" for ending in f"{_MOVIES} {_PICTURES} {_SOUND}".split())
"""File name extensions that players and viewers open."""

VIDEO_EXTENSIONS = frozenset(f".{ending}" for ending in f"{_MOVIES} gif apng".split())
"""File name extensions of videos."""


def extension_error(target: Path, coded: bool) -> str:
    """Error text for an output whose extension belongs to another kind of file; empty if the name is fine.

    Args:
        target: path of the output.
        coded: whether the output is a .dfc file; otherwise it is a video.
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
    """Resolve the links of an output path.

    Raises:
        UsageError: it is a folder, or a pipe or a device, which renaming would replace with a file.
    """
    real = Path(os.path.realpath(target))
    with contextlib.suppress(OSError):  # it does not exist, or writing to it will report the error
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"output {target} is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"output {target} is a pipe or a device: write to standard output, -o - > {target}")
    return real


def no_folder(folder: Path, error: OSError) -> DfcError:
    """The error for a folder that cannot be written to."""
    fix = "make it first, or name another output" if error.errno == errno.ENOENT else "name another output"
    return DfcError(f"cannot write into {folder}: {error.strerror}; {fix}")


def shorten_name(name: str, max_bytes: int) -> str:
    """Return a file name to which `max_bytes` bytes can be appended; file systems allow 255 bytes.

    A name that is too long is cut, and a digest of the whole name replaces the part that was cut.
    """
    raw = os.fsencode(name)
    if len(raw) + max_bytes <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return raw[: _MAX_NAME_BYTES - max_bytes - len(digest)].decode(errors="ignore") + digest


def permissions(target: Path) -> int:
    """File mode of an output: that of the existing file, else that of a new file."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


@contextlib.contextmanager
def replacing_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder. On success it is renamed to the target, on an error removed.

    Raises:
        DfcError: the folder cannot be written.
        UsageError: the target is not a file.
    """
    target = resolve_target(target)
    try:
        prefix = f".{shorten_name(target.name, 32)}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=target.parent)
    except OSError as error:
        raise no_folder(target.parent, error) from None
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(permissions(target))  # mkstemp creates files that only their owner can read
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def existing_images(pattern: Path) -> list[Path]:
    """Existing images of a sequence `%05d.png`, in no order; for a plain name, the file itself if it exists."""
    before, mark, after = pattern.name.partition("%")
    if not mark:
        return [pattern] if pattern.exists() else []
    number = re.compile(re.escape(before) + r"\d+" + re.escape(after.partition("d")[2]), re.ASCII)
    folder = pattern.parent
    return [path for path in folder.iterdir() if number.fullmatch(path.name)] if folder.is_dir() else []


@contextlib.contextmanager
def replacing_images(pattern: Path) -> Iterator[Path]:
    """Yield a pattern `%05d.png` in a temporary folder. On success its images are moved to the target, on an error
    removed.

    The target folder is created if it does not exist.

    Raises:
        DfcError: the target folder or its parent cannot be written.
    """
    folder = pattern.parent
    parent = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        made = Path(tempfile.mkdtemp(prefix=".dfc-images-", suffix=".part", dir=parent))
    except OSError as error:
        raise no_folder(parent, error) from None
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
            yield cast(BinaryIO, NamedStream(stream, target))
            with naming(target):
                stream.flush()
                os.fsync(stream.fileno())
                stream.close()
        except BaseException:
            with contextlib.suppress(OSError):  # on a full disk closing fails again
                stream.close()
            raise


@contextlib.contextmanager
def naming(target: object) -> Iterator[None]:
    """Add the target's name to system errors in the block, such as a full disk.

    Raises:
        OSError: the same error, with the name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from None
        raise


class NamedStream:
    """Output stream whose errors contain its name."""

    def __init__(self, stream: IO[bytes], name: object) -> None:
        self._stream, self._name = stream, name

    def write(self, data: bytes) -> int:
        """Write to the stream.

        Raises:
            OSError: the error of the stream, with the name.
        """
        with naming(self._name):
            return self._stream.write(data)
