"""Where the clock of an output begins, and how long its last picture lasts, in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import decoded_into, encoded, moving, write_av, write_video

from dfccodec.container.records import Packet, Ratio, StreamInfo
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.clock import FROM_ZERO, ConstantRate, start_of

HOURS = 40_000
"""Seconds: a recorder that has run for eleven hours."""
FRAME = 1 / 25
PLAYED = [".mp4", ".mov", ".webm", ".avi", ".gif", ".y4m"]
KEPT = [".mkv", ".ts", ".nut"]


def times(path: Path) -> list[float]:
    with VideoSource(path, audio=False) as video:
        return [float(p.pts * video.info.time_base) for p in video]


def first_sound(path: Path) -> float:
    with av.open(str(path)) as container:
        return next(float(f.pts * f.time_base) for f in container.decode(audio=0))


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("late")
    return encoded(write_av(folder / "late.mkv", moving(12), ["aac"], begin=HOURS))


def test_the_file_keeps_the_clock(late: bytes, tmp_path: Path) -> None:
    decoded_into(tmp_path / "a.nut", late)
    assert times(tmp_path / "a.nut")[0] == pytest.approx(HOURS, abs=0.01)


@pytest.mark.parametrize("suffix", PLAYED)
def test_what_players_play_begins_at_zero(suffix: str, late: bytes, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    silent = suffix in (".webm", ".gif", ".y4m")
    notes = decoded_into(target, encoded_silently(tmp_path) if silent else late)
    found = times(target)
    assert len(found) == 12
    assert found[0] == pytest.approx(0, abs=FRAME)
    assert found[-1] - found[0] == pytest.approx(11 * FRAME, abs=0.02)
    with av.open(str(target)) as container:
        assert container.duration is None or container.duration / 1e6 == pytest.approx(12 * FRAME, abs=0.1)
    assert notes == []
    if not silent:  # sound begins a moment before the pictures, as it did
        assert found[0] - first_sound(target) == pytest.approx(times_apart(late, tmp_path), abs=0.03)


def encoded_silently(folder: Path) -> bytes:
    return encoded(write_av(folder / "silent.mkv", moving(12), begin=HOURS))


def times_apart(coded: bytes, folder: Path) -> float:
    decoded_into(folder / "kept.mkv", coded)
    return times(folder / "kept.mkv")[0] - first_sound(folder / "kept.mkv")


@pytest.mark.parametrize("suffix", KEPT)
def test_others_keep_the_clock(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    decoded_into(target, encoded_silently(tmp_path))
    assert times(target)[0] == pytest.approx(HOURS, abs=2 if suffix == ".ts" else 0.01)  # its muxer adds a delay


def test_a_constant_rate_begins_at_zero_without_a_note(tmp_path: Path) -> None:
    assert decoded_into(tmp_path / "a.y4m", encoded_silently(tmp_path), cfr=Fraction(25)) == []
    assert len(times(tmp_path / "a.y4m")) == 12


def test_chapters_follow_the_clock(tmp_path: Path) -> None:
    coded = encoded(write_av(tmp_path / "in.mkv", moving(25), chapters=2))
    decoded_into(tmp_path / "a.mp4", coded)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [round(float(c["start"] * c["time_base"]), 3) for c in container.chapters()] == [0, 0.5]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_last_picture_lasts_as_long_as_it_did(suffix: str, codec: str, tmp_path: Path) -> None:
    source = write_av(tmp_path / "slides.mp4", moving(8), last=3)
    coded = encoded(source)
    decoded_into(tmp_path / f"a{suffix}", coded, codec=codec)
    with VideoSource(tmp_path / f"a{suffix}") as video:
        last = list(video)[-1]
        assert float((last.pts + last.duration) * video.info.time_base) == pytest.approx(7 * FRAME + 3, abs=0.02)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(7 * FRAME + 3, abs=0.02)


@pytest.mark.parametrize("suffix", [".gif", ".webm", ".avi"])
def test_a_held_picture_in_other_containers(suffix: str, tmp_path: Path) -> None:
    coded = encoded(write_av(tmp_path / "slides.mp4", moving(8), last=3))
    decoded_into(tmp_path / f"a{suffix}", coded)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(7 * FRAME + 3, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_the_rate_of_a_plain_video_is_its_rate(suffix: str, tmp_path: Path) -> None:
    coded = encoded(write_video(tmp_path / "in.mp4", moving(40)))
    decoded_into(tmp_path / f"a{suffix}", coded)
    with VideoSource(tmp_path / f"a{suffix}") as video:
        assert (video.info.rate, len(list(video))) == (25, 40)


def stream(kind: int = 0) -> StreamInfo:
    return StreamInfo(1, kind, Ratio(1, 1000), "aac", 44100, 2)


@given(st.integers(-(10**7), 10**7), st.lists(st.integers(-(10**7), 10**7), max_size=4), st.sampled_from([0, 1]))
def test_nothing_that_is_shown_begins_before_zero(first: int, sounds: list[int], kind: int) -> None:
    packets = [(stream(kind), Packet(t, t, 20, b"x", True)) for t in sounds]
    begin = start_of("mp4", Fraction(first, 1000), packets)
    assert begin <= Fraction(first, 1000)
    assert begin == Fraction(first, 1000) or (kind == 0 and begin >= 0)
    assert start_of("matroska", Fraction(first, 1000), packets) == 0


def test_sound_that_starts_up_before_zero_moves_nothing() -> None:
    early = (stream(), Packet(-21, -21, 20, b"x", True))
    assert start_of("mp4", Fraction(0), [early]) == 0
    assert start_of("mp4", Fraction(1, 2), [early]) == 0  # the pictures begin later than the sound, and still do


def test_every_container_that_begins_at_zero_is_one_ffmpeg_has() -> None:
    assert av.formats_available >= FROM_ZERO


def test_ticks_leave_gaps_only_where_the_container_can() -> None:
    avi, y4m = ConstantRate(Fraction(25), gaps=True), ConstantRate(Fraction(25), gaps=False)
    seconds = [Fraction(0), Fraction(1, 25), Fraction(1)]
    assert [avi.place(s) for s in seconds] == [0, 1, 25]
    assert [y4m.place(s) for s in seconds] == [0, 1, 2]
    assert (avi.uneven, y4m.uneven) == (False, True)
    assert avi.missing(Fraction(2)) == 24
