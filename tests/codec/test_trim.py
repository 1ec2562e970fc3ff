from __future__ import annotations

import io

import numpy as np
import pytest
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.integers import decode_clip_integers
from dfccodec.codec.loaded import Loaded
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Coding
from dfccodec.errors import DamagedError, UsageError


def clips(data: bytes) -> list[tuple[list[int], np.ndarray]]:
    reader = StreamReader(io.BytesIO(data))
    header = reader.preamble.header
    return [
        (i.clip.kept.nonzero()[0].tolist(), decode_clip_integers(i.clip, header))
        for i in reader
        if isinstance(i, ClipAt)
    ]


def encoded(frames: np.ndarray, loaded: Loaded, budget: str) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, budget=budget, model=loaded)
    return out.getvalue()


def trimmed(data: bytes, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.trim(io.BytesIO(data), out, **options)  # type: ignore[arg-type]
    assert not dfc.verify(io.BytesIO(out.getvalue())).faults
    return out.getvalue()


def test_trimming_a_whole_file_to_a_quarter_equals_encoding_to_it(mini: Loaded) -> None:
    frames = moving(70)
    small = trimmed(encoded(frames, mini, "all"), budget=Budget.parse("8"))
    for (a, x), (b, y) in zip(clips(small), clips(encoded(frames, mini, "8")), strict=True):
        assert a == b
        assert np.abs(x - y).max() <= 1  # each was snapped to the kept frame before it, which differs
        assert np.mean(x == y) > 0.9


@pytest.mark.parametrize("budget", ["4", "1", "10%"])
def test_trimming_keeps_the_latents_of_what_stays(budget: str, mini: Loaded) -> None:
    frames = moving(70)
    whole = clips(encoded(frames, mini, "16"))
    small = clips(trimmed(encoded(frames, mini, "16"), budget=Budget.parse(budget)))
    direct = clips(encoded(frames, mini, budget))
    for (a, x), (b, y), (c, _) in zip(whole, small, direct, strict=True):
        assert set(b) < set(a)
        assert len(b) == len(c)
        assert (y == x[[a.index(frame) for frame in b]]).all()


@pytest.mark.parametrize("coding", ["range", "zstd"])
def test_the_coding_of_the_file_is_kept(coding: str, flat: Loaded) -> None:
    out = io.BytesIO()
    dfc.encode(moving(40), out, budget="8", model=flat, coding=coding)
    small = StreamReader(io.BytesIO(trimmed(out.getvalue(), budget=Budget.parse("2"))))
    assert {Coding(i.clip.coding).name for i in small if isinstance(i, ClipAt)} == {coding.upper()}


def test_a_larger_budget_changes_nothing_but_the_tool(flat: Loaded) -> None:
    data = encoded(moving(40), flat, "4")
    same = trimmed(data, budget=Budget.parse("all"))
    assert [a for a, _ in clips(same)] == [a for a, _ in clips(data)]


@pytest.mark.parametrize(("start", "end"), [(0, 5), (10, 40), (31, 33), (64, None), (69, 70), (5, 6)])
def test_a_range_decodes_to_its_frames(start: int, end: int | None, flat: Loaded) -> None:
    data = encoded(moving(70), flat, "3")
    part = trimmed(data, start=start, end=end)
    decoder = Decoder(io.BytesIO(part), lambda _: flat)
    stamps = [p.pts for p in decoder]
    assert stamps == list(range(start, end or 70))  # timestamps stay
    assert all(kept for kept, _ in clips(part))


def test_an_empty_range_is_refused(flat: Loaded) -> None:
    with pytest.raises(UsageError, match="range"):
        dfc.trim(io.BytesIO(encoded(moving(5), flat, "2")), io.BytesIO(), start=5)


def test_a_damaged_file_is_refused(flat: Loaded) -> None:
    data = bytearray(encoded(moving(5), flat, "2"))
    data[-60] ^= 1
    with pytest.raises(DamagedError):
        dfc.trim(io.BytesIO(bytes(data)), io.BytesIO(), budget=Budget.parse("1"))


def test_tiled_files_are_trimmed_too() -> None:
    loaded = flat_model(tile=64)
    small = trimmed(encoded(moving(20, 100, 150), loaded, "8"), budget=Budget.parse("2"))
    assert len(clips(small)[0][0]) == 1  # 2 of 32, for 20 frames
