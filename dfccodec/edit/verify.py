"""Verify a file without a model: checksums, counts, sequence, integers and the latent hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from dfccodec.codec import fill
from dfccodec.codec.predict.order import check_pictures
from dfccodec.container.chunks import Damage
from dfccodec.container.reader import ClipAt, IndexAt, Item, Preamble, StreamReader
from dfccodec.container.sequence_check import SequenceChecker
from dfccodec.container.writer import LatentHash
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import DamagedError, UnsupportedError


@dataclass(eq=False)
class Verdict:
    """Result of `verify`; true for a valid file, which has no `faults`.

    Attributes:
        preamble: header, model, steps, tags.
        clips, frames, kept: counts of intact clips, their frames and kept frames.
        faults: all faults with their offsets.
        latent_hash: SHA-256 over the integers of all intact clips.
    """

    preamble: Preamble
    clips: int = 0
    frames: int = 0
    kept: int = 0
    faults: list[Damage] = field(default_factory=list)
    latent_hash: bytes = b""

    def __bool__(self) -> bool:
        """Whether the file is valid."""
        return not self.faults


def verify(stream: BinaryIO, progress: Callable[[int], None] | None = None) -> Verdict:
    """Read a file to its end and check it as a strict reader (SPEC.md 2).

    Raises:
        DfcError: header, model or steps are unreadable. Everything later becomes a fault in the verdict, up to a
            critical chunk of unknown type, after which nothing can be checked.
    """
    reader = StreamReader(stream)
    check = _Check(Verdict(reader.preamble), reader)
    try:
        for item in reader:
            check.item(item)
            if progress:
                progress(check.verdict.frames)
    except UnsupportedError as error:
        check.add(Damage.of(error, *reader.extent))
    check.verdict.latent_hash = check.hash.digest()
    return check.verdict


class _Check:
    """One verification: the verdict so far, the latent hash so far, and the rules of order of the chunks."""

    def __init__(self, verdict: Verdict, reader: StreamReader) -> None:
        self.verdict, self.reader = verdict, reader
        self.hash, self.sequence = LatentHash(), SequenceChecker()

    def add(self, damage: Damage) -> None:
        self.verdict.faults.append(damage)
        self.sequence.data_lost = True

    def item(self, item: Item) -> None:
        for reason, kind in self.sequence.faults(item):
            self.add(Damage(*self.reader.extent, reason, kind))
        if isinstance(item, Damage):
            self.add(item)
        elif isinstance(item, ClipAt):
            self.clip(item)
        elif isinstance(item, IndexAt) and not self.verdict.faults:
            found = self.hash.digest()
            if found != item.index.latent_hash:
                reason = f"latent hash is {found.hex()}, the index says {item.index.latent_hash.hex()}"
                self.add(Damage(*self.reader.extent, reason))

    def clip(self, at: ClipAt) -> None:
        clip, verdict = at.clip, self.verdict
        try:
            fill.policy(clip.fill).check(clip, verdict.preamble.header)
            values = decode_latents(clip, verdict.preamble.header)
            check_pictures(clip, verdict.preamble.header)
        except (DamagedError, UnsupportedError) as error:
            self.add(Damage.of(error, at.offset, at.size))
            return
        self.sequence.accept(at)
        self.hash.update(values)
        verdict.clips += 1
        verdict.frames += clip.frames
        verdict.kept += int(clip.kept.sum())
