"""What a report says about a coded file itself: bits of each frame and part, kept frames, settings. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dfccodec.container.records import Coding, Fill
from dfccodec.container.scan import Summary
from dfccodec.container.streams import is_dfc
from dfccodec.edit.random_access import DfcFile
from dfccodec.errors import DfcError
from dfccodec.report.frame_bits import clip_bits

Pairs = list[tuple[str, str]]


@dataclass
class VideoFacts:
    """Facts of a coded file. Lists have one entry per frame in display order.

    Attributes:
        bits: bits of each frame, of the video alone; None if unknown.
        motion: the part of them that is motion; empty for other files than `.dfc`.
        kept: whether each is a kept frame; empty for other files than `.dfc`.
        importance: 0 to 1; empty for other files than `.dfc`.
        clips: number of the first frame of each clip.
        parts: bytes of the file by purpose; their sum is its size.
        settings: what the file says about how it was made.
        notes: what a reader of the bits must know.
    """

    bits: list[float | None] = field(default_factory=list)
    motion: list[float | None] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    importance: list[float] = field(default_factory=list)
    clips: list[int] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)
    settings: Pairs = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def dfc_facts(file: DfcFile, progress: Callable[[int], None] = lambda _: None) -> VideoFacts:
    """Facts of an open `.dfc` file. All latents are read.

    Args:
        file: the file.
        progress: receives the number of frames that are done.
    """
    out, latents, motion = VideoFacts(settings=_settings(file.summary)), 0.0, 0.0
    estimated, damaged = False, 0
    for view in file:
        record = view.record
        out.clips.append(record.first_frame)
        out.kept += map(bool, record.kept)
        out.importance += [round(int(i) / 255, 3) for i in record.importance]
        try:
            found = clip_bits(view.read(), file.header)
        except DfcError:
            damaged += 1
            out.bits += [None] * record.frames
            out.motion += [None] * record.frames
            latents, motion = latents + 8 * view.head.latent_bytes, motion + 8 * view.head.fill_bytes
        else:
            out.bits += [float(x) for x in found.latents + found.motion]
            out.motion += [float(x) for x in found.motion]
            latents, motion = latents + found.latents.sum(), motion + found.motion.sum()
            estimated |= found.estimated
        progress(len(out.bits))
    if damaged:
        out.notes.append(f"bits of the frames of {damaged} damaged or unknown clips are not shown")
    if estimated:
        out.notes.append("the zstd coding mixes frames: the bits of a kept frame are an estimate, their sum is exact")
    out.parts = _parts(file.summary, round(latents / 8), round(motion / 8))
    return out


def _parts(summary: Summary, latents: int, motion: int) -> dict[str, int]:
    sound = summary.bytes_by_part()["sound"]
    return {"latents": latents, "motion": motion, "sound": sound, "overhead": summary.size - latents - motion - sound}


def _settings(summary: Summary) -> Pairs:
    preamble, header = summary.preamble, summary.preamble.header
    clips = [head.clip for head in summary.clips]
    qps = sorted({clip.qp for clip in clips})
    kept, frames = sum(int(clip.kept.sum()) for clip in clips), sum(clip.frames for clip in clips)
    return [
        ("model", preamble.model.name),
        ("fingerprint", preamble.model.fingerprint.hex()),
        ("coding", " and ".join(sorted({_name(Coding, clip.coding) for clip in clips}))),
        ("fill policy", " and ".join(sorted({_name(Fill, clip.fill) for clip in clips}))),
        ("QP", "" if not qps else str(qps[0]) if len(qps) == 1 else f"{qps[0]} to {qps[-1]}"),
        ("kept frames", f"{kept} of {frames}"),
        ("picture", f"{header.width}×{header.height}, {float(header.rate):.3f} frames/s"),
        ("format version", str(header.version)),
        *((f"tool: {key}", value) for key, value in preamble.tool),
        *((f"tag: {key}", value) for key, value in preamble.tags),
    ]


def _name(kind: type[Coding] | type[Fill], number: int) -> str:
    """Name of a coding or a fill policy, or its number if this reader does not know it."""
    return {member.value: member.name.lower() for member in kind}.get(number, str(number))


def read_facts(
    path: Path, size: int, frames: int, progress: Callable[[int], None] = lambda _: None
) -> VideoFacts:  # fmt: skip
    """Facts of a `.dfc` file or another video; see :func:`dfc_facts` and :func:`packet_facts`."""
    if not is_dfc(path):
        return packet_facts(path, size, frames)
    with DfcFile(path) as file:
        return dfc_facts(file, progress)


def packet_facts(path: Path, size: int, frames: int) -> VideoFacts:
    """Facts of another video: bits of its packets.

    Args:
        path: the file.
        size: of the file in bytes.
        frames: number of frames that were decoded from it.

    Raises:
        InputError: the file cannot be read.
    """
    from dfccodec.media.input.packet_sizes import read_packet_sizes

    found, out = read_packet_sizes(path), VideoFacts()
    if len(found.frames) == frames:
        out.bits = [8.0 * count for count in found.frames]
    else:
        out.bits = [None] * frames
        out.notes.append(f"{len(found.frames)} packets have {frames} frames: the bits of each frame are not shown")
    video = sum(found.frames)
    out.parts = {
        "video": video, "sound": found.sound, "overhead": max(size - video - found.sound, 0),
    }  # fmt: skip
    out.settings = [("codec", found.codec), ("keyframes", f"{sum(found.keyframes)} of {len(found.keyframes)}")]
    out.notes += [f"the file was not read to its end: {found.note}"] if found.note else []
    return out
