"""Find the complete clips of a partial output that a run with the same options can resume."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import DfcError, UsageError

DIGEST_BYTES = 16
_DIGEST = re.compile(rb"[0-9a-f]{%d}" % (2 * DIGEST_BYTES))


@dataclass(frozen=True)
class FinishedClips:
    """Complete clips of a partial output.

    Args:
        digests: one per clip, of the frames from which it was coded.
        frames: number of frames of all clips.
        end: offset after the last clip, in bytes.
    """

    digests: tuple[str, ...] = ()
    frames: int = 0
    end: int = 0


def find_finished_clips(
    stream: BinaryIO, log_path: Path, record: dict[str, str], refusal: Callable[[str], UsageError]
) -> FinishedClips:
    """Find the complete clips that have a digest in the log.

    Args:
        stream: the output so far.
        log_path: its log.
        record: options of this run, which must be those of the interrupted run.
        refusal: makes the error of a run that cannot resume.

    Raises:
        UsageError: the partial output was made with other options, or its log is unreadable.
    """
    ends, frames = [0], [0]
    try:
        stream.seek(0)
        for item in StreamReader(stream):
            if isinstance(item, ClipAt):
                if item.clip.first_frame != frames[-1]:
                    break
                ends.append(item.offset + item.size)
                frames.append(frames[-1] + item.clip.frames)
    except DfcError:
        pass  # the output ends before its first clip
    if len(ends) == 1:
        return FinishedClips()
    lines = log_path.read_bytes().split(b"\n")[:-1] if log_path.exists() else []
    _check_record(lines[0] if lines else b"", log_path.name, record, refusal)
    digests = [line.decode() for line in itertools.takewhile(_DIGEST.fullmatch, lines[1:])][: len(ends) - 1]
    return FinishedClips(tuple(digests), frames[len(digests)], ends[len(digests)])


def _check_record(line: bytes, name: str, record: dict[str, str], refusal: Callable[[str], UsageError]) -> None:
    try:
        old = json.loads(line)
        if not isinstance(old, dict):
            raise ValueError
    except ValueError:
        raise refusal(f"{name}, the record of its options, cannot be read") from None
    for key, value in record.items():
        if old.get(key) != value:
            raise refusal(f"{key} was {str(old.get(key))[:300]!r}, is {value!r}")
