"""Write the conformance vectors, and the dissections in SPEC.md: `python formats/make_vectors.py`.

All bytes come from numbers in these scripts, without dfccodec and without a zstd library, so that they are the same on
every machine. Expected results are computed from the input of the writer, not by reading a file.
"""

from __future__ import annotations

import argparse
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from vector_clips import Clip, integers
from vector_damaged import damaged
from vector_direct import uncommon_direct, valid_direct
from vector_edges import uncommon_edges
from vector_faults import faults
from vector_files import File, Packets, Stream
from vector_generate import uncommon_generate, valid_generate
from vector_inter import uncommon_inter, valid_inter
from vector_limits import uncommon_limits
from vector_mixing import uncommon_mixing, valid_mixing
from vector_motion import uncommon_motion, valid_motion
from vector_parts import Chunk, Head, Part, dissect
from vector_pictures import pictures
from vector_predicted import uncommon_predicted, valid_predicted
from vector_range import uncommon_range, valid_range
from vector_traced import valid_traced
from vector_zstd import uncommon_zstd, valid_zstd

HERE = Path(__file__).resolve().parent
DISSECTED = ("valid/smallest", "valid/dropped-frames", "valid/sound-and-tags")
Good = tuple[str, str, File]


def f32(value: float) -> float:
    """The nearest binary32."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def filters(rows: list[list[int]]) -> np.ndarray:
    """(C, K)."""
    return np.array(rows, np.uint8)


SMALL = Head(width=48, height=32, channels=4)  # grid (1, 2, 3)


def dropped() -> File:
    """Dissected in SPEC.md 15.2."""
    clip = Clip(
        frames=5, kept=(1, 4), values=np.array([-1, 3, 4, 3, -2, 0, 5, 0], np.int16).reshape(2, 1, 1, 2, 2),
        filters=filters([[2, 1], [0, 3]]), qp=10, fill=2, first_pts=-100, durations=(40, 41, 40, 39, 40),
        importance=bytes([12, 250, 30, 5, 180]),
    )  # fmt: skip
    return File(Head(width=32, channels=2, rate=(25, 1), time_base=(1, 1000)), [clip], (0.25, 0.5))


def valid() -> Iterator[Good]:
    """Ordinary files."""
    one = Clip(values=np.full((1, 1, 1, 1, 1), -3, np.int16))
    yield "smallest", "one frame of one token and one channel", File(body=[one])
    yield "dropped-frames", "2 of 5 frames kept, lerp, a duration for each, timestamps below 0", dropped()
    body: list[Clip | Stream | Packets | Chunk] = [
        Stream(extradata=b"\x01"), Packets(1, ((0, 0, 960, 1, b"\xaa\xbb"), (960, 960, 960, 0, b"\xcc"))),
        Clip(frames=2, kept=()),
    ]  # fmt: skip
    yield (
        "sound-and-tags",
        "an audio stream, tool, tags",
        File(body=body, tool=(("encoder", "dfc 0.1.0"),), tags=(("title", "Été"),)),
    )
    for number, name in enumerate(("token", "hold", "lerp")):
        yield (
            f"fill-{name}",
            f"fill policy {name}: frames before, between and after kept ones",
            File(SMALL, [Clip(frames=8, kept=(2, 5), fill=number)]),
        )
    clips = [Clip(frames=32, kept=tuple(range(0, 32, 5))), Clip(frames=32, kept=(31,)), Clip(frames=7, kept=(0, 6))]
    yield "three-clips", "two full clips and a shorter last one", File(SMALL, [*clips], tool=(("encoder", "x"),))
    steps = (f32(0.1), f32(1 / 3), 2.0, f32(7e-4))
    yield "step-per-channel", "a step for each channel, none a round number", File(SMALL, [Clip(qp=37)], steps)
    ladder = [
        Clip(qp=qp, values=integers((1, 1, 2, 3, 4), qp, 60001), planes=2) for qp in (0, 1, 2, 3, 4, 5, 6, 7, 8, 63)
    ]
    yield "qp-ladder", "every eighth of QP and both ends", File(SMALL, [*ladder], steps)
    yield from _valid_shapes()
    yield from valid_range()
    yield from valid_inter()
    yield from valid_predicted()
    yield from valid_mixing()
    yield from valid_motion()
    yield from valid_direct()
    yield from valid_generate()
    yield from valid_traced()


def _valid_shapes() -> Iterator[Good]:
    rotated = filters([[(c + k) % 4 for k in range(4)] for c in range(4)])
    yield (
        "all-filters",
        "every filter on every frame",
        File(SMALL, [Clip(frames=4, kept=(0, 1, 2, 3), filters=rotated)]),
    )
    yield from valid_zstd()
    yield "odd-size", "37 × 21 pixels in patches of 8", File(Head(width=37, height=21, patch=8, channels=2), [Clip()])
    yield (
        "colour-and-shape",
        "rotation, pixel aspect, colour, 29.97 frames a second",
        File(
            Head(rate=(30000, 1001), time_base=(1, 30000), pixel_aspect=(16, 11), rotation=3, colour=(1, 1, 13, 6, 10)),
            [Clip(frames=3, durations=(1001,))],
        ),
    )


def uncommon() -> Iterator[Good]:
    """Good files that a careless reader refuses or misreads."""
    yield "no-clips", "a video of no frame", File()
    for number, name in enumerate(("token", "hold", "lerp")):
        yield (
            f"nothing-kept-{name}",
            f"no kept frame, fill policy {name}",
            File(body=[Clip(frames=3, kept=(), fill=number)]),
        )
    yield (
        "64-frames",
        "clips of 64 frames, all kept and every ninth",
        File(
            Head(clip_frames=64), [Clip(frames=64, kept=tuple(range(64))), Clip(frames=64, kept=tuple(range(0, 64, 9)))]
        ),
    )
    yield (
        "short-clip-first",
        "a clip shorter than clip_frames that is not the last",
        File(body=[Clip(frames=5, kept=(2,)), Clip(frames=32, kept=(0,)), Clip()]),
    )
    yield "clip-frames-1", "clips of one frame", File(Head(clip_frames=1), [Clip(), Clip(kept=()), Clip()])
    tiled = Head(width=40, height=24, patch=8, channels=2, tile=16, overlap=8)
    yield (
        "tiles",
        "tiles that overlap by half",
        File(tiled, [Clip(frames=2, kept=(0, 1), filters=filters([[3, 1], [2, 1]]))]),
    )
    yield (
        "tiles-pulled-back",
        "tiles of 24 with overlap 8 that end with the padded picture",
        File(Head(width=70, height=34, patch=8, tile=24, overlap=8), [Clip()]),
    )
    yield "tiles-no-overlap", "overlap 0", File(Head(width=33, height=16, patch=16, tile=16), [Clip()])
    yield "tile-over-picture", "a tile larger than the picture", File(Head(patch=8, tile=32, overlap=16), [Clip()])
    yield from _uncommon_integers()
    yield from _uncommon_chunks()
    yield from _uncommon_streams()
    yield from _uncommon_times()
    yield from uncommon_zstd()
    yield from uncommon_range()
    yield from uncommon_inter()
    yield from uncommon_predicted()
    yield from uncommon_mixing()
    yield from uncommon_motion()
    yield from uncommon_direct()
    yield from uncommon_generate()
    yield from uncommon_limits()
    yield from uncommon_edges()


def _uncommon_integers() -> Iterator[Good]:
    extreme = np.array([-32768, 32767, 0, -1, 32767, -32768] * 4, np.int16).reshape(4, 1, 2, 3, 1)
    yield "int16-extremes", "residuals that wrap modulo 2^16, under every filter", File(
        replace(SMALL, channels=1),
        [Clip(frames=4, kept=(0, 1, 2, 3), values=np.roll(extreme, k), filters=filters([f]), planes=2) for k, f in
         enumerate(([0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 1]))],
    )  # fmt: skip
    yield (
        "previous-on-first",
        "filter PREVIOUS on the first kept frame predicts 0",
        File(SMALL, [Clip(filters=filters([[1]] * 4))]),
    )
    yield "needless-plane", "two planes where one would do", File(SMALL, [Clip(planes=2)])


def _uncommon_chunks() -> Iterator[Good]:
    yield (
        "unknown-ancillary",
        "unknown ancillary chunks in preamble and body, empty and not",
        File(
            body=[Clip(), Chunk(b"xaBC", []), Clip(), Chunk(b"zzzz", [Part(b"CLIP\0\0\0\0", "anything")])],
            extra=[Chunk(b"abcd", [Part(bytes(range(40)), "anything")])],
        ),
    )
    yield (
        "preamble-order",
        "tags, STEP, tool, MODL",
        File(body=[Clip()], order="tSoM", tool=(("encoder", "x"),), tags=(("title", "y"),)),
    )
    yield "newer-version", "version 9 that needs 1", File(Head(version=9), [Clip()])
    rows = (
        ("title", "\x1b]0;pwned\x07\x1b[2J"),
        ("comment", "a\0b\r\n\u202egpj.exe"),
        ("x", ""),
        ("x", "again"),
        ("", "empty key"),
    )
    yield (
        "hostile-tags",
        "escape sequences, U+0000, reordering, empty and repeated keys",
        File(body=[Clip()], tags=rows),
    )
    yield (
        "no-pairs",
        "tool and tags with no pair",
        File(
            body=[Clip()],
            order="MS",
            extra=[Chunk(b"tool", [Part(b"\0\0", "count")]), Chunk(b"tags", [Part(b"\0\0", "count")])],
        ),
    )
    yield (
        "largest-text",
        "a tag of 4000 bytes of UTF-8 in four-byte characters",
        File(tags=(("k", "\U0001f3ac" * 1000),)),
    )
    marks = (("title", "\ufeffa byte order mark"), ("comment", "a zero\0"))
    yield "text-marks", "U+FEFF first and U+0000 last are part of a text", File(tags=marks)
    yield (
        "config-nested",
        "a configuration of nested JSON",
        File(body=[Clip()], config='{"a": [{"b": null}], "c": 1e400}'),
    )
    digits = f'{{"a": {"7" * 4400}, "a": -0.0, "NaN": "[{{\\"Infinity"}}'
    yield "config-long-number", "an integer of 4400 digits, a key twice, brackets in a string", File(config=digits)
    yield "config-100-deep", "lists in lists, 100 in all", File(config=_nested(99))


def _nested(lists: int) -> str:
    """An object that holds `lists` nested lists."""
    return '{"a":' + "[" * lists + "]" * lists + "}"


def _uncommon_streams() -> Iterator[Good]:
    streams: list[Clip | Stream | Packets | Chunk] = [
        Stream(id=65535, kind=1, codec="subrip", sample_rate=0, channels=0, layout="", language="", disposition=65535),
        Clip(), Stream(id=0, kind=2, codec="bin_data", time_base=(4294967295, 4294967295)), Packets(0, ()),
        Packets(65535, ((-(2**63), -(2**63), 0, 0, b""), (2**63 - 1, -1, 4294967295, 1, b"HEADfoot"))),
    ]  # fmt: skip
    yield (
        "odd-streams",
        "ids 0 and 65535, no packet, an empty packet, no timestamp, a stream after a clip",
        File(body=streams),
    )


def _uncommon_times() -> Iterator[Good]:
    yield "variable-rate", "rate 0/1", File(Head(rate=(0, 1)), [Clip(frames=3, durations=(1, 100, 7))])
    yield (
        "durations-0",
        "frames that last no time",
        File(body=[Clip(frames=3, durations=(0,)), Clip(frames=2, durations=(0, 1))]),
    )
    yield "one-frame-timing-1", "a duration for each of one frame", File(body=[Clip(timing=1, durations=(9,))])
    gap = [Clip(frames=2), Clip(frames=2, first_pts=100), Clip(first_pts=101)]
    yield "gap-and-overlap-in-time", "a clip later than the end of the last, one with its last frame", File(body=[*gap])
    yield "pts-highest", "the end is 2^63 - 1", File(body=[Clip(frames=2, durations=(3,), first_pts=2**63 - 7)])
    yield (
        "pts-lowest",
        "from -2^63, with the longest durations",
        File(body=[Clip(frames=32, durations=(4294967295,), first_pts=-(2**63))]),
    )
    yield (
        "unreduced-ratios",
        "50/2, 2/50, 4294967295/4294967295",
        File(Head(rate=(50, 2), time_base=(2, 50), pixel_aspect=(4294967295, 4294967295)), [Clip()]),
    )


def vectors() -> dict[str, tuple[bytes, dict[str, object], str]]:
    """All vectors: folder/name -> bytes, expected result, dissection."""
    out: dict[str, tuple[bytes, dict[str, object], str]] = {}
    for folder, group in (("valid", valid()), ("uncommon", uncommon())):
        for name, note, file in group:
            chunks, expected = file.chunks()
            if name == "no-pairs":
                expected["unknown"] = []
            data = b"\xdfDFC\r\n\x1a\n" + b"".join(p.data for c in chunks for p in c.parts())
            out[f"{folder}/{name}"] = data, {"note": note, **expected}, dissect(chunks)
    for fault in faults():
        expected = {"error": fault.error, "section": fault.section, "note": fault.note}
        out[f"faulty/{fault.name}"] = fault.data, expected, ""
    for broken in damaged():
        expected = {"section": broken.section, "note": broken.note, "clips": broken.clips}
        out[f"damaged/{broken.name}"] = broken.data, expected, ""
    return out


def with_dissections(spec: str, made: dict[str, tuple[bytes, dict[str, object], str]]) -> str:
    """The text of SPEC.md with the dissections of section 15 replaced."""
    for name in DISSECTED:
        head, rest = spec.split(f"<!-- dissection: {name} -->\n", 1)
        _, tail = rest.split("<!-- end -->", 1)
        spec = f"{head}<!-- dissection: {name} -->\n```\n{made[name][2]}\n```\n<!-- end -->{tail}"
    return spec


def table(made: dict[str, tuple[bytes, dict[str, object], str]]) -> str:
    """The text of vectors/README.md: all vectors, with the purpose of each."""
    lines = [
        "# Conformance vectors",
        "",
        "`formats/make_vectors.py` writes these files and this page. [README.md](../README.md) explains their use.",
        "",
    ]
    lines += ["| file | bytes | result | SPEC.md | |", "| --- | --- | --- | --- | --- |"]
    for name, (data, expected, _) in made.items():
        clips = expected.get("clips")
        note = str(expected["note"]).replace("|", "\\|")
        result = expected.get("error", "good")
        if name.startswith("damaged/") and isinstance(clips, list):
            result = f"{len(clips)} of 3 clips"
        lines.append(f"| {name}.dfc | {len(data)} | {result} | {expected.get('section', '')} | {note} |")
    lines += ["", "Vectors of pictures have no `.dfc`:", "", "| file | SPEC.md | |", "| --- | --- | --- |"]
    lines += [f"| pictures/{name}.json | {picture['section']} | {picture['note']} |" for name, picture in pictures()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the vectors, and the dissections in SPEC.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "vectors", help="where the folders go")
    parser.add_argument("--spec", type=Path, default=HERE.parent / "SPEC.md", help="the document to update")
    options = parser.parse_args()
    made = vectors()
    for name, (data, expected, _) in made.items():
        path = options.out / f"{name}.dfc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps(expected, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    for name, picture in pictures():
        path = options.out / "pictures" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(picture, separators=(",", ":")) + "\n", encoding="utf-8")
    (options.out / "README.md").write_text(table(made), encoding="utf-8")
    if options.spec.exists():
        spec = options.spec.read_text(encoding="utf-8")
        options.spec.write_text(with_dissections(spec, made), encoding="utf-8")
    print(f"{len(made)} vectors in {options.out}")


if __name__ == "__main__":
    main()
