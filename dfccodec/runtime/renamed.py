"""Old names of keyword arguments, still accepted."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def accept_old_names(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let callers use the old names of keyword arguments.

    Args:
        names: old name -> new name.

    Returns:
        a decorator. An old name gives a `DeprecationWarning`; an old and a new name together are a `TypeError`.

    >>> @accept_old_names(snap="deadzone")
    ... def encode(deadzone: float = 0.15) -> float:
    ...     return deadzone
    >>> encode(snap=0.0)
    0.0
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in [name for name in kwargs if name in names]:
                new = names[old]
                if new in kwargs:
                    raise TypeError(
                        f"{function.__name__}() got {old} and {new}, which are one argument: leave out {old}"
                    )
                warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
