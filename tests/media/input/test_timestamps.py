"""Sources with decreasing timestamps: single errors, concatenated files, constant timestamps."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Pipe, encode_source, moving_square, write_av, write_video

from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.errors import InputError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.input.timestamps import IncreasingTimestamps, Splice, SplicedTimestamps

BASE = Fraction(1, 1000)


def assign_timestamps(stamps: list[int | None], notes: list[str] | None = None) -> list[int]:
    frames = [cast(Any, SimpleNamespace(pts=t, time_base=None)) for t in stamps]
    times = IncreasingTimestamps(BASE, 40, "a.ts", (notes if notes is not None else []).append)
    return [pts for _, pts in times.assign(frames)]


def test_concatenated_parts_are_joined_with_note() -> None:
    notes: list[str] = []
    part = list(range(1400, 2400, 40))
    assert assign_timestamps(part * 2, notes) == list(range(1400, 3400, 40))
    assert notes == [
        "timestamps go back by 0.96 s at 2.36 s, as in concatenated files: "
        "each part is shifted to follow the previous one"
    ]


def test_several_parts_and_short_last_part() -> None:
    part = list(range(0, 1000, 40))
    assert assign_timestamps(part * 3 + part[:2]) == list(range(0, 3080, 40))


def test_single_early_timestamp_is_corrected() -> None:
    assert assign_timestamps([0, 40, 80, 10, 160, 200]) == [0, 40, 80, 81, 160, 200]
    assert assign_timestamps([0, 40, 80, 10]) == [0, 40, 80, 81]


def test_missing_timestamps_are_extrapolated() -> None:
    assert assign_timestamps([None, None, 100, None]) == [0, 40, 100, 160]


@pytest.mark.parametrize(
    ("stamps", "says"),
    [([0, 40, *[40] * 8], "do not increase"), ([0, 40, 10**6, *range(80, 480, 40)], "go back by 999.92 s")],
)
def test_inconsistent_timestamps_are_rejected(stamps: list[int | None], says: str) -> None:
    with pytest.raises(InputError, match=f"timestamps in a.ts {says}.*setpts"):
        assign_timestamps(stamps)


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), max_size=40))
def test_timestamps_always_increase(stamps: list[int | None]) -> None:
    try:
        found = assign_timestamps(stamps)
    except InputError:
        return
    assert len(found) == len(stamps)
    assert all(a < b for a, b in itertools.pairwise(found))


def test_audio_changes_part_at_its_own_restart() -> None:
    splices: list[Splice] = []
    times = SplicedTimestamps(splices)
    assert times.shift(1, Fraction(0)) == 0
    assert times.shift(1, Fraction(19, 10)) == 0
    assert times.shift(1, Fraction(0)) is None  # the video has not reached this part yet
    splices.append(Splice(Fraction(2), Fraction(2), Fraction(2)))
    assert times.shift(1, Fraction(0)) == 2
    assert times.shift(1, Fraction(1)) == 2
    assert times.shift(2, Fraction(1)) == 0  # another stream is still in the first part


def audio_packets(coded: bytes) -> list[tuple[Fraction, bytes]]:
    """Return timestamp and data of each audio packet."""
    out, base = [], Fraction(0)
    for item in StreamReader(io.BytesIO(coded)):
        if hasattr(item, "codec"):
            base = Fraction(item.time_base.num, item.time_base.den)
        if isinstance(item, Packets):
            out += [(p.pts * base, p.data) for p in item.packets]
    return out


def frame_timestamps(coded: bytes) -> list[int]:
    clips = (item.clip for item in StreamReader(io.BytesIO(coded)) if isinstance(item, ClipAt))
    return [t for clip in clips for t in clip.timestamps]


@pytest.mark.parametrize("frames", [25, 50], ids=["shorter-than-a-clip", "longer"])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_audio_stays_in_sync_across_parts(frames: int, way: str, tmp_path: Path) -> None:
    part = write_av(tmp_path / "a.ts", moving_square(frames), ["mp2"])
    (tmp_path / "both.ts").write_bytes(3 * part.read_bytes())
    source = tmp_path / "both.ts"
    alone, joined = encode_source(part), encode_source(Pipe(source.read_bytes()) if way == "pipe" else source)
    shown, length = frame_timestamps(joined), Fraction(frames, 25)
    assert len(shown) == 3 * frames
    assert {b - a for a, b in itertools.pairwise(shown)} == {3600}
    wanted = [(t + n * length, data) for n in range(3) for t, data in audio_packets(alone)]
    found = audio_packets(joined)
    assert [data for _, data in found] == [data for _, data in wanted]
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, wanted, strict=True)) < Fraction(1, 1000)


def test_join_note_is_in_report(tmp_path: Path) -> None:
    part = write_video(tmp_path / "a.ts", moving_square(60))
    (tmp_path / "joined.ts").write_bytes(2 * part.read_bytes())
    with VideoSource(tmp_path / "joined.ts") as source:
        assert len(list(source)) == 120
        assert any("go back by 2.36 s" in note for note in source.notes)


def test_range_counts_across_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dfccodec.media.time_range import Span

    part = write_video(tmp_path / "a.ts", moving_square(25))
    (tmp_path / "joined.ts").write_bytes(2 * part.read_bytes())
    with VideoSource(tmp_path / "joined.ts", span=Span.parse("0.8", "1.2")) as source:
        assert [p.pts for p in source] == list(range(0, 36000, 3600))
