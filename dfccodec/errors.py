"""All errors that dfc raises on purpose.

They derive from :class:`DfcError`. Each class has the exit code of the command line. Each message is one line that
names the thing, the value and the fix. Any other exception is a bug.
"""

from __future__ import annotations

OUT_OF_MEMORY = "out of memory: make the picture smaller with --size, or give dfc more memory"
"""Message for a `MemoryError`."""


class DfcError(Exception):
    """Base of every error of this package; exit code 1 (failed)."""

    exit_code = 1


class UsageError(DfcError, ValueError):
    """An argument or option is invalid; exit code 2."""

    exit_code = 2


class InputError(DfcError):
    """The input cannot be opened, read or decoded; exit code 3."""

    exit_code = 3


class NotDfcError(InputError):
    """The bytes do not begin with the `.dfc` signature; exit code 3."""


class UnsupportedError(InputError):
    """A valid file that needs something this reader does not have (version, critical chunk, coding); exit code 3."""


class DamagedError(DfcError):
    """The file violates the format: truncated, flipped bits or invalid values; exit code 4.

    Args:
        message: the fault in one line.
        offset: byte offset of the faulty chunk or field, if known.
    """

    exit_code = 4

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class LimitError(DamagedError):
    """A declared size or count exceeds a limit of `dfccodec.limits`; nothing was allocated; exit code 4."""


class ModelError(DfcError):
    """A model is missing, does not load, or differs from the model of the file; exit code 5."""

    exit_code = 5


class OutputExistsError(DfcError):
    """The output exists and `-y` was not given; exit code 6."""

    exit_code = 6


def describe_error(error: Exception) -> dict[str, str | int]:
    """The JSON form of an error: one line of text, and the exit code."""
    text = OUT_OF_MEMORY if isinstance(error, MemoryError) else str(error)
    if not isinstance(error, DfcError | OSError | MemoryError):
        text = f"a bug in dfc, {type(error).__name__}: {text}; please report it"
    return {"error": " ".join(text.split()), "exit_code": getattr(error, "exit_code", 1)}
