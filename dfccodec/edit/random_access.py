"""Random access to a `.dfc` file without a model: header, clips, integer latents, kept indices."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.container.chunks import CLIP, Damage, LookaheadReader, iter_chunks
from dfccodec.container.pack import unpack_clip
from dfccodec.container.records import Clip, Header, ModelId
from dfccodec.container.scan import ClipHead, Summary, scan
from dfccodec.container.streams import Readable, readable, seekable, with_source_name
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.errors import DamagedError, InputError, UsageError


class ClipView:
    """One clip of an open file.

    Attributes:
        record: everything but payloads: `qp`, `fill`, `importance` (T,) uint8, `durations`, `first_frame`…
        kept: (T,) bool.
        kept_indices: (K,) positions inside the clip.
    """

    def __init__(self, file: DfcFile, head: ClipHead) -> None:
        self._file, self._head = file, head
        self.record: Clip = head.clip
        self.kept: np.ndarray = head.clip.kept
        self.kept_indices: np.ndarray = np.flatnonzero(head.clip.kept)

    def __repr__(self) -> str:
        record = self.record
        first, last = record.first_frame, record.first_frame + record.frames - 1
        return f"<clip of frames {first} to {last}, {len(self.kept_indices)} kept, QP {record.qp}>"

    @property
    def latents(self) -> np.ndarray:
        """(K, tiles, rows, columns, C) int16, read and checked now.

        Raises:
            DamagedError: the chunk's checksum or content is wrong.
            UsageError: the file is closed.
        """
        return decode_clip_integers(self._file._read(self._head), self._file.header)

    def dequantized(self) -> np.ndarray:
        """(K, tiles, rows, columns, C) float32: latents in the model's units."""
        return dequantize(self.latents, self._file.steps, self.record.qp)


class DfcFile:
    """An open file; a sequence of :class:`ClipView`. Use as a context manager, or call :meth:`close`.

    Several threads may read clips of one file, and processes that were forked after it was opened.

    Attributes:
        header, model, steps, tags: see SPEC.md 5.
        frames, kept: totals.
        summary: sizes per chunk type and damage.
    """

    def __init__(self, source: Readable) -> None:
        self._source, self._stream = source, _opened(source)
        self._start = self._stream.tell()
        self._reading = threading.Lock()  # seeking and reading is one thing
        try:
            with with_source_name(source) if isinstance(source, str | Path) else contextlib.nullcontext():
                self.summary: Summary = scan(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self.header: Header = self.summary.preamble.header
        self.model: ModelId = self.summary.preamble.model
        self.steps: np.ndarray = self.summary.preamble.steps
        self.tags = self.summary.preamble.tags
        self._clips = [ClipView(self, head) for head in self.summary.clips]
        self.frames = sum(len(c.kept) for c in self._clips)
        self.kept = sum(len(c.kept_indices) for c in self._clips)

    def __repr__(self) -> str:
        h = self.header
        return f"<DfcFile {h.width}×{h.height}, {self.frames} frames, {self.kept} kept, in {len(self)} clips>"

    def __reduce__(self) -> tuple[Callable[[Readable], DfcFile], tuple[Readable]]:
        """A process that gets a pickle of this opens the file itself, as the workers of a data loader do.

        Raises:
            UsageError: it was opened from a stream.
        """
        if not isinstance(self._source, str | Path | bytes):
            raise UsageError("a file opened from a stream cannot go to another process: open it by its path")
        return open_file, (self._source,)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> ClipView:
        return self._clips[index]

    def __iter__(self) -> Iterator[ClipView]:
        return iter(self._clips)

    def __enter__(self) -> DfcFile:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._reading:
            self._stream.close()

    def _read(self, head: ClipHead) -> Clip:
        with self._reading:
            if self._stream.closed:
                raise UsageError("the file is closed: read latents before close(), or inside `with dfc.open(…)`")
            data = _bytes_at(self._stream, self._start + head.offset, head.size)
        source = LookaheadReader(io.BytesIO(data))
        source.offset = head.offset
        item = next(iter_chunks(source), None)
        if isinstance(item, Damage):
            raise DamagedError(item.reason, item.offset)
        if item is None or item.type != CLIP:
            raise DamagedError("the clip that stood here when the file was opened is gone", head.offset)
        return unpack_clip(item.payload, self.header, head.offset + 8)


def open_file(source: Readable) -> DfcFile:
    """Open a file for reading without a model.

    Args:
        source: a path, bytes, or a binary stream that can seek; it is closed with the file.

    Raises:
        InputError: it cannot be opened, cannot seek or is no `.dfc` file.
        DamagedError: header, model or steps are unreadable.
    """
    return DfcFile(source)


def _bytes_at(stream: BinaryIO, place: int, size: int) -> bytes:
    """As many bytes from a place of the stream as are there.

    Of a file without moving in it where the system can: processes that came of a fork share the place they are at, as
    the workers of a data loader do, and would read one another's clips.
    """
    raw = stream.raw if isinstance(stream, io.BufferedReader) else stream
    if isinstance(raw, io.FileIO) and hasattr(os, "pread"):
        parts = []
        while size and (part := os.pread(raw.fileno(), size, place)):
            parts.append(part)
            place, size = place + len(part), size - len(part)
        return b"".join(parts)
    stream.seek(place)
    return stream.read(size)


def _opened(source: Readable) -> BinaryIO:
    stream = readable(source)
    if not seekable(stream):
        raise InputError("dfc.open needs a stream that can seek: read it into memory, or iterate with dfc.decode")
    return stream
