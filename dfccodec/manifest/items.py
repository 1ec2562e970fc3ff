"""The list of files: one JSON object a line, with `input` and perhaps `output`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dfccodec.errors import InputError, UsageError

_EXAMPLE = 'as {"input": "in.mp4", "output": "in.dfc"}'


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the list. There may be millions, so they are small.

    Args:
        line: its line, from 1.
        source: its input as in the list; a relative path is relative to `folder`.
        folder: the folder of the list.
        output: the output, relative to the output folder, with `/`.
    """

    line: int
    source: str
    folder: str
    output: str

    @property
    def path(self) -> Path:
        """The input."""
        return Path(self.folder, self.source)

    @property
    def key(self) -> str:
        """A file name for this output."""
        return hashlib.sha256(self.output.encode(errors="surrogatepass")).hexdigest()[:32]


def read_items(file: Path, suffix: str, keep_tree: bool = False) -> list[Item]:
    """Read a list.

    Args:
        file: the list.
        suffix: extension of outputs that the list does not name, as `.dfc`.
        keep_tree: name such outputs by the path of their inputs below their common parent, not by their name alone.

    Raises:
        InputError: the list cannot be read.
        UsageError: a line is invalid, or two lines have one output. The message has the number of the line.
    """
    root = _shared_folder([source for _, source, output in _lines(file, suffix) if not output]) if keep_tree else ""
    folder, items = str(file.parent), dict[str, Item]()
    for line, source, named in _lines(file, suffix):
        output = named or _default(source, root, suffix)
        item = Item(line, source, folder, output)
        other = items.setdefault(output, item)
        if other is not item:
            fix = 'give one of them another "output"' + ("" if keep_tree else ", or --keep-tree")
            raise UsageError(
                f"{_place(file, line)}: {source} would become {output}, as {other.source} of line {other.line}; {fix}"
            )
    if not items:
        raise UsageError(f"manifest {file} is empty: give one object a line, {_EXAMPLE}")
    return list(items.values())


def _place(file: Path, line: int) -> str:
    return f"manifest {file} line {line}"


def _lines(file: Path, suffix: str) -> Iterator[tuple[int, str, str]]:
    """Number, input and output of each line; the output is empty if the line has none."""
    for line, record in _records(file):
        place = _place(file, line)
        yield line, _source(record, place), _named(record["output"], suffix, place) if "output" in record else ""


def _records(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line that is not empty."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield number, _object(text, _place(file, number))
    except OSError as error:
        raise InputError(f"cannot open manifest {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"manifest {file} is not text in UTF-8: give one object a line, {_EXAMPLE}") from None


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise UsageError(f"{place} is not JSON ({why}): write one object a line, {_EXAMPLE}") from None
    if not isinstance(record, dict):
        raise UsageError(f"{place} is no object but {text.strip()[:40]}: write {_EXAMPLE[3:]}")
    if typo := _misspelt(tuple(record)):
        raise UsageError(f'{place} has "{typo[0]}" and no "{typo[1]}": rename it')
    return record


@lru_cache(maxsize=64)
def _misspelt(keys: tuple[str, ...]) -> tuple[str, str] | None:
    """A key that looks like one that is missing, and the missing one. Lines of a list mostly have the same keys."""
    for name in ("input", "output"):
        close = get_close_matches(name, keys, 1, 0.75)
        if close and name not in keys:
            return close[0], name
    return None


def _source(record: dict[str, Any], place: str) -> str:
    source = record.get("input")
    if not isinstance(source, str) or not source:
        what = f"an input that is no text, {source!r}" if "input" in record else 'no "input"'
        raise UsageError(f"{place} has {what}: write {_EXAMPLE[3:]}")
    if "://" in source or source == "-" or "\0" in source:
        raise UsageError(f"{place}: input {source} is no file: fetch it first and name the file")
    if os.path.basename(source) in ("", ".", ".."):
        raise UsageError(f"{place}: input {source} is a folder: name its files, one a line")
    return source


def _named(output: object, suffix: str, place: str) -> str:
    """An output of the list, checked."""
    if not isinstance(output, str) or not output or "\0" in output:
        raise UsageError(f"{place} has an output that is no text, {output!r}: write a name below the output folder")
    path = PurePosixPath(output.replace(os.sep, "/"))
    if path.is_absolute() or ".." in path.parts or os.path.splitdrive(output)[0]:
        raise UsageError(f"{place}: output {output} is outside of the output folder: write a name below it")
    if path.suffix != suffix:
        better = path.with_suffix(suffix) if path.name else f"name{suffix}"
        raise UsageError(f"{place}: output {output} is no {suffix} name: write {better}")
    return str(path)


def _default(source: str, root: str, suffix: str) -> str:
    inside = os.path.relpath(source, root) if root else os.path.basename(source)
    return str(PurePosixPath(inside.replace(os.sep, "/")).with_suffix(suffix))


def _shared_folder(sources: list[str]) -> str:
    folders = {os.path.dirname(source) or os.curdir for source in sources}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:  # relative and absolute ones, or two drives
        raise UsageError(
            "--keep-tree needs inputs that share a folder: write all of them relative, or all absolute, or name outputs"
        ) from None
