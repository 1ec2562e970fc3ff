"""A `.dfc` file by its name: opened, and named by the errors about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.errors import InputError, NotDfcError


def stream_of(path: str | Path) -> BinaryIO:
    """A file, to be read.

    Raises:
        InputError: it does not open.
    """
    try:
        return cast(BinaryIO, Path(path).open("rb"))
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}") from None


@contextlib.contextmanager
def named(name: object) -> Iterator[None]:
    """What is found in here to be no `.dfc` file is said to be so by its name.

    Raises:
        NotDfcError: the same, with the name in front.
    """
    try:
        yield
    except NotDfcError as error:
        raise NotDfcError(f"{name} is {error}") from None
