"""Sequential writing of a `.dfc` file. It never seeks, so the output may be a pipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from dfccodec.container import chunks, pack
from dfccodec.container.fields import pack_pairs
from dfccodec.container.records import Clip, Header, Index, IndexEntry, ModelId, Packet, StreamInfo


class LatentHash:
    """SHA-256 over the latents of kept frames, clip by clip, as little-endian int16, channel last (SPEC.md 8.2)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, values: np.ndarray) -> None:
        """Add the latents of a clip, (K, tiles, rows, columns, C) int16."""
        self._hash.update(np.ascontiguousarray(values, dtype="<i2").tobytes())

    def digest(self) -> bytes:
        """Return the hash, 32 bytes."""
        return self._hash.digest()


class Writer:
    """Writer of a file in chunk order. Call :meth:`finish` last.

    Args:
        stream: a binary stream with `write`. It is not closed.
        header: geometry and time.
        model: the model of the latents.
        steps: (C,) float32 quantizer steps at QP 0.
        tool: encoder and its settings, as key/value pairs.
        tags: metadata such as title and artist, as key/value pairs.

    Attributes:
        offset: number of bytes written.
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
        self._write(chunks.SIGNATURE)
        self.write_chunk(chunks.HEAD, pack.pack_header(header))
        self.write_chunk(chunks.MODEL, pack.pack_model(model))
        self.write_chunk(chunks.STEPS, pack.pack_steps(steps))
        if tool:
            self.write_chunk(chunks.TOOL, pack_pairs(tool))
        if tags:
            self.write_chunk(chunks.TAGS, pack_pairs(tags))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self.offset += len(data)

    def write_chunk(self, kind: bytes, payload: bytes) -> None:
        """Write a chunk of any type, such as an unknown ancillary chunk."""
        self._write(chunks.pack_chunk(kind, payload))

    def write_clip(self, clip: Clip, values: np.ndarray) -> None:
        """Write a clip.

        Args:
            clip: the record.
            values: (K, tiles, rows, columns, C) int16, its decoded latents, for the latent hash.
        """
        start = self.offset
        self.write_chunk(chunks.CLIP, pack.pack_clip(clip, self.header))
        kept = int(clip.kept.sum())
        self._entries.append(
            IndexEntry(start, self.offset - start, clip.first_frame, clip.first_pts, clip.frames, kept)
        )
        self._hash.update(values)

    def write_stream(self, info: StreamInfo) -> None:
        """Declare an audio or subtitle stream. Call it before its packets are written."""
        self.write_chunk(chunks.STREAM, pack.pack_stream(info))

    def write_packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a declared stream."""
        self.write_chunk(chunks.PACKETS, pack.pack_packets(stream, packets))

    def finish(self) -> Index:
        """Write index and footer. Returns the index."""
        index = Index(tuple(self._entries), self._hash.digest())
        start = self.offset
        self.write_chunk(chunks.INDEX, pack.pack_index(index))
        self.write_chunk(chunks.FOOT, pack.pack_foot(start))
        return index
