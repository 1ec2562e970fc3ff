"""Old names of keyword arguments and attributes, still accepted."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

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


class OldName(Generic[R]):
    """Descriptor that reads an attribute by its old name, with a `DeprecationWarning`.

    >>> class Decoder:
    ...     def __init__(self) -> None:
    ...         self.lost_frames = [3]
    ...     lost = OldName[list[int]]("lost_frames")
    >>> Decoder().lost
    [3]
    """

    def __init__(self, new: str) -> None:
        self._new, self._old = new, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: object, owner: type) -> R:
        if instance is None:
            raise AttributeError(self._old)
        warnings.warn(f"{owner.__name__}.{self._old} is now called {self._new}", DeprecationWarning, stacklevel=2)
        value: R = getattr(instance, self._new)
        return value
