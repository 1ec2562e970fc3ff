"""Seed inputs: conformance vectors and their parts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import mutate

from dfccodec.container import pack
from dfccodec.container.records import Clip
from dfccodec.errors import DfcError

FORMATS = Path(__file__).resolve().parent.parent / "formats"


def vectors() -> list[bytes]:
    """Return all conformance vectors that are small enough for useful mutations."""
    paths = sorted((FORMATS / "vectors").glob("*/*.dfc"))
    found = [path.read_bytes() for path in paths if path.stem != "motion-batches"]  # 20 s in the plain Python reader
    return [data for data in found if 8 < len(data) <= 2048]


def clips(wanted: Callable[[Clip], bool] = lambda clip: True) -> list[bytes]:
    """Return payload of HEAD plus payload of CLIP for all `wanted` clips of the vectors."""
    out = []
    for data in vectors():
        found = mutate.split(data)
        head = next((payload for kind, payload in found if kind == b"HEAD"), b"")
        for kind, payload in found:
            if kind != b"CLIP" or len(head) != mutate.HEAD_BYTES:
                continue
            with contextlib.suppress(DfcError):
                if wanted(pack.unpack_clip(payload, pack.unpack_header(head))):
                    out.append(head + payload)
    return out


def pairs() -> list[bytes]:
    """Return payloads of tags and tool, and one with chapters."""
    from dfccodec.container.fields import pack_pairs

    stamps = [("CHAPTER001", "00:00:01.5"), ("CHAPTER001NAME", "One"), ("CHAPTER002", "00:01:00.000000001")]
    chapters = pack_pairs([("title", "a"), *stamps, ("CHAPTER002END", "-00:00:00.1")])
    found = {payload for data in vectors() for kind, payload in mutate.split(data) if kind in (b"tags", b"tool")}
    return [chapters, *sorted(found)]


def weight_files() -> list[bytes]:
    """Return a small `.safetensors` file."""
    import torch

    from dfccodec.models.weights import save_safetensors

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.safetensors"
        some = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16), "c": torch.zeros(0)}
        save_safetensors(path, some, '{"family":"mini"}', "seed")
        return [path.read_bytes()]
