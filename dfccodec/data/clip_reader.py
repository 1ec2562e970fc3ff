"""Reads clips of indexed files: integers of kept frames, with the most recent clips and open files cached."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from dfccodec.codec.clip.quantizer import step_sizes
from dfccodec.container.records import Clip, Coding
from dfccodec.container.scan import read_clip
from dfccodec.data.files import DfcLocation, naming
from dfccodec.data.index import LatentIndex
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.predicted import divide
from dfccodec.errors import InputError

_OPEN_FILES = 64
"""Maximum open files per process: workers multiply it, and systems allow as few as 256."""


@dataclass(frozen=True)
class ClipLatents:
    """A clip and its integers.

    Attributes:
        clip: the record.
        integers: (K, tiles, rows, columns, C) int16, read-only.
        scale: (C,) float32 quantizer steps: latents are `integers * scale`.
        qp: quantizer index of the kept frames.
    """

    clip: Clip
    integers: np.ndarray
    scale: np.ndarray
    qp: int


class ClipReader:
    """Reads clips by their number in the index. Each process has its own; files are read without a shared position.

    It is for one thread at a time.

    Args:
        index: the files.
        cached_clips: number of decoded clips to keep, for windows that overlap.
    """

    def __init__(self, index: LatentIndex, cached_clips: int = 4) -> None:
        self._index, self._cached_clips = index, cached_clips
        self._clips: OrderedDict[int, ClipLatents] = OrderedDict()
        self._files: OrderedDict[str, int] = OrderedDict()

    def __reduce__(self) -> tuple[type[ClipReader], tuple[LatentIndex, int]]:
        return ClipReader, (self._index, self._cached_clips)  # a spawned worker opens the files itself

    def __del__(self) -> None:
        for handle in self._files.values():
            os.close(handle)

    def read(self, number: int) -> ClipLatents:
        """Return a clip.

        Raises:
            DamagedError: it is damaged; the message names the file.
            InputError: the file is gone.
        """
        if number in self._clips:
            self._clips.move_to_end(number)
            return self._clips[number]
        row = self._index.clips[number]
        record = self._index.files[int(row["file"])]
        with naming(record.location.label):
            data = self._bytes(record.location, record.location.offset + int(row["offset"]), int(row["size"]))
            clip = read_clip(data, record.header, int(row["offset"]))
            integers = decode_latents(clip, record.header)
            qp = clip.qp
            if clip.coding == Coding.PREDICTED and len(integers):  # a single kept frame, with its own QP
                qp = int(divide(clip).types.qp[0])
        integers.setflags(write=False)
        found = ClipLatents(clip, integers, step_sizes(record.steps, qp).astype(np.float32), qp)
        if self._cached_clips:
            self._clips[number] = found
            if len(self._clips) > self._cached_clips:
                self._clips.popitem(last=False)
        return found

    def _bytes(self, location: DfcLocation, place: int, size: int) -> bytes:
        path = location.path
        if location.content is not None:
            return location.content[place : place + size]
        if not hasattr(os, "pread"):
            with open(path, "rb") as stream:
                stream.seek(place)
                return stream.read(size)
        handle = self._files.get(path)
        if handle is None:
            try:
                handle = self._files[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise InputError(f"cannot open {path}: {error.strerror}") from None
            if len(self._files) > _OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(path)
        return os.pread(handle, size, place)
