"""Notes on features of a source that a .dfc file cannot store."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import pytest
from support import Pipe, encode_source, moving_square, write_av

from dfccodec.container.reader import StreamReader
from dfccodec.container.records import StreamInfo
from dfccodec.media.input.source import VideoSource

TS = 188


def read_notes(path: Path) -> list[str]:
    with VideoSource(path) as video:
        list(video)
        return video.notes


def test_chapter_track_of_mp4_is_not_noted(tmp_path: Path) -> None:
    path = write_av(tmp_path / "in.mp4", moving_square(30), ["aac"], chapters=2)
    with av.open(str(path)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "data"]
    assert read_notes(path) == []


def write_captions(path: Path) -> Path:
    """Write H.264 with two caption characters per picture (ATSC A/53, in an SEI message)."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="h264") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"bf": "0", "slices": "1", "threads": "1"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for frame in moving_square(5):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
    sei = bytes.fromhex("000001 06 04 11 b50031 47413934 03 42 ff fc9420 fcc8e9 ff 80")
    data = stream.getvalue()
    for slice_type in (b"\0\0\1\x65", b"\0\0\1\x41"):
        data = data.replace(slice_type, sei + slice_type)
    path.write_bytes(data)
    return path


def test_closed_captions_are_noted(tmp_path: Path) -> None:
    assert "closed captions embedded in the video are not carried" in read_notes(write_captions(tmp_path / "in.h264"))


def test_stereoscopic_video_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata["stereo_mode"] = "left_right"
        for frame in moving_square(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode(None))
    assert read_notes(path) == ["the picture is stereoscopic (left_right): both views are kept, but not the 3D flag"]


def mpeg2_crc(data: bytes) -> bytes:
    """Return the CRC-32 of MPEG-2."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def write_two_programs(folder: Path, audio_tracks: int = 1) -> Path:
    """Write a transport stream with two programs, each with video and audio; one table lists both."""
    parts = []
    for number in (1, 2):
        path = folder / f"{number}.ts"
        options = {"mpegts_service_id": str(number), "mpegts_start_pid": str(256 * number),
                   "mpegts_pmt_start_pid": str(4096 + number)}  # fmt: skip
        with av.open(str(path), "w", options=options) as container:
            video: Any = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48 * number, "yuv420p"
            tracks: list[Any] = [container.add_stream("mp2", rate=48000, layout="mono") for _ in range(audio_tracks)]
            for frame in moving_square(25):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(64, 48 * number)
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
            for track in tracks:
                for n in range(40):
                    audio = av.AudioFrame("s16", "mono", 1152)
                    audio.sample_rate, audio.pts = 48000, n * 1152
                    container.mux(track.encode(audio))
                container.mux(track.encode(None))
        data = path.read_bytes()
        parts.append([data[at : at + TS] for at in range(0, len(data), TS)])
    table = bytes.fromhex("00 b0 11 0001 c1 00 00 0001 f001 0002 f002")
    pat = (bytes.fromhex("47 4000 10 00") + table + mpeg2_crc(table)).ljust(TS, b"\xff")
    kept = [[p for p in part if (p[1] & 31) << 8 | p[2] not in (0, 17)] for part in parts]
    mixed = [p for n in range(max(map(len, kept))) for part in kept for p in part[n : n + 1]]
    path = folder / "two.ts"
    path.write_bytes(pat + b"".join(mixed))
    return path


def carried_streams(data: bytes) -> list[int]:
    return [item.id for item in StreamReader(io.BytesIO(data)) if isinstance(item, StreamInfo)]


@pytest.mark.parametrize("audio_tracks", [1, 2])
def test_audio_of_other_program_is_not_carried(audio_tracks: int, tmp_path: Path) -> None:
    path = write_two_programs(tmp_path, audio_tracks)
    with av.open(str(path)) as container:
        kinds = [s.type for s in container.streams]
    videos = [n for n, kind in enumerate(kinds) if kind == "video"]
    for number, video in enumerate(videos):
        own = {n for n in range(len(kinds)) if kinds[n] == "audio" and (n > videos[1]) == (video == videos[1])}
        with VideoSource(path, video=number) as source:
            said = source.notes
        assert len(carried_streams(encode_source(path, video=number))) == audio_tracks
        assert set(carried_streams(encode_source(path, video=number))) == own
        assert (
            sum("(audio, mp2) is not carried: it belongs to another program" in note for note in said) == audio_tracks
        )
    assert len(carried_streams(encode_source(Pipe(path.read_bytes())))) == audio_tracks


def test_two_videos_of_one_program_share_audio(tmp_path: Path) -> None:
    path = tmp_path / "in.ts"
    with av.open(str(path), "w") as container:
        videos: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for number, video in enumerate(videos):
            video.width, video.height, video.pix_fmt = 64, 48 + 48 * number, "yuv420p"
        tracks: list[Any] = [container.add_stream("mp2", rate=48000, layout="mono") for _ in range(2)]
        for frame in moving_square(25):
            for number, video in enumerate(videos):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(64, 48 + 48 * number)
                container.mux(video.encode(picture))
        for video in videos:
            container.mux(video.encode(None))
        for track in tracks:
            for n in range(40):
                audio = av.AudioFrame("s16", "mono", 1152)
                audio.sample_rate, audio.pts = 48000, n * 1152
                container.mux(track.encode(audio))
            container.mux(track.encode(None))
    for number in (0, 1):
        assert len(carried_streams(encode_source(path, video=number))) == 2
