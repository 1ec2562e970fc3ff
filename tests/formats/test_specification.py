"""SPEC.md against files and code."""

from __future__ import annotations

import re

import make_vectors
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import ALL, FORMATS, ROOT, SPEC, read_vector

from dfccodec import limits
from dfccodec.codec import fill
from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.codec.motion.obmc import TAPS
from dfccodec.container.records import Fill, MotionFilter


def test_the_hexdumps_of_the_specification_are_the_files() -> None:
    found = re.findall(r"<!-- dissection: (\S+) -->\n```\n(.*?)```", SPEC, flags=re.S)
    assert [name for name, _ in found] == list(make_vectors.DISSECTED)
    for name, dump in found:
        data = b""
        for line in filter(None, dump.split("\n")):
            offset, row = re.fullmatch(r"([0-9a-f]{4,})  ((?:[0-9a-f]{2} ?){1,8}) *.*", line).groups()  # type: ignore[union-attr]
            assert int(offset, 16) == len(data), line
            data += bytes.fromhex(line[6:29])
            assert row.strip() == line[6:29].strip()
        assert data == read_vector(name)[0], name


def test_every_section_the_code_cites_is_there() -> None:
    headings = sections()
    cited = set()
    for path in [*ROOT.glob("dfccodec/**/*.py"), *FORMATS.glob("*.py")]:
        for text in re.findall(
            r"SPEC\.md(?: section)? ((?:\d+(?:\.\d+)*(?:, | and | to )?)+)", path.read_text("utf-8")
        ):
            cited |= set(re.findall(r"\d+(?:\.\d+)*", text))
    assert {"2", "3", "4", "5", "5.2", "6.2", "7", "8.2", "9", "10"} <= cited
    assert cited <= headings


def sections() -> set[str]:
    """Numbers of all sections, 7.4.1 and the like included."""
    return set(re.findall(r"^#{2,4} (\d+(?:\.\d+)*)", SPEC, flags=re.M))


def test_every_section_the_specification_and_the_vectors_cite_is_there() -> None:
    numbers = r"((?:\d+(?:\.\d+)*(?:, | and | to )?)+)"
    cited = {n for text in re.findall(rf"[Ss]ections? {numbers}", SPEC) for n in re.findall(r"\d+(?:\.\d+)*", text)}
    assert len(cited) > 40
    assert cited <= sections()
    named = {read_vector(name)[1].get("section", "1").split(",")[0] for name in ALL}
    assert named <= sections()


LIMITS = {
    "payload of a chunk": "MAX_CHUNK",
    "width, height": "MAX_SIDE",
    "width × height; tile × tile": "MAX_PIXELS",
    "the larger of these × `clip_frames`": "MAX_CLIP_PIXELS",
    "frames of a clip": "MAX_CLIP_FRAMES",
    "channels": "MAX_CHANNELS",
    "integers of a frame, of a clip": "MAX_CLIP_VALUES",
    "`raw`, or 2 × integers in codings 1 to 3, or 2 × blocks of motion, over latent or fill bytes": "MAX_EXPANSION",
    "cells of integers in context mixing, over bytes of the stream": "MAX_CELLS_PER_BYTE",
    "zstd window, or `raw` if that is larger": "MAX_WINDOW",
    "text": "MAX_TEXT",
    "objects and lists inside one another in a configuration, the outermost counted": "MAX_JSON_DEPTH",
    "pairs of tool, of tags": "MAX_PAIRS",
    "streams": "MAX_STREAMS",
    "QP": "MAX_QP",
    "checksummed bytes while resynchronizing": "RESYNC_BUDGET",
}


def test_the_limits_of_the_specification_are_those_of_the_code() -> None:
    table = SPEC.split("## 9. Limits")[1].split("## 10.")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ([\d ]+?)(?: bytes)? \|", table, flags=re.M)
    stated = {LIMITS[text]: int(value.replace(" ", "")) for text, value in rows}
    assert stated == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_the_quantizer_constants_of_the_specification() -> None:
    rows = re.findall(r"^\| (\d) \| `(0x\S+)` \| (\S+) \|", SPEC, flags=re.M)
    assert [int(k) for k, _, _ in rows] == list(range(8))
    for k, exact, decimal in rows:
        assert float.fromhex(exact) == float(decimal)
        step = dequantize(np.array([[1 << 14]], np.int16), np.array([1.0], np.float32), int(k))
        assert step[0, 0] == np.float32(float.fromhex(exact) * (1 << 14))


def fill_by_the_specification(z: np.ndarray, kept: list[int], frames: int, number: int) -> np.ndarray:
    """Section 6.5, frame by frame, in binary64."""
    out = np.zeros((frames, *z.shape[1:]))
    for t in range(frames):
        before = [i for i, k in enumerate(kept) if k <= t]
        after = [i for i, k in enumerate(kept) if k >= t]
        if t in kept:
            out[t] = z[kept.index(t)]
        elif number == Fill.HOLD or not before or not after:
            out[t] = z[before[-1]] if before else z[0]
        else:
            i, j = before[-1], after[0]
            out[t] = z[i] + (z[j].astype(float) - z[i]) * ((t - kept[i]) / (kept[j] - kept[i]))
    return out


def test_filters_are_those_of_the_specification() -> None:
    rows = re.findall(r"^\| (\d) \| (\d) \| (\d) \| ([−\d, ]+) \|$", SPEC, flags=re.M)
    found = {
        (int(name), int(fraction)): [int(tap) for tap in taps.replace("−", "-").split(",")]
        for name, _, fraction, taps in rows
    }
    assert found == {
        (filter_, fraction): (64 * taps[fraction]).tolist()
        for filter_, taps in TAPS.items()
        for fraction in range(1, len(taps))
    }
    assert {int(name): int(units) for name, units, *_ in rows} == {f: MotionFilter(f).subpel for f in TAPS}


@settings(max_examples=60)
@given(st.integers(1, 64), st.data(), st.sampled_from([Fill.HOLD, Fill.LERP]))
def test_fill_policies_are_those_of_the_specification(frames: int, data: st.DataObject, number: Fill) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, frames - 1), min_size=1)))
    z = np.random.default_rng(len(kept)).normal(size=(len(kept), 2, 3)).astype(np.float32)
    slots, known = fill.policy(number).fill(z, np.isin(np.arange(frames), kept), b"")
    assert known.all()
    np.testing.assert_allclose(slots, fill_by_the_specification(z, kept, frames, number), rtol=0, atol=1e-5)
