"""The conformance vectors of context mixing (SPEC.md 7.11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, Ints, integers
from vector_direct import MODES, direct_clip, moved_vectors
from vector_files import File
from vector_motion import EVERY, decisions
from vector_parts import Head, Part, join
from vector_predicted import ALL_MODES, IMPORTANCE, SMALL, details, predicted, residuals, valid_modes
from write_mixing import mixed_integers, mixed_motion

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
WIDE = Head(width=96, height=80, channels=96)  # grid (1, 5, 6), 10 × 12 blocks
SEVEN = bytes([250, 100, 150, 90, 200, 80, 251])


def smooth(kept: int, grid: tuple[int, ...], seed: int, span: int) -> Ints:
    """Integers that change little from cell to cell and from frame to frame, and are 0 from some channel on."""
    out = residuals(kept, grid, seed, span).astype(np.int64)
    for axis in (2, 3):
        out[..., :6] = np.cumsum(out[..., :6], axis=axis) // 2
    out[1:] = out[:1] + out[1:] // 6
    ends = integers((kept, *grid), seed + 1, 97) % 97
    out[np.arange(96) >= ends[..., None]] = 0
    return out.clip(-32768, 32767).astype(np.int16)


def valid_mixing() -> Iterator[Good]:
    """Ordinary files."""
    clip = predicted((1, 4, 6), 8, IMPORTANCE, tools=16)
    moved = replace(clip, kept_motion=valid_modes(clip, (ALL_MODES, ALL_MODES)))
    every = decisions(((0, 2), (3, 1, 2, 0), (3, 2), (1, 0, 3), (1,)), 3, 5)
    yield "mixed", "tools 16: intra and residual integers, motion of kept and of dropped frames", File(
        SMALL, [replace(moved, motion=every)]
    )  # fmt: skip
    yield "mixed-still", "no motion", File(SMALL, [clip])
    wide = predicted((0, 1, 2, 3, 4, 5, 6), 7, SEVEN, 3, tools=30, values=smooth(7, WIDE.grid, 4, 41))
    wide = replace(wide, predicted=(1, 2, 3, 5), qps=(20,) * 7)
    modes = decisions((ALL_MODES,) * 4, 10, 12)
    for number, (_, (past, future)) in enumerate(sorted(wide.sides().items())):
        modes[number, ..., 0] &= int(past is not None) | 2 * int(future is not None)
    yield "mixed-wide", "three intra frames that resemble one another, four predicted ones; depths of every kind", File(
        WIDE, [replace(wide, kept_motion=modes)]
    )  # fmt: skip


def uncommon_mixing() -> Iterator[Good]:
    """Files that a careless reader misreads."""
    one = predicted((1,), 3, bytes([1, 0, 2]), tools=16)
    none = Clip(frames=3, kept=(), fill=4, coding=3, tools=16)
    yield "mixed-few-kept", "one kept frame, and none", File(SMALL, [one, none])
    clip = predicted((1, 4, 6), 8, IMPORTANCE, 6, tools=16)
    large = integers((3, 1, 2, 3, 96), 31, 65536)
    yield "mixed-16-bits", "integers of 16 bits, differences beyond them", File(SMALL, [replace(clip, values=large)])
    both = replace(clip, predicted=(), values=np.repeat(np.where(large[:1] & 1, 32767, -32768).astype(np.int16), 3, 0))
    yield "mixed-static", "intra frames of the largest and smallest integers, all alike", File(SMALL, [both])
    for level in (0, 33):
        yield f"mixed-level-{level}", f"level {level}, with large and small integers", File(
            SMALL, [replace(both, values=large, level=level), replace(clip, level=level)]
        )  # fmt: skip
    yield "mixed-zero", "all integers are 0", File(SMALL, [replace(clip, values=np.zeros((3, 1, 2, 3, 96), np.int16))])
    last = np.zeros((3, 1, 2, 3, 96), np.int16)
    last[..., 95] = 1
    yield "mixed-last-channel", "only the last channel", File(SMALL, [replace(clip, values=last)])
    steady = np.full((3, 1, 2, 3, 96), 20000, np.int16)
    yield "mixed-steady", "20000 everywhere: weights grow", File(SMALL, [replace(both, values=steady)])
    far = valid_modes(clip, ((3, 2, 0), (1, 3)))
    far[..., 1:] = np.where(far[..., 1:] & 1, 32767, -32768)
    rough = valid_modes(clip, (ALL_MODES, ALL_MODES))
    rough[..., 1:] = integers(rough[..., 1:].shape, 12, 2001)
    yield "mixed-far", "vectors of 16 bits, and of a thousand", File(
        SMALL, [replace(clip, kept_motion=far), replace(clip, kept_motion=rough)]
    )  # fmt: skip
    layered = predicted((0, 1, 2, 3, 4, 5, 6, 7), 8, bytes([200, 90, 180, 80, 190, 70, 255, 250]), 7, tools=22)
    layers = valid_modes(layered, (ALL_MODES,) * 7)
    layers[..., 1:] = integers(layers[..., 1:].shape, 11, 41)
    yield "mixed-layers", "layers of motion, with more and fewer reference frames", File(
        SMALL, [replace(layered, kept_motion=layers)]
    )  # fmt: skip
    fine = replace(clip, details={4: (12, details(21)), 6: (63, details(23, 2001))}, tools=17)
    yield "mixed-details", "tools 17: details too", File(SMALL, [fine])
    line = Head(width=16, height=144, channels=96)
    for name, head in (("column", line), ("row", replace(line, width=144, height=16))):
        thin = predicted((1, 4, 6), 8, IMPORTANCE, tools=16, values=smooth(3, head.grid, 8, 21))
        rows, columns = head.height // 8, head.width // 8
        moving = decisions(((3, 2, 0), (1, 3)), rows, columns)
        for number, (_, (past, future)) in enumerate(sorted(thin.sides().items())):
            moving[number, ..., 0] &= int(past is not None) | 2 * int(future is not None)
        yield f"mixed-{name}", f"cells in one {name}", File(head, [replace(thin, kept_motion=moving)])
    direct = direct_clip(28, moved_vectors(), motion=decisions(MODES, 3, 5))
    yield "direct-mixed", "tools 28 of fill policy 6: motion of dropped frames", File(SMALL, [direct])
    plain = Clip(frames=7, kept=(1, 4), fill=6, tools=20, coding=1, motion=decisions(EVERY, 3, 5))
    yield "direct-mixed-range", "tools 20 in coding 1", File(SMALL, [plain])


def faulty_mixing() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.11 each."""
    good = predicted((1, 4, 6), 8, IMPORTANCE, tools=16)
    good = replace(good, kept_motion=valid_modes(good, (ALL_MODES, ALL_MODES)), planes=1)
    good.finish(SMALL, 0, 0, 0)
    assert good.values is not None
    assert good.kept_motion is not None
    sides = good.sides()
    streams = {
        "motion": mixed_motion(good.kept_motion, sides, 3, 5, 2), "intra": mixed_integers(good.values[1:2, 0], 0),
        "residuals": mixed_integers(good.values[[2, 0], 0], 1),
    }  # fmt: skip

    def one(changed: dict[str, bytes], head: Head = SMALL, payload: bytes = b"") -> bytes:
        parts = streams | changed
        data = b"\x10" + b"".join(len(parts[name]).to_bytes(4, "little") for name in ("motion", "intra"))
        data += bytes([148, 23, 23]) + b"".join(parts.values())
        clip = replace(good, latents=[Part(data, "latents")], payload=payload)
        return join(File(head, [clip]).chunks()[0])

    sections = {"motion": "7.11.4", "intra": "7.11.3", "residuals": "7.11.3"}
    for name, data in streams.items():
        first = sections[name]
        yield f"mixed-{name}-cut", "damaged", first, "the first word is missing", one({name: data[4:]})
        yield f"mixed-{name}-more", "damaged", first, "a word too many", one({name: data[:4] + data})
        yield f"mixed-{name}-half", "damaged", "7.11", "half a word too many", one({name: data + b"\1\1"})
        yield f"mixed-{name}-zero", "damaged", "7.11", "the last word is 0", one({name: data + bytes(4)})
    for start in (1 << 23, (1 << 24) + 1):
        other = mixed_integers(good.values[1:2, 0], 0, start=start)
        yield f"mixed-start-{start}", "damaged", "7.11.1", f"the state begins as {start}", one({"intra": other})
    high = mixed_integers(good.values[1:2, 0], 0, level=34)
    yield "mixed-level-34", "damaged", "7.11.3", "level 34", one({"intra": high})
    yield "mixed-no-intra", "damaged", "7.11", "no byte of intra integers", one({"intra": b""})
    yield "mixed-no-residuals", "damaged", "7.11", "no byte of residual integers", one({"residuals": b""})
    vast = Head(width=16 * 200, height=16 * 200, channels=96)
    yield (
        "mixed-cells",
        "limit",
        "7.11",
        "40 000 cells from eight bytes",
        one({"motion": b"", "intra": b"\1" * 8}, vast),
    )
    broad = Head(width=16 * 24, height=16 * 24, channels=96, clip_frames=32)
    many = predicted((1, 4, 6), 32, IMPORTANCE + bytes(24), tools=16, values=np.zeros((3, *broad.grid, 96), np.int16))
    yield "mixed-blocks", "limit", "7.8.1", "66 816 blocks from four bytes", join(
        File(broad, [replace(many, payload=b"\1" * 4)]).chunks()[0]
    )  # fmt: skip
    dropped = mixed_motion(
        decisions(((2, 0), (3, 1, 0), (1, 2), (0, 1), (1, 0)), 3, 5),
        {0: (None, 1), 2: (1, 4), 3: (1, 4), 5: (4, 6), 7: (6, None)},
        3,
        5,
        3,
    )
    yield (
        "mixed-dropped-cut",
        "damaged",
        "7.11.4",
        "the first word of the fill payload is missing",
        one({}, payload=dropped[4:]),
    )
    intra = b"\x10" + bytes(4) + len(streams["intra"]).to_bytes(4, "little") + b"\x94" + streams["intra"]
    alone = replace(good, kept=(4,), predicted=(), kept_motion=None, values=good.values[1:2], qps=(20,))
    more = replace(alone, latents=[Part(intra + streams["residuals"], "latents")])
    yield "mixed-residuals-of-none", "damaged", "7.11", "residuals, but no predicted frame", join(
        File(SMALL, [more]).chunks()[0]
    )  # fmt: skip
