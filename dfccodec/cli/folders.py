"""Folders as inputs: they mean their videos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dfccodec.errors import UsageError
from dfccodec.runtime.atomic_output import VIDEO_EXTENSIONS


def expand(inputs: Sequence[str], recursive: bool) -> tuple[list[str], dict[str, str]]:
    """Replace folders by their videos, in order of names.

    Args:
        inputs: files and folders.
        recursive: look into subfolders too, and into those of theirs; links to folders are not followed.

    Returns:
        files, and for those from a folder their paths relative to it.

    Raises:
        UsageError: a folder has no videos, or `recursive` without a folder.
    """
    folders = [source for source in inputs if source and Path(source).is_dir()]
    if recursive and not folders:
        raise UsageError("--recursive needs a folder as input: name one, or leave it out")
    files: list[str] = []
    inside: dict[str, str] = {}
    for source in inputs:
        if source not in folders:
            files.append(source)
            continue
        found = {os.path.join(source, path): path for path in sorted(_videos(source, recursive))}
        if not found:
            fix = "" if recursive else "; --recursive looks into its subfolders"
            raise UsageError(f"input {source} is a folder without videos, such as .mp4: name their files{fix}")
        files += found
        inside |= found
    return files, inside


def _videos(folder: str, recursive: bool) -> Iterator[str]:
    """Videos in a folder by extension, relative to it; names that begin with a dot are left out."""
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if recursive and not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in VIDEO_EXTENSIONS and not name.startswith("."):
                yield os.path.relpath(os.path.join(place, name), folder)
