"""The conformance vectors of coding 3, predicted (SPEC.md 7.10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, Ints, integers
from vector_files import File
from vector_motion import decisions
from vector_parts import Head, Part, join

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=40, height=24, channels=96)  # grid (1, 2, 3), 3 × 5 blocks
ALL_MODES = (0, 1, 2, 3)
FINE = (1, 4, 6, 192)  # blocks of details


def details(seed: int, span: int = 5) -> Ints:
    """Integers of details: most blocks have none."""
    out = integers(FINE, seed, span)
    out[integers(FINE[:-1], seed + 1, 9) > -2] = 0
    return out


def residuals(kept: int, grid: tuple[int, ...], seed: int, span: int = 9) -> Ints:
    """Integers that are small, and mostly 0 in the later channels."""
    out = integers((kept, *grid, 96), seed, span)
    for c in range(96):
        out[..., c] //= 1 + c // 8
    return out


def predicted(kept: tuple[int, ...], frames: int, importance: bytes, seed: int = 1, **more: object) -> Clip:
    """A clip with fill policy 4; all but the most important kept frame are predicted."""
    top = max(kept, key=lambda t: (importance[t], -t))
    clip = Clip(
        frames=frames, kept=kept, fill=4, coding=3, importance=importance, qp=20,
        values=residuals(len(kept), (1, 2, 3), seed), predicted=tuple(t for t in kept if t != top),
        qps=tuple(20 + 3 * (t != top) for t in kept),
    )  # fmt: skip
    return replace(clip, **more)  # type: ignore[arg-type]


def valid_modes(clip: Clip, modes: tuple[tuple[int, ...], ...]) -> Ints:
    """Decisions of the predicted frames with only the modes that their references allow."""
    out = decisions(modes, 3, 5)
    for number, (_, (past, future)) in enumerate(sorted(clip.sides().items())):
        out[number, ..., 0] &= int(past is not None) | 2 * int(future is not None)
    return out


IMPORTANCE = bytes([10, 200, 9, 8, 255, 7, 150, 6])


def valid_predicted() -> Iterator[Good]:
    """Ordinary files."""
    clip = predicted((1, 4, 6), 8, IMPORTANCE)
    moved = replace(clip, kept_motion=valid_modes(clip, (ALL_MODES, ALL_MODES)))
    yield "predicted", "coding 3: an intra frame, one frame predicted from the future, one from the past", File(
        SMALL, [moved]
    )  # fmt: skip
    every = decisions(((0, 2), (3, 1, 2, 0), (3, 2), (1, 0, 3), (1,)), 3, 5)
    yield "predicted-and-dropped", "motion of kept and of dropped frames", File(SMALL, [replace(moved, motion=every)])
    yield "predicted-still", "no motion: every prediction is a blend", File(SMALL, [clip])
    both = predicted((0, 1, 2, 3, 4, 5, 6), 7, bytes([250, 100, 150, 90, 200, 80, 251]), 3)
    both = replace(both, kept_motion=valid_modes(both, (ALL_MODES,) * 6))
    yield "predicted-all-kept", "two references each, every frame kept, layers of motion", File(SMALL, [both])
    mixed = replace(clip, predicted=(6,), qps=(0, 63, 31))
    mixed = replace(mixed, kept_motion=valid_modes(mixed, ((1, 0),)))
    yield "predicted-two-intra", "a later intra frame, QP 0, 31 and 63", File(SMALL, [mixed])


def uncommon_predicted() -> Iterator[Good]:
    """Files that a careless reader misreads."""
    none = Clip(frames=3, kept=(), fill=4, coding=3)
    one = predicted((1,), 3, bytes([1, 0, 2]))
    yield "predicted-few-kept", "coding 3 of no kept frame, and of one", File(SMALL, [none, one])
    tie = predicted((0, 2, 3), 4, bytes([7, 9, 7, 7]), 5)
    yield "predicted-ties", "equal importance: the earlier frame comes first", File(SMALL, [tie])
    far = predicted((1, 4, 6), 8, IMPORTANCE, 6)
    motion = valid_modes(far, ((2, 0), (1,)))
    motion[..., 1:] = np.where(motion[..., 1:] & 1, 32767, -32768)
    yield "predicted-far", "vectors of kept frames that lead far out of the picture", File(
        SMALL, [replace(far, kept_motion=motion)]
    )  # fmt: skip
    moved_far = replace(far, kept_motion=motion)
    layered = predicted((0, 1, 2, 3, 4, 5, 6, 7), 8, bytes([200, 90, 180, 80, 190, 70, 255, 250]), 7)
    rough = valid_modes(layered, (ALL_MODES,) * 7)
    rough[..., 1:] = integers(rough[..., 1:].shape, 11, 41)  # negative ones too
    yield "predicted-layers", "previous frames with more and fewer reference frames, negative vectors scaled", File(
        SMALL, [replace(layered, kept_motion=rough)]
    )  # fmt: skip
    intra = replace(far, predicted=())
    some = {4: (12, details(21)), 6: (63, details(23, 2001))}
    yield "predicted-details", "details of an intra and of a predicted frame", File(
        SMALL, [replace(moved_far, details=some)]
    )  # fmt: skip
    every = {1: (0, np.zeros(FINE, np.int16)), 4: (30, details(25)), 6: (31, details(27))}
    other = replace(far, importance=bytes([10, 255, 9, 8, 200, 7, 150, 6]), predicted=(4,), qps=(20, 40, 20))
    yield "predicted-details-zero", "details of every frame, all 0 in one", File(SMALL, [replace(other, details=every)])
    yield "predicted-six-tap", "tools 2: the filter of six taps", File(SMALL, [replace(moved_far, tools=2)])
    yield "predicted-eight-tap", "tools 4: the filter of eight taps", File(SMALL, [replace(moved_far, tools=4)])
    yield "predicted-quarter", "tools 6: vectors in quarter pixels", File(SMALL, [replace(moved_far, tools=6)])
    yield "predicted-quarter-details", "tools 7: those and details", File(
        SMALL, [replace(moved_far, details=some, tools=7)]
    )  # fmt: skip
    yield "predicted-six-tap-details", "tools 3: that filter and details", File(
        SMALL, [replace(moved_far, details=some, tools=3)]
    )  # fmt: skip
    yield "predicted-direct", "tools 8: direct motion, of predicted and of dropped frames", File(
        SMALL, [replace(moved_far, tools=8, motion=decisions(((0, 2), (3, 0, 0), (0, 2), (0, 3), (0,)), 3, 5))]
    )  # fmt: skip
    yield "predicted-direct-layers", "tools 14: direct motion in quarter pixels; complete vectors of every kind", File(
        SMALL, [replace(layered, kept_motion=rough, tools=14)]
    )  # fmt: skip
    gaps = replace(layered, frames=16, kept=tuple(range(1, 16, 2)), importance=bytes(
        b for value in layered.importance or b"" for b in (0, value)
    ), predicted=tuple(2 * t + 1 for t in layered.predicted), kept_motion=rough, tools=8)  # fmt: skip
    yield "predicted-direct-dropped", "direct vectors of dropped frames without a payload", File(SMALL, [gaps])
    wide = predicted((0, 2, 9), 10, bytes([255, 0, 150, 0, 0, 0, 0, 0, 0, 200]), 9, tools=14)
    fast = valid_modes(wide, ((1,), (1, 0)))
    fast[..., 1:] = np.where(fast[..., 1:] & 1, 32767, -32768)
    yield "predicted-direct-clamped", "complete vectors beyond 16 bits", File(SMALL, [replace(wide, kept_motion=fast)])
    yield "predicted-no-details", "tools 1, but no frame has details", File(SMALL, [replace(moved_far, tools=1)])
    yield "predicted-all-intra", "coding 3 without a predicted frame", File(SMALL, [intra])


def faulty_predicted() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.10 each."""
    good = predicted((1, 4, 6), 8, IMPORTANCE)
    good = replace(good, kept_motion=valid_modes(good, (ALL_MODES, ALL_MODES)), planes=1)
    good.finish(SMALL, 0, 0, 0)
    sane = b"".join(part.data for part in good.coded())
    size = int.from_bytes(sane[1:5], "little")

    def one(latents: bytes, head: Head = SMALL, **more: object) -> bytes:
        clip = replace(good, latents=[Part(latents, "latents")], **more)  # type: ignore[arg-type]
        return join(File(head, [clip]).chunks()[0])

    yield "predicted-tools", "unsupported", "7.10.1", "tools 32", one(b"\x20" + sane[1:])
    yield "predicted-short", "damaged", "7.10.1", "no kind of the last frame", one(sane[:11])
    yield "predicted-qp-64", "damaged", "7.10.1", "QP 64 of a kept frame", one(sane[:10] + b"\x40" + sane[11:])
    first = bytes([sane[9] & 127])
    yield "predicted-first", "damaged", "7.10.1", "the first frame is predicted", one(sane[:9] + first + sane[10:])
    yield "predicted-motion-bytes", "damaged", "7.10.1", "more motion than bytes", one(
        sane[:1] + (1 << 20).to_bytes(4, "little") + sane[5:]
    )  # fmt: skip
    yield "predicted-intra-bytes", "damaged", "7.10.1", "the last intra word belongs to the residuals", one(
        sane[:5] + (int.from_bytes(sane[5:9], "little") - 4).to_bytes(4, "little") + sane[9:]
    )  # fmt: skip
    yield from faulty_details(good, one)
    yield "predicted-half-word", "damaged", "7.6", "two bytes after the last word", one(sane + b"\0\1")
    yield "predicted-motion-word", "damaged", "7.8.1", "the last word of motion is 0", one(
        sane[: 12 + size - 4] + bytes(4) + sane[12 + size :]
    )  # fmt: skip
    wrong = valid_modes(good, (ALL_MODES, ALL_MODES))
    wrong[0, 0, 0, 0] = 1
    yield "predicted-no-reference", "damaged", "7.8.1", "mode 1 without a past reference frame", join(
        File(SMALL, [replace(good, kept_motion=wrong)]).chunks()[0]
    )  # fmt: skip
    intra = replace(good, predicted=(), kept_motion=None)
    intra.finish(SMALL, 0, 0, 0)
    alone = b"".join(part.data for part in intra.coded())
    motion = sane[12 : 12 + size]
    yield "predicted-motion-of-none", "damaged", "7.10.1", "motion, but no predicted frame", one(
        alone[:1] + size.to_bytes(4, "little") + alone[5:12] + motion + alone[12:], predicted=()
    )  # fmt: skip
    rest = bytes([0xFF, 0xFF, 0xFF, 0xFF]) * 2
    yield "predicted-residuals-of-none", "damaged", "7.10.1", "residuals, but no predicted frame", one(
        alone + rest, predicted=()
    )  # fmt: skip
    yield "predicted-sizes-wrap", "damaged", "7.10.1", "both sizes are 2^32 - 1", one(sane[:1] + rest + sane[9:])
    for fill in (0, 3):
        yield f"predicted-fill-{fill}", "damaged", "7.10", f"fill policy {fill}", one(sane, fill=fill)
    yield "predicted-planes", "damaged", "7.10", "two planes", one(sane, planes=2)
    tiled = Head(width=48, height=32, channels=96, tile=32, overlap=16)
    single = Clip(frames=1, fill=4, coding=3, values=residuals(1, tiled.grid, 2))
    yield "predicted-tiles", "damaged", "7.10", "tiles", join(File(tiled, [single]).chunks()[0])
    for name, head in (
        ("channels", Head(width=48, height=32, channels=95)),
        ("patch", Head(width=24, height=16, patch=8, channels=96)),
    ):
        plain = Clip(frames=1, fill=4, coding=3, values=integers((1, *head.grid, head.channels), 4, 9))
        yield f"predicted-{name}", "damaged", "7.10", f"{name} of another model", join(File(head, [plain]).chunks()[0])


def faulty_details(good: Clip, one: Callable[..., bytes]) -> Iterator[Row]:
    """One broken rule of details each; `one` makes a file of latents."""
    clip = replace(good, details={4: (12, details(21)), 6: (40, details(23))})
    clip.finish(SMALL, 0, 0, 0)
    sane = b"".join(part.data for part in clip.coded())  # 9 bytes, 3 kinds, residual_bytes at 12, then two of 5 bytes
    size = int.from_bytes(sane[17:21], "little")
    yield "predicted-detail-qp", "damaged", "7.10.1", "QP 64 of details", one(sane[:16] + b"\x40" + sane[17:])
    yield "predicted-detail-bytes", "damaged", "7.10.1", "the last word of details belongs to no stream", one(
        sane[:17] + (size - 4).to_bytes(4, "little") + sane[21:]
    )  # fmt: skip
    yield "predicted-detail-moved", "damaged", "7.6", "the last word of details belongs to the next frame", one(
        sane[:17] + (size - 4).to_bytes(4, "little") + sane[21:22]
        + (int.from_bytes(sane[22:26], "little") + 4).to_bytes(4, "little") + sane[26:]
    )  # fmt: skip
    yield "predicted-detail-short", "damaged", "7.10.1", "no size of the last details", one(sane[:24])
    most = b"\xff" * 4
    yield "predicted-detail-wrap", "damaged", "7.10.1", "all sizes are 2^32 - 1", one(
        sane[:1] + 2 * most + sane[9:12] + most + sane[16:17] + most + sane[21:22] + most + sane[26:]
    )  # fmt: skip
    empty = replace(clip, details={4: (12, details(21))}, latents=None)
    empty.finish(SMALL, 0, 0, 0)
    whole = b"".join(part.data for part in empty.coded())
    cut = int.from_bytes(whole[17:21], "little")
    yield "predicted-detail-none", "damaged", "7.6", "details of 0 bytes", one(
        whole[:17] + bytes(4) + whole[21 : len(whole) - cut]
    )  # fmt: skip
    yield "predicted-detail-bit", "damaged", "7.10.1", "tools 0, but a frame has details", one(b"\0" + whole[1:])
