"""The index of a set of `.dfc` files: where every clip is and which frames it keeps. Imports no torch.

The clips of a million files are rows of one array, so that worker processes share the memory of their parent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.container.records import Coding, Header, ModelId
from dfccodec.container.scan import ClipHead, Summary, scan
from dfccodec.data.files import DfcLocation, naming, open_location, read_caption
from dfccodec.errors import DamagedError, InputError, ModelError, UsageError
from dfccodec.models.identity import same_latents

log = logging.getLogger("dfccodec.data")

CLIP_ROW = np.dtype(
    [
        ("file", "<i4"), ("offset", "<i8"), ("size", "<i4"), ("first_frame", "<i8"), ("frames", "u1"), ("qp", "u1"),
        ("kept", "<u8"), ("count", "u1"),
    ]
)  # fmt: skip
"""A clip: number of its file, place of its chunk in the file, frames, kept frames as a bitmap, and their number."""

ON_DAMAGE = ("raise", "skip")


@dataclass(frozen=True)
class FileRecord:
    """A file of the index.

    Attributes:
        location: where it is.
        header, model, steps: see SPEC.md 5; records that are equal are shared between files.
        caption: from a sidecar or a tag; empty if there is none.
    """

    location: DfcLocation
    header: Header
    model: ModelId
    steps: np.ndarray
    caption: str

    @property
    def source(self) -> str:
        """Name of the source: the last part of the key."""
        return self.location.key.rpartition("/")[2]


@dataclass(frozen=True)
class LatentIndex:
    """All files and their clips.

    Attributes:
        files: files that can be read.
        clips: `CLIP_ROW` (clips,), by file, in file order.
        first_clip: (files + 1,) number of the first clip of each file.
    """

    files: list[FileRecord]
    clips: np.ndarray
    first_clip: np.ndarray

    @property
    def model(self) -> ModelId:
        """The model of all files."""
        return self.files[0].model

    def kept_before(self) -> np.ndarray:
        """Return (clips + 1,) the number of kept frames before each clip, over all files."""
        return np.concatenate([[0], np.cumsum(self.clips["count"], dtype=np.int64)])


def build_index(
    locations: Sequence[DfcLocation],
    *,
    model: str | bytes | None = None,
    mixed_qp: bool = False,
    on_damage: str = "raise",
) -> LatentIndex:
    """Read the heads of all files; checksums of latents are not computed.

    Args:
        locations: from `files.find_files`.
        model: fingerprint (hexadecimal, or its beginning, or bytes) or name of the model that the files must have;
            None takes that of the first file.
        mixed_qp: whether clips may have different quantizer indices.
        on_damage: `raise`, or `skip` to leave out damaged files with a warning that names them.

    Raises:
        DamagedError, InputError: a file is damaged or no `.dfc` file.
        ModelError: a file has another model.
        UsageError: files have different QPs, or predicted kept frames without latents.
    """
    if on_damage not in ON_DAMAGE:
        raise UsageError(f"on_damage {on_damage!r} is unknown: give {' or '.join(ON_DAMAGE)}")
    files: list[FileRecord] = []
    rows: list[tuple[object, ...]] = []
    first_clip = [0]
    shared: dict[object, object] = {}
    for location in locations:
        try:
            with naming(location.label):
                record, clips = _read_head(location, shared)
        except (DamagedError, InputError) as error:
            if on_damage == "raise":
                raise
            log.warning("skipped: %s", error)
            continue
        if files or model is not None:
            _check_model(record, files[0] if files else None, model)
        rows += [_row(len(files), head) for head in clips]
        files.append(record)
        first_clip.append(len(rows))
    if not rows:
        raise InputError(f"{len(locations)} files hold no readable clip: check them with dfc verify")
    index = LatentIndex(files, np.array(rows, CLIP_ROW), np.array(first_clip))
    if not mixed_qp:
        _check_qp(index)
    return index


def _read_head(location: DfcLocation, shared: dict[object, object]) -> tuple[FileRecord, list[ClipHead]]:
    with open_location(location) as stream:
        summary: Summary = scan(stream)
    if summary.damage:
        first = summary.damage[0]
        raise DamagedError(f"{first.reason}; dfc recover saves what is intact", first.offset)
    preamble = summary.preamble
    if any(head.clip.coding == Coding.PREDICTED and head.clip.kept.sum() > 1 for head in summary.clips):
        raise UsageError(
            "the file has residuals of predicted pictures instead of latents: encode again with --preset latents, or "
            "with --coding inter"
        )
    header, model = (shared.setdefault(part, part) for part in (preamble.header, preamble.model))
    steps = shared.setdefault(preamble.steps.tobytes(), preamble.steps)
    record = FileRecord(location, header, model, steps, read_caption(location, preamble.tags))  # type: ignore[arg-type]
    return record, summary.clips


def _row(file: int, head: ClipHead) -> tuple[object, ...]:
    clip = head.clip
    bits = int.from_bytes(np.packbits(clip.kept, bitorder="little").tobytes(), "little")
    return file, head.offset, head.size, clip.first_frame, clip.frames, clip.qp, bits, int(clip.kept.sum())


def _check_model(record: FileRecord, first: FileRecord | None, wanted: str | bytes | None) -> None:
    own = record.model.fingerprint
    if wanted is not None:
        text = wanted.hex() if isinstance(wanted, bytes) else wanted.lower()
        if text != record.model.name.lower() and not (len(text) >= 8 and own.hex().startswith(text)):
            raise ModelError(
                f"{record.location.label} has latents of model {record.model.name!r} ({own.hex()[:16]}…), wanted is "
                f"{text[:16]}: leave the file out, or encode it again with that model"
            )
    if first is not None and not same_latents(record.model, first.model):
        raise ModelError(
            f"{record.location.label} has latents of model {record.model.name!r} ({own.hex()[:16]}…), "
            f"{first.location.label} of {first.model.name!r} ({first.model.fingerprint.hex()[:16]}…): latents of two "
            "latent spaces do not mix; leave one of them out"
        )


def _check_qp(index: LatentIndex) -> None:
    qp = index.clips["qp"]
    other = np.flatnonzero(qp != qp[0])
    if len(other):
        clip = index.clips[other[0]]
        raise UsageError(
            f"{index.files[clip['file']].location.label} has QP {clip['qp']}, {index.files[0].location.label} has QP "
            f"{qp[0]}: quantization noise differs; encode with one --qp, or allow it with mixed_qp=True"
        )
