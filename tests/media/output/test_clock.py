"""Start time of an output and duration of its last frame, in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import decode_to, encode_source, moving_square, write_av, write_video

from dfccodec.container.records import Packet, Ratio, StreamInfo
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.clock import STARTS_AT_ZERO, ConstantRate, output_start

HOURS = 40_000
"""Start time in seconds, as of a recorder that has run for eleven hours."""
FRAME = 1 / 25
PLAYED = [".mp4", ".mov", ".webm", ".avi", ".gif", ".y4m"]
KEPT = [".mkv", ".ts", ".nut"]


def frame_times(path: Path) -> list[float]:
    with VideoSource(path, audio=False) as video:
        return [float(p.pts * video.info.time_base) for p in video]


def first_audio_time(path: Path) -> float:
    with av.open(str(path)) as container:
        return next(float(f.pts * f.time_base) for f in container.decode(audio=0))


@pytest.fixture(scope="module")
def late_start(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("late_start")
    return encode_source(write_av(folder / "late_start.mkv", moving_square(12), ["aac"], begin=HOURS))


def test_dfc_file_keeps_timestamps(late_start: bytes, tmp_path: Path) -> None:
    decode_to(tmp_path / "a.nut", late_start)
    assert frame_times(tmp_path / "a.nut")[0] == pytest.approx(HOURS, abs=0.01)


@pytest.mark.parametrize("suffix", PLAYED)
def test_some_containers_start_at_zero(suffix: str, late_start: bytes, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    silent = suffix in (".webm", ".gif", ".y4m")
    notes = decode_to(target, encode_without_audio(tmp_path) if silent else late_start)
    found = frame_times(target)
    assert len(found) == 12
    assert found[0] == pytest.approx(0, abs=FRAME)
    assert found[-1] - found[0] == pytest.approx(11 * FRAME, abs=0.02)
    with av.open(str(target)) as container:
        assert container.duration is None or container.duration / 1e6 == pytest.approx(12 * FRAME, abs=0.1)
    assert notes == []
    if not silent:  # the offset of audio and video is kept
        assert found[0] - first_audio_time(target) == pytest.approx(audio_offset(late_start, tmp_path), abs=0.03)


def encode_without_audio(folder: Path) -> bytes:
    return encode_source(write_av(folder / "silent.mkv", moving_square(12), begin=HOURS))


def audio_offset(coded: bytes, folder: Path) -> float:
    decode_to(folder / "kept.mkv", coded)
    return frame_times(folder / "kept.mkv")[0] - first_audio_time(folder / "kept.mkv")


@pytest.mark.parametrize("suffix", KEPT)
def test_other_containers_keep_timestamps(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    decode_to(target, encode_without_audio(tmp_path))
    assert frame_times(target)[0] == pytest.approx(HOURS, abs=2 if suffix == ".ts" else 0.01)  # the muxer adds a delay


def test_constant_rate_starts_at_zero_without_note(tmp_path: Path) -> None:
    assert decode_to(tmp_path / "a.y4m", encode_without_audio(tmp_path), cfr=Fraction(25)) == []
    assert len(frame_times(tmp_path / "a.y4m")) == 12


def test_chapters_follow_start_time(tmp_path: Path) -> None:
    coded = encode_source(write_av(tmp_path / "in.mkv", moving_square(25), chapters=2))
    decode_to(tmp_path / "a.mp4", coded)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [round(float(c["start"] * c["time_base"]), 3) for c in container.chapters()] == [0, 0.5]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_last_frame_keeps_duration(suffix: str, codec: str, tmp_path: Path) -> None:
    source = write_av(tmp_path / "slides.mp4", moving_square(8), last=3)
    coded = encode_source(source)
    decode_to(tmp_path / f"a{suffix}", coded, codec=codec)
    with VideoSource(tmp_path / f"a{suffix}") as video:
        last = list(video)[-1]
        assert float((last.pts + last.duration) * video.info.time_base) == pytest.approx(7 * FRAME + 3, abs=0.02)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(7 * FRAME + 3, abs=0.02)


@pytest.mark.parametrize("suffix", [".gif", ".webm", ".avi"])
def test_long_last_frame_in_other_containers(suffix: str, tmp_path: Path) -> None:
    coded = encode_source(write_av(tmp_path / "slides.mp4", moving_square(8), last=3))
    decode_to(tmp_path / f"a{suffix}", coded)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(7 * FRAME + 3, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_frame_rate_is_kept(suffix: str, tmp_path: Path) -> None:
    coded = encode_source(write_video(tmp_path / "in.mp4", moving_square(40)))
    decode_to(tmp_path / f"a{suffix}", coded)
    with VideoSource(tmp_path / f"a{suffix}") as video:
        assert (video.info.rate, len(list(video))) == (25, 40)


def make_stream_info(kind: int = 0) -> StreamInfo:
    return StreamInfo(1, kind, Ratio(1, 1000), "aac", 44100, 2)


@given(st.integers(-(10**7), 10**7), st.lists(st.integers(-(10**7), 10**7), max_size=4), st.sampled_from([0, 1]))
def test_no_visible_frame_starts_before_zero(first: int, sounds: list[int], kind: int) -> None:
    packets = [(make_stream_info(kind), Packet(t, t, 20, b"x", True)) for t in sounds]
    begin = output_start("mp4", Fraction(first, 1000), packets)
    assert begin <= Fraction(first, 1000)
    assert begin == Fraction(first, 1000) or (kind == 0 and begin >= 0)
    assert output_start("matroska", Fraction(first, 1000), packets) == 0


def test_audio_priming_does_not_shift_output() -> None:
    early = (make_stream_info(), Packet(-21, -21, 20, b"x", True))
    assert output_start("mp4", Fraction(0), [early]) == 0
    assert output_start("mp4", Fraction(1, 2), [early]) == 0  # video starts later than audio, which is kept


def test_zero_start_containers_exist_in_ffmpeg() -> None:
    assert av.formats_available >= STARTS_AT_ZERO


def test_constant_rate_skips_frames_only_in_avi() -> None:
    avi, y4m = ConstantRate(Fraction(25), gaps=True), ConstantRate(Fraction(25), gaps=False)
    seconds = [Fraction(0), Fraction(1, 25), Fraction(1)]
    assert [avi.assign(s) for s in seconds] == [0, 1, 25]
    assert [y4m.assign(s) for s in seconds] == [0, 1, 2]
    assert (avi.uneven, y4m.uneven) == (False, True)
    assert avi.frames_until(Fraction(2)) == 24
