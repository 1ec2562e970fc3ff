"""Windows of latents from `.dfc` files that arrive as bytes: samples of `webdataset`, rows of Ray Data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfccodec.data.dataset import LatentDataset
from dfccodec.data.files import DfcLocation
from dfccodec.data.items import LatentItem
from dfccodec.errors import UsageError

_SIDECARS = ("txt", "json")


def decode_sample(sample: Mapping[str, Any], **options: Any) -> list[LatentItem]:
    """Return the windows of a sample of a shard.

    >>> import webdataset                                                        # doctest: +SKIP
    >>> shards = webdataset.WebDataset("shards/shard-{000000..000009}.tar")      # doctest: +SKIP
    >>> items = shards.map(decode_sample).unlisted()                             # doctest: +SKIP

    Args:
        sample: has `dfc`, the bytes of the file, and `__key__`, its name; `txt` or `json`, its caption, as bytes or
            text, if there is one.
        options: arguments of `LatentDataset`, such as `window`. Give `model` to refuse other latents: each sample is
            opened by itself.

    Raises:
        UsageError: the sample has no `dfc`.
        DfcError: as for `LatentDataset`.
    """
    content, key = sample.get("dfc"), str(sample.get("__key__", "sample"))
    if not isinstance(content, bytes | bytearray | memoryview):
        raise UsageError(f"sample {key} has no bytes under 'dfc', only {', '.join(sample)}: pack it with dfc pack")
    content, sidecars = bytes(content), []
    size = len(content)
    for suffix in _SIDECARS:
        found = sample.get(suffix)
        if isinstance(found, str | bytes):
            text = found.encode() if isinstance(found, str) else found
            sidecars.append((len(content), len(text), "." + suffix))
            content += text
    url = str(sample.get("__url__", "memory"))
    location = DfcLocation(url, key, 0, size, tuple(sidecars), content)
    data = LatentDataset([location], **options)
    items = (data[number] for number in range(len(data)))
    return [item for item in items if item is not None]
