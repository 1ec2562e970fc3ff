"""Writing a `.dfc` file front to back: no seek, no rewrite, fit for a pipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from dfccodec.container import chunks, pack
from dfccodec.container.fields import pack_pairs
from dfccodec.container.records import Clip, Header, Index, IndexEntry, ModelId, Packet, StreamInfo


class LatentHash:
    """SHA-256 over the integers of kept frames, clip by clip, as int16 little-endian, channel last (SPEC.md 8.2)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, values: np.ndarray) -> None:
        """Add a clip's (K, tiles, rows, columns, C) int16."""
        self._hash.update(np.ascontiguousarray(values, dtype="<i2").tobytes())

    def digest(self) -> bytes:
        """32 bytes."""
        return self._hash.digest()


class Writer:
    """Write chunks in order; call :meth:`finish` last.

    Args:
        stream: a binary stream that can `write`; it is neither sought nor closed.
        header: geometry and time.
        model: the model the latents belong to.
        steps: (C,) float32 quantizer steps at QP 0.
        tool: who wrote the file and how, as key/value pairs.
        tags: title, artist… as key/value pairs.
    """

    def __init__(
        self,
        stream: BinaryIO,
        header: Header,
        model: ModelId,
        steps: np.ndarray,
        tool: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._stream = stream
        self._entries: list[IndexEntry] = []
        self._hash = LatentHash()
        self.offset = 0
        self.header = header
        self._put(chunks.SIGNATURE)
        self.chunk(chunks.HEAD, pack.pack_header(header))
        self.chunk(chunks.MODEL, pack.pack_model(model))
        self.chunk(chunks.STEPS, pack.pack_steps(steps))
        if tool:
            self.chunk(chunks.TOOL, pack_pairs(tool))
        if tags:
            self.chunk(chunks.TAGS, pack_pairs(tags))

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self.offset += len(data)

    def chunk(self, kind: bytes, payload: bytes) -> None:
        """Write any chunk as it is: for ancillary chunks this class does not know."""
        self._put(chunks.pack_chunk(kind, payload))

    def clip(self, clip: Clip, values: np.ndarray) -> None:
        """Write a clip; `values` (K, tiles, rows, columns, C) int16 are what its coded latents hold, for the hash."""
        start = self.offset
        self.chunk(chunks.CLIP, pack.pack_clip(clip, self.header))
        kept = int(clip.kept.sum())
        self._entries.append(
            IndexEntry(start, self.offset - start, clip.first_frame, clip.first_pts, clip.frames, kept)
        )
        self._hash.update(values)

    def stream(self, info: StreamInfo) -> None:
        """Declare a sound or subtitle stream, before its packets."""
        self.chunk(chunks.STREAM, pack.pack_stream(info))

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a declared stream."""
        self.chunk(chunks.PACKETS, pack.pack_packets(stream, packets))

    def finish(self) -> Index:
        """Write the index and the footer; returns the index."""
        index = Index(tuple(self._entries), self._hash.digest())
        start = self.offset
        self.chunk(chunks.INDEX, pack.pack_index(index))
        self.chunk(chunks.FOOT, pack.pack_foot(start))
        return index
