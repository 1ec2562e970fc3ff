"""A map-style dataset over windows of latents."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from dfccodec.data.clip_reader import ClipReader
from dfccodec.data.files import Sources, find_files
from dfccodec.data.index import LatentIndex, build_index
from dfccodec.data.items import Crop, LatentItem, check_dtype, make_item
from dfccodec.data.windows import find_windows, parts_of
from dfccodec.errors import DamagedError, InputError, UsageError

log = logging.getLogger("dfccodec.data")

CROPS = ("center", "random")


class LatentDataset(Dataset[LatentItem | None]):
    """Windows of latents of a set of `.dfc` files.

    >>> data = LatentDataset("latents/")                                         # doctest: +SKIP
    >>> data[0]["latents"].shape                                                 # doctest: +SKIP
    torch.Size([8, 256, 96])

    Only the places of windows are stored; a window reads the clips that it touches. All files must be of one model, so
    that no cache of other latents is mixed in unnoticed.

    Args:
        sources: a folder, searched recursively, a glob pattern, a file, a tar shard, or a list of them.
        window: kept frames (or frames, see `unit`) per item; None makes one item of each clip.
        stride: distance between starts of windows; None is `window`, so that windows do not overlap.
        unit: what window and stride count: `kept` frames, or `frames` of the video.
        partial: whether the last window of a file may be shorter.
        dtype: `torch.float32`, `bfloat16`, `float16`, or the quantized integers as `int16` or `int8` (see
            `dequantize`). Integers that exceed 8 bits are stored with a step doubled until they fit.
        crop: (rows, columns) of tokens to cut out; needed where files have different sizes.
        crop_at: `center`, or `random` by `seed`, epoch and window.
        model: name or fingerprint that the files must have; None takes that of the first file.
        mixed_qp: whether files of different QPs may be mixed.
        on_damage: `raise`, or `skip`: damaged files are named in a warning of the logger `dfccodec.data`, and their
            items are None, which `collate` leaves out.
        seed: seed of random crops.
        cached_clips: decoded clips that each process keeps, for windows that overlap.

    Attributes:
        index: the files and their clips.
        windows: places of the windows.

    Raises:
        InputError: there is no file or no window, a file is no `.dfc` file, or sizes differ without a crop.
        DamagedError: a file is damaged.
        ModelError: a file has latents of another model.
        UsageError: an argument is invalid, QPs differ, or a file has predicted frames, which have no latents.
    """

    def __init__(
        self,
        sources: Sources,
        window: int | None = None,
        stride: int | None = None,
        *,
        unit: str = "kept",
        partial: bool = False,
        dtype: torch.dtype = torch.float32,
        crop: tuple[int, int] | None = None,
        crop_at: str = "center",
        model: str | bytes | None = None,
        mixed_qp: bool = False,
        on_damage: str = "raise",
        seed: int = 0,
        cached_clips: int = 4,
    ) -> None:
        self.dtype, self.crop, self.crop_at, self.seed = check_dtype(dtype), _check_crop(crop, crop_at), crop_at, seed
        self.on_damage = on_damage
        index = build_index(find_files(sources), model=model, mixed_qp=mixed_qp, on_damage=on_damage)
        _check_grids(index, self.crop)
        self.index: LatentIndex = index
        self.windows = find_windows(index, window, stride, unit, partial)
        self._reader = ClipReader(index, cached_clips)
        self._reported: set[int] = set()

    def __len__(self) -> int:
        return len(self.windows)

    def __repr__(self) -> str:
        files, clips, model = len(self.index.files), len(self.index.clips), self.index.model
        return f"<LatentDataset of {len(self)} windows in {clips} clips of {files} files, model {model.name}>"

    def __getitem__(self, index: int | tuple[int, int]) -> LatentItem | None:
        """Return a window, or None if it is damaged and damage is skipped.

        Args:
            index: number of the window; or (number, epoch), as `EpochSampler` gives it, for random crops.

        Raises:
            DamagedError: the clip is damaged; the message names the file.
            IndexError: there is no such window.
        """
        number, epoch = index if isinstance(index, tuple) else (index, 0)
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        number %= len(self)
        file = int(self.windows.file[number])
        record = self.index.files[file]
        try:
            parts = [(part, self._reader.read(part.clip)) for part in parts_of(self.index, self.windows, number)]
        except (DamagedError, InputError) as error:
            if self.on_damage == "raise":
                raise
            if file not in self._reported:  # once per file and process
                log.warning("skipped: %s", error)
                self._reported.add(file)
            return None
        first = None
        if self.windows.unit == "frames":
            first = int(self.index.clips["first_frame"][self.index.first_clip[file]] + self.windows.begin[number])
        return make_item(record, parts, self.dtype, first, self._place(record.header.grid, number, epoch), number)

    def _place(self, grid: tuple[int, int, int], number: int, epoch: int) -> Crop | None:
        if self.crop is None:
            return None
        room = grid[1] - self.crop[0], grid[2] - self.crop[1]
        y, x = room[0] // 2, room[1] // 2
        if self.crop_at == "random":
            rng = np.random.default_rng((self.seed, epoch, number))
            y, x = int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1))
        return slice(y, y + self.crop[0]), slice(x, x + self.crop[1])

    @property
    def windows_per_file(self) -> np.ndarray:
        """(files,) number of windows of each file; windows are numbered file by file."""
        return np.bincount(self.windows.file, minlength=len(self.index.files))

    def subset(self, keys: Sequence[str]) -> LatentDataset:
        """Return the windows of the files with these sources (names without folder and suffix), such as a split.

        Raises:
            InputError: a name is not that of a file.
        """
        names = {record.source for record in self.index.files}
        if missing := [key for key in keys if key not in names]:
            raise InputError(f"no file is named {missing[0]!r}: give names such as {min(names)!r}")
        wanted = np.array([record.source in set(keys) for record in self.index.files])
        out = object.__new__(LatentDataset)
        out.__dict__.update(self.__dict__)
        chosen = wanted[self.windows.file]
        out.windows = dataclasses.replace(
            self.windows, file=self.windows.file[chosen], begin=self.windows.begin[chosen]
        )
        return out


def _check_crop(crop: tuple[int, int] | None, crop_at: str) -> tuple[int, int] | None:
    if crop_at not in CROPS:
        raise UsageError(f"crop_at {crop_at!r} is unknown: give {' or '.join(CROPS)}")
    good = crop is None or (
        isinstance(crop, tuple | list) and len(crop) == 2 and all(isinstance(side, int) and side > 0 for side in crop)
    )
    if not good:
        raise UsageError(f"crop {crop!r} is invalid: give (rows, columns) of tokens, such as (16, 16)")
    return None if crop is None else (crop[0], crop[1])


def _check_grids(index: LatentIndex, crop: tuple[int, int] | None) -> None:
    first = index.files[0]
    for record in index.files:
        grid = record.header.grid
        if crop is None and grid != first.header.grid:
            raise InputError(
                f"{record.location.label} has {grid[1]}×{grid[2]} tokens, {first.location.label} has "
                f"{first.header.grid[1]}×{first.header.grid[2]}: give crop=(rows, columns), or encode with --crop"
            )
        if crop is not None and (grid[0] != 1 or crop[0] > grid[1] or crop[1] > grid[2]):
            tiles = f"{grid[0]} tiles of " if grid[0] != 1 else ""
            raise InputError(
                f"{record.location.label} has {tiles}{grid[1]}×{grid[2]} tokens: crop={crop} does not fit; give a "
                "smaller one"
            )
