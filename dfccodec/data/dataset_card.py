"""The dataset card of packed files: a `README.md` with the front matter of the Hugging Face hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfccodec.runtime.atomic_output import replacing
from dfccodec.terminal_text import escape_for_terminal
from dfccodec.version import __version__

CARD_NAME = "README.md"

MARK = "<!-- dfc pack replaces this file; remove this line to keep it as it is -->"
"""Last line of a card that `dfc pack` may replace."""

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def write_card(folder: Path, latents: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> bool:
    """Write the card of a folder of shards; return False if there is one without the mark, which stays.

    Args:
        folder: folder of the shards.
        latents: `dfc` of `index.json`.
        shards: `shardlist` of `index.json`.
    """
    path = folder / CARD_NAME
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    with replacing(path) as stream:
        stream.write(card_text(folder.resolve().name, latents, shards).encode())
    return True


def card_text(title: str, latents: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> str:
    """Return the card in Markdown; arguments as for `write_card`."""
    size = next((text for limit, text in _SIZES if latents["files"] < limit), "n>10M")
    total = sum(shard["filesize"] for shard in shards)
    rows = {
        "model": f"{_cell(latents['model'])}, fingerprint `{latents['fingerprint']}`",
        "latents": f"{latents['channels']} channels, QP {', '.join(map(str, latents['qp']))}",
        "files": f"{latents['files']:,} in {len(shards):,} shards, {total:,} bytes",
        "frames": f"{latents['frames']:,} in {latents['clips']:,} clips, {latents['kept']:,} of them kept",
        "written by": f"dfc {__version__}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"""---
tags:
- video
- latents
- dfc
- webdataset
size_categories:
- {size}
configs:
- config_name: default
  data_files: "*.tar"
---

# {_cell(title)}

Latents of videos as `.dfc` files in tar shards of WebDataset. A sample is `NAME.dfc`, with its caption in `NAME.txt` or
`NAME.json`.

| | |
| --- | --- |
{table}

```python
from dfccodec.data import LatentDataset, LatentLoader

data = LatentDataset("FOLDER", window=8)  # the folder of the shards
for batch in LatentLoader(data, batch_size=16, num_workers=2):
    batch["latents"], batch["mask"], batch["caption"]  # (B, K, N, C), (B, K), B texts
```

To be added by the author: where the videos come from, and their licence.

{MARK}
"""


def _cell(text: str) -> str:
    """Return a text that stays in its cell of a table."""
    return escape_for_terminal(text).replace("|", r"\|").replace("<", "&lt;")
