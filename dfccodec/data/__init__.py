"""`.dfc` files as training data: datasets of windows of latents, shards, collation, statistics.

>>> from dfccodec.data import LatentDataset, LatentLoader
>>> data = LatentDataset("latents/", window=8, stride=4)                         # doctest: +SKIP
>>> for batch in LatentLoader(data, batch_size=16, num_workers=2):               # doctest: +SKIP
...     train(batch["latents"], batch["positions"], batch["mask"])

Names are imported when they are first used: finding files and writing shards load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfccodec.data.batches import collate as collate
    from dfccodec.data.batches import dequantize as dequantize
    from dfccodec.data.dataset import LatentDataset as LatentDataset
    from dfccodec.data.diffusers_vae import DiffusersVAE as DiffusersVAE
    from dfccodec.data.files import find_files as find_files
    from dfccodec.data.items import LatentItem as LatentItem
    from dfccodec.data.loader import LatentLoader as LatentLoader
    from dfccodec.data.loader import LatentStream as LatentStream
    from dfccodec.data.order import EpochSampler as EpochSampler
    from dfccodec.data.pack import pack_folder as pack_folder
    from dfccodec.data.statistics import ChannelStatistics as ChannelStatistics
    from dfccodec.data.statistics import channel_statistics as channel_statistics
    from dfccodec.data.webdataset_samples import decode_sample as decode_sample

_WHERE = {
    "ChannelStatistics": "statistics",
    "DiffusersVAE": "diffusers_vae",
    "EpochSampler": "order",
    "LatentDataset": "dataset",
    "LatentItem": "items",
    "LatentLoader": "loader",
    "LatentStream": "loader",
    "channel_statistics": "statistics",
    "collate": "batches",
    "decode_sample": "webdataset_samples",
    "dequantize": "batches",
    "find_files": "files",
    "pack_folder": "pack",
}

__all__ = [
    "ChannelStatistics", "DiffusersVAE", "EpochSampler", "LatentDataset", "LatentItem", "LatentLoader", "LatentStream",
    "channel_statistics", "collate", "decode_sample", "dequantize", "find_files", "pack_folder",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dfccodec.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dfccodec.data.{_WHERE[name]}"), name)
