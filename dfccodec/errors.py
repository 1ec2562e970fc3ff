"""Every error dfc raises on purpose.

One tree below :class:`DfcError`. Each class carries the exit code of the command line, and each message is one
line that names the thing, the value and the fix. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

OUT_OF_MEMORY = "out of memory: make the picture smaller with --size, or give dfc more of it"
"""What people are told of a `MemoryError`."""


class DfcError(Exception):
    """Base of every error of this package; exit code 1 (failed)."""

    exit_code = 1


class UsageError(DfcError, ValueError):
    """An argument or option is wrong; exit code 2."""

    exit_code = 2


class InputError(DfcError):
    """The input cannot be opened, read or understood; exit code 3."""

    exit_code = 3


class NotDfcError(InputError):
    """The bytes do not begin with the `.dfc` signature; exit code 3."""


class UnsupportedError(InputError):
    """A valid file that needs something this reader does not have (version, critical chunk, coding); exit code 3."""


class DamagedError(DfcError):
    """The file breaks the format: truncated, flipped bits or impossible values; exit code 4.

    Args:
        message: what is wrong, in one line.
        offset: byte offset in the file of the chunk or field at fault, where known.
    """

    exit_code = 4

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class LimitError(DamagedError):
    """A declared size or count is beyond a limit of `dfccodec.limits`; nothing was allocated for it; exit code 4."""


class ModelError(DfcError):
    """A model is missing, does not load, or is not the one the file was made with; exit code 5."""

    exit_code = 5


class OutputExistsError(DfcError):
    """The output is there already and `-y` was not given; exit code 6."""

    exit_code = 6
