"""Hot loops in C, an optional extension. Every kernel has a NumPy twin that gives the same bytes and numbers.

`kernels` is the extension module, or None if it was not built, is of another version, or DFC_NATIVE=0 disables it.
The twins are in the modules that call the kernels.
"""

from __future__ import annotations

import os
from types import ModuleType

VERSION = 14
"""Version of the interface; the extension of another version is not used."""


def _load() -> ModuleType | None:
    if os.environ.get("DFC_NATIVE") == "0":
        return None
    try:
        from dfccodec.native import _kernels
    except ImportError:
        return None
    return _kernels if _kernels.VERSION == VERSION else None


kernels = _load()
