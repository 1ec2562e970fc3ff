"""torch in a process whose working folder has been deleted."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from dfccodec.errors import DfcError

DELETED = "the working folder has been deleted: change to another one, or name files by absolute paths"


def import_torch() -> None:
    """Import torch from the root folder if the working folder has been deleted.

    Intel MKL, which torch loads, would end the process. Afterwards the working folder is the deleted one again:
    absolute paths work, and relative ones fail as the system says. If the working folder exists, this does nothing.

    Raises:
        DfcError: the system does not allow it.
    """
    if "torch" in sys.modules or exists():
        return
    try:
        folder = os.open(os.curdir, os.O_RDONLY)
        try:
            os.chdir(Path(sys.prefix).anchor)
            importlib.import_module("torch")
        finally:
            os.fchdir(folder)
            os.close(folder)
    except OSError:
        raise DfcError(DELETED) from None


def exists() -> bool:
    """Whether the working folder is still there."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True
