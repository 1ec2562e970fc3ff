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
from dfccodec.container.records import Clip, Coding, Header, ModelId
from dfccodec.container.scan import ClipHead, Summary, read_clip, scan
from dfccodec.container.streams import Readable, open_source, seekable, with_source_name
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.predicted import divide
from dfccodec.errors import DamagedError, InputError, UsageError


class ClipView:
    """One clip of an open file.

    Attributes:
        record: all fields except payloads: `qp`, `fill`, `importance` (T,) uint8, `durations`, `first_frame`…
        kept: (T,) bool.
        kept_indices: (K,) frame numbers within the clip.
        head: its place in the file, and the sizes of its parts.
    """

    def __init__(self, file: DfcFile, head: ClipHead) -> None:
        self._file, self.head = file, head
        self.record: Clip = head.clip
        self.kept: np.ndarray = head.clip.kept
        self.kept_indices: np.ndarray = np.flatnonzero(head.clip.kept)

    def __repr__(self) -> str:
        record = self.record
        first, last = record.first_frame, record.first_frame + record.frames - 1
        return f"<clip of frames {first} to {last}, {len(self.kept_indices)} kept, QP {record.qp}>"

    def read(self) -> Clip:
        """Read the record with its payloads.

        Raises:
            DamagedError: the checksum or the content of the chunk is wrong.
            UsageError: the file is closed.
        """
        return self._file._read(self.head)

    @property
    def integers(self) -> np.ndarray:
        """Integers (K, tiles, rows, columns, C) int16 of kept frames in any coding, read and checked at each access.

        In the predicted coding those of predicted frames are residuals, not latents.

        Raises:
            DamagedError: the checksum or the content of the chunk is wrong.
            UsageError: the file is closed.
        """
        return decode_latents(self.read(), self._file.header)

    @property
    def latents(self) -> np.ndarray:
        """Quantized latents (K, tiles, rows, columns, C) int16, read and checked at each access.

        Raises:
            DamagedError: the checksum or the content of the chunk is wrong.
            UsageError: the file is closed, or the kept frames are predicted from pictures and have no latents.
        """
        if self.record.coding == Coding.PREDICTED and len(self.kept_indices) > 1:
            raise UsageError(
                f"{self!r} has residuals of predicted pictures instead of latents: encode with --coding inter for "
                "latents, or use `integers` and SPEC.md 7.10"
            )
        return self.integers

    def dequantized(self) -> np.ndarray:
        """Latents (K, tiles, rows, columns, C) float32 in the model's units."""
        values, qp = self.latents, self.record.qp
        if self.record.coding == Coding.PREDICTED and len(values):
            qp = int(divide(self.read()).types.qp[0])
        return dequantize(values, self._file.steps, qp)


class DfcFile:
    """An open file; a sequence of :class:`ClipView`. Use as a context manager, or call :meth:`close`.

    Threads, and processes forked after it was opened, may read clips of one file concurrently.

    Attributes:
        header, model, steps, tags: see SPEC.md 5.
        frames, kept: totals.
        width, height: of the picture in pixels.
        summary: sizes by chunk type, and damage that is seen without reading clips; `dfc.verify` reads all bytes.
    """

    def __init__(self, source: Readable) -> None:
        self._source, self._stream = source, _open_seekable(source)
        self._start = self._stream.tell()
        self._reading = threading.Lock()  # seek and read must not be interleaved
        try:
            with with_source_name(source) if isinstance(source, str | Path) else contextlib.nullcontext():
                self.summary: Summary = scan(self._stream)
        except BaseException:
            self._stream.close()
            raise
        self.header: Header = self.summary.preamble.header
        self.width, self.height = self.header.width, self.header.height
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
        """Pickle the path: another process, such as a data loader worker, opens the file again.

        Raises:
            UsageError: the file was opened from a stream.
        """
        if not isinstance(self._source, str | Path | bytes):
            raise UsageError("a file opened from a stream cannot be passed to another process: open it by its path")
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
        try:
            return read_clip(data, self.header, head.offset)
        except DamagedError as error:
            if not isinstance(self._source, str | Path):
                raise
            raise type(error)(f"{self._source}: {error}") from None  # an epoch reads thousands of files


def open_file(source: Readable) -> DfcFile:
    """Open a file for reading without a model.

    Args:
        source: a path, bytes, or a seekable binary stream; a stream is closed with the file.

    Raises:
        InputError: the source cannot be opened, is not seekable, or is not a `.dfc` file.
        DamagedError: header, model or steps are unreadable.
    """
    return DfcFile(source)


def _bytes_at(stream: BinaryIO, place: int, size: int) -> bytes:
    """Read up to `size` bytes at an offset.

    Files are read with `pread` if possible, because forked processes, such as data loader workers, share the file
    position and would read each other's clips.
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


def _open_seekable(source: Readable) -> BinaryIO:
    stream = open_source(source)
    if not seekable(stream):
        raise InputError("dfc.open needs a seekable stream: read it into memory, or iterate with dfc.decode")
    return stream
