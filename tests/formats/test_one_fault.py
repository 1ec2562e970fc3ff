"""Faulty vectors break one rule: a reader that does not know the rule finds nothing else to refuse."""

from __future__ import annotations

import pytest
import read_dfc
import read_inter
import read_motion
import read_range
from vectors import VECTORS

# Vectors that can be read on. Most others end too early, or hold bytes without meaning to such a reader.
READ_ON = {
    "chunk": ["type-not-letters"],
    "crc": ["CLIP", "foot", "HEAD", "indx", "MODL", "STEP", "tags", "xtra"],
    "head": [
        "aspect-0",
        "aspect-over-0",
        "channels-0-no-clip",
        "channels-1025",
        "clip-frames-0-no-clip",
        "clip-frames-65",
        "flags",
        "height-0-no-clip",
        "needs-0",
        "needs-2",
        "needs-over-version",
        "overlap-8",
        "overlap-32-of-48",
        "patch-128",
        "pixels",
        "rate-over-0",
        "reserved",
        "rotation-4",
        "tile-11648",
        "tile-65472",
        "time-base-0",
        "time-base-over-0",
        "width-0-no-clip",
    ],
    "model": ["config-101-deep", "config-infinity", "config-list", "config-nan", "no-name"],
    "steps": ["0", "inf", "largest-subnormal", "nan", "negative", "subnormal"],
    "stream": ["kind-3", "no-codec", "reserved", "twice", "65", "time-base-0", "time-base-over-0"],
    "packets": ["key-2", "reserved", "undeclared"],
    "tags": ["1025"],
    "clip": [
        "bits-beyond",
        "fill-payload-lerp",
        "frames-2-of-1",
        "frames-over",
        "pts-overflow",
        "qp-64",
        "reserved",
        "time-goes-back",
        "timing-2",
    ],
    "index": ["clips", "frames", "kept", "latent-hash", "offset-0", "reserved-0"],
    "foot": ["offset"],
    "unknown": ["critical-CRIT", "critical-Head", "critical-late"],
    "latents": ["filter-4", "other-integers", "window-144-mib", "window-1-gib"],
    "range": [
        "end-state",
        "first-word-missing",
        "last-word-0",
        "level-34",
        "level-65540",
        "of-nothing",
        "planes-2",
        "runs-dry",
        "start-2-23",
        "word-too-many",
        "zero-word-too-many",
    ],
    "order": ["tags-after-only-CLIP"],
    "inter": ["choice-6", "nothing-kept-channels", "nothing-kept-patch"],
    "motion": ["choice-6", "last-word-0", "no-future", "no-past", "nothing-dropped", "nothing-kept", "one-side"],
}


@pytest.mark.parametrize("name", [f"{kind}-{rule}" for kind, rules in READ_ON.items() for rule in rules])
def test_there_is_no_other_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[str] = []

    def need(fine: bool, message: str, kind: str = "damaged") -> None:
        if not fine:
            ignored.append(message)
            if len(ignored) > 1:
                raise read_dfc.Refused(message, kind)

    def check_end(rans: read_range.RansDecoder) -> None:
        if rans.words or rans.x != 1 << 24:
            ignored.append("the end")

    def level_mean(decoder: read_range.LatentDecoder, level: int) -> int:
        if level > 33:
            ignored.append("a level")
        return (2 + (level & 1)) << (level & 65535) // 2

    def check_symbol(r: int, count: int) -> int:
        if not 0 <= r < count:
            ignored.append("a symbol")
        return r

    monkeypatch.setattr(read_dfc, "need", need)
    monkeypatch.setattr(read_inter, "check_symbol", check_symbol)
    monkeypatch.setattr(read_motion, "check_symbol", check_symbol)
    monkeypatch.setattr(read_range.RansDecoder, "check_end", check_end)
    monkeypatch.setattr(read_range.LatentDecoder, "level_mean", level_mean)
    read_dfc.read((VECTORS / "faulty" / f"{name}.dfc").read_bytes())
    assert len(ignored) == 1, ignored
