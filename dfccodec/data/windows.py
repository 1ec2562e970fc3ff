"""Windows over the clips of an index: runs of kept frames, runs of frames, or whole clips. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfccodec.data.index import LatentIndex
from dfccodec.errors import InputError, UsageError

UNITS = ("kept", "frames")


@dataclass(frozen=True)
class Windows:
    """Places of windows; nothing of the latents is copied.

    Attributes:
        file: (windows,) number of the file.
        begin: (windows,) first kept frame, counted in the file (unit `kept`), or first frame (`frames`).
        length: of each window, in its unit; -1 takes the whole clip that begins with `begin`.
        unit: `kept` or `frames`.
    """

    file: np.ndarray
    begin: np.ndarray
    length: int
    unit: str

    def __len__(self) -> int:
        return len(self.file)


@dataclass(frozen=True)
class ClipPart:
    """Consecutive kept frames of one clip: number of the clip in the index, and range of its kept frames."""

    clip: int
    first: int
    last: int


def find_windows(
    index: LatentIndex, length: int | None = None, stride: int | None = None, unit: str = "kept", partial: bool = False
) -> Windows:
    """Find the windows of every file.

    Args:
        index: the files.
        length: kept frames or frames per window; None takes whole clips.
        stride: distance between the starts of windows, in the same unit; None is `length`.
        unit: `kept` counts kept frames, so all windows have the same number; `frames` counts frames of the video, so
            the number of kept frames differs.
        partial: whether the last window of a file may be shorter.

    Raises:
        UsageError: an argument is out of range.
        InputError: no file is long enough.
    """
    if unit not in UNITS:
        raise UsageError(f"unit {unit!r} is unknown: give {' or '.join(UNITS)}")
    for name, value in (("window", length), ("stride", stride)):
        if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            raise UsageError(f"{name} {value!r} is not a length: give a whole number of {unit}, 1 or more")
    if length is None:
        if stride is not None:
            raise UsageError(f"stride {stride} without a window: give window too, or leave out both for whole clips")
        return _whole_clips(index)
    files, begins, longest = [], [], 0
    kept = index.kept_before()
    for number in range(len(index.files)):
        rows = slice(index.first_clip[number], index.first_clip[number + 1])
        if rows.start == rows.stop:
            continue
        total = int(kept[rows.stop] - kept[rows.start])
        if unit == "frames":
            total = int(index.clips["frames"][rows].sum(dtype=np.int64))
        longest = max(longest, total)
        starts = np.arange(0, total if partial else total - length + 1, stride or length)
        if unit == "frames":
            starts = starts[_kept_within(index, rows, starts, length) > 0]
        files.append(np.full(len(starts), number))
        begins.append(starts)
    file, begin = np.concatenate(files), np.concatenate(begins)
    if not len(file) and (partial or longest >= length):
        raise InputError(
            f"no window of {length} frames, {stride or length} apart, has a kept frame: give longer or nearer windows"
        )
    if not len(file):
        raise InputError(
            f"no file has a window of {length} {_name(unit)}, the longest has {longest}: give a smaller window, or "
            "partial=True"
        )
    return Windows(file, begin, length, unit)


def _name(unit: str) -> str:
    return "kept frames" if unit == "kept" else "frames"


def _whole_clips(index: LatentIndex) -> Windows:
    filled = index.clips["count"] > 0
    if not filled.any():
        raise InputError("no clip has a kept frame: encode with a --budget of at least 1")
    file = index.clips["file"][filled].astype(np.int64)
    kept = index.kept_before()
    return Windows(file, (kept[:-1] - kept[index.first_clip[index.clips["file"]]])[filled], -1, "kept")


def _kept_frames(index: LatentIndex, rows: slice) -> np.ndarray:
    """Frame numbers of the kept frames of a file, counted from its first frame."""
    clips = index.clips[rows]
    starts = np.cumsum(clips["frames"], dtype=np.int64) - clips["frames"]
    bits = np.unpackbits(
        np.ascontiguousarray(clips["kept"]).view(np.uint8).reshape(len(clips), 8), 1, bitorder="little"
    )
    clip, place = np.nonzero(bits)
    out: np.ndarray = starts[clip] + place
    return out


def _kept_within(index: LatentIndex, rows: slice, starts: np.ndarray, length: int) -> np.ndarray:
    frames = _kept_frames(index, rows)
    out: np.ndarray = np.searchsorted(frames, starts + length) - np.searchsorted(frames, starts)
    return out


def parts_of(index: LatentIndex, windows: Windows, number: int) -> list[ClipPart]:
    """Return the parts of clips that a window consists of, in order; at least one."""
    file, begin = int(windows.file[number]), int(windows.begin[number])
    rows = slice(int(index.first_clip[file]), int(index.first_clip[file + 1]))
    if windows.unit == "frames":
        first, last = np.searchsorted(_kept_frames(index, rows), (begin, begin + windows.length))
    else:
        first, last = begin, begin + max(windows.length, 1)
    ends = np.cumsum(index.clips["count"][rows], dtype=np.int64)
    out = []
    clip = int(np.searchsorted(ends, first, side="right"))
    if windows.length < 0:
        last = int(ends[clip])
    while clip < len(ends) and first < last:
        before = int(ends[clip]) - int(index.clips["count"][rows.start + clip])
        stop = min(int(last), int(ends[clip]))
        if stop > first:
            out.append(ClipPart(rows.start + clip, int(first) - before, stop - before))
        first, clip = max(int(first), int(ends[clip])), clip + 1
    return out
