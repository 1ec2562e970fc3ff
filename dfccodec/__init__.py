"""dfc: a learned video codec that keeps only the frames that pay for their bits.

>>> import dfccodec as dfc
>>> dfc.encode("in.mp4", "out.dfc", budget="8")              # doctest: +SKIP
>>> with dfc.open("out.dfc") as file:                         # doctest: +SKIP
...     print(file.frames, file[0].kept_indices, file[0].latents.shape)
>>> for picture in dfc.decode("out.dfc"):                     # doctest: +SKIP
...     show(picture.rgb)

Names are imported when they are first used, so `import dfccodec` costs nothing and `dfc.open` never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dfccodec.runtime.working_folder import import_torch
from dfccodec.version import __version__

if TYPE_CHECKING:
    from dfccodec.codec.api import decode as decode
    from dfccodec.codec.api import encode as encode
    from dfccodec.codec.api import load_model as load_model
    from dfccodec.codec.from_latents import write_latents as write_latents
    from dfccodec.codec.latent_space import LatentSpace as LatentSpace
    from dfccodec.edit.api import recover as recover
    from dfccodec.edit.api import trim as trim
    from dfccodec.edit.api import verify as verify
    from dfccodec.edit.random_access import DfcFile as DfcFile
    from dfccodec.edit.random_access import open_file as open
    from dfccodec.errors import DfcError as DfcError
    from dfccodec.media.time_range import Span as Span

_WHERE = {
    "open": ("dfccodec.edit.random_access", "open_file"),
    "DfcFile": ("dfccodec.edit.random_access", "DfcFile"),
    "load_model": ("dfccodec.codec.api", "load_model"),
    "Span": ("dfccodec.media.time_range", "Span"),
    "encode": ("dfccodec.codec.api", "encode"),
    "decode": ("dfccodec.codec.api", "decode"),
    "verify": ("dfccodec.edit.api", "verify"),
    "recover": ("dfccodec.edit.api", "recover"),
    "trim": ("dfccodec.edit.api", "trim"),
    "write_latents": ("dfccodec.codec.from_latents", "write_latents"),
    "LatentSpace": ("dfccodec.codec.latent_space", "LatentSpace"),
    "DfcError": ("dfccodec.errors", "DfcError"),
}

_WITH_TORCH = ("load_model", "encode", "decode", "write_latents")

__all__ = [
    "DfcError", "DfcFile", "LatentSpace", "Span", "__version__", "decode", "encode", "load_model", "open", "recover",
    "trim", "verify", "write_latents",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dfccodec' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    if name in _WITH_TORCH:
        import_torch()
    return getattr(importlib.import_module(module), attribute)
