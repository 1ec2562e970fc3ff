"""Faulty sources: undecodable packets, size changes in interlaced video, interrupts."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe, flat_model, moving_square, write_av, write_video

from dfccodec.codec import api
from dfccodec.container.reader import Packets, StreamReader
from dfccodec.errors import InputError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.time_range import Span


def write_png_video(path: Path, frames: np.ndarray) -> Path:
    """Write a video of PNG pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def video_packets(path: Path) -> list[tuple[int, int]]:
    """Return position and size of each video packet."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


def damage_packets(path: Path, numbers: list[int]) -> Path:
    """Write a copy of a PNG video with the given packets zeroed."""
    data = bytearray(path.read_bytes())
    for place, size in np.array(video_packets(path))[numbers].tolist():
        data[place : place + size] = bytes(size)
    out = path.with_name(f"bad_{path.name}")
    out.write_bytes(data)
    return out


def test_undecodable_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    frames = moving_square(10)
    source = write_png_video(tmp_path / "a.mov", frames)
    with VideoSource(damage_packets(source, [3, 7])) as video:
        found = list(video)
        (note,) = video.notes
    kept = [0, 1, 2, 4, 5, 6, 8, 9]
    assert [p.pts * video.info.time_base * 25 for p in found] == kept
    assert all((p.rgb == frames[n]).all() for p, n in zip(found, kept, strict=True))
    assert note.startswith("2 packets of the picture do not decode and are skipped: Invalid data")


def test_frames_with_decode_errors_are_counted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 96, 128, 3), np.uint8)
    source = write_video(tmp_path / "a.mp4", noise)
    data = bytearray(source.read_bytes())
    place, size = video_packets(source)[4]
    data[place + size // 3 : place + size // 2] = bytes(size // 2 - size // 3)
    (tmp_path / "b.mp4").write_bytes(data)
    with VideoSource(tmp_path / "b.mp4") as video:
        assert 10 <= len(list(video)) <= 12
        assert any("damaged" in note or "not decode" in note for note in video.notes)
    with VideoSource(source) as video:
        list(video)
        assert video.notes == []


def test_size_change_is_noted(tmp_path: Path) -> None:
    """As in a WebRTC recording, or in a broadcast between programs."""
    parts = []
    for number, size in enumerate(((48, 64), (48, 128))):
        path = write_video(tmp_path / f"{number}.ts", moving_square(10, *size))
        parts.append(path.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    with VideoSource(tmp_path / "both.ts") as video:
        assert {p.rgb.shape for p in video} == {(48, 64, 3)}
        assert "the picture size changes to 128×48: scaled to the size of the first frame" in video.notes


def test_source_without_decodable_packet_raises_with_reason(tmp_path: Path) -> None:
    source = damage_packets(write_png_video(tmp_path / "a.mov", moving_square(3)), [0, 1, 2])
    with pytest.raises(InputError, match=r"no frame of .* decodes: Invalid data"):
        VideoSource(source)


@pytest.mark.parametrize("second", [(96, 128), (32, 48)], ids=["grows", "shrinks"])
def test_interlaced_video_may_change_size(second: tuple[int, int], tmp_path: Path) -> None:
    """As in broadcasts. The .dfc file has the size of the first frame."""
    parts = []
    for number, size in enumerate(((64, 96), second)):
        path = tmp_path / f"{number}.ts"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("libx264", rate=25, options={"x264-params": "tff=1", "crf": "4"})
            stream.height, stream.width = size
            for frame in moving_square(10, *size):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        parts.append(path.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    with VideoSource(tmp_path / "both.ts") as video:
        found = [p.rgb for p in video]
        assert "interlaced" in video.notes[0]
    assert len(found) == 20
    assert {p.shape for p in found} == {(64, 96, 3)}
    ground = moving_square(1, 64, 96)[0].astype(int)[40:]  # below the moving square
    assert all(np.abs(p[40:].astype(int) - ground).mean() < 6 for p in found)


@pytest.mark.parametrize("when", [0, 20_000])
def test_keyboard_interrupt_during_pipe_read_propagates(when: int, tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.mkv", np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8))

    class Interrupted(Pipe):
        def read(self, count: int | None = -1, /) -> bytes:
            if self.tell() >= when:
                raise KeyboardInterrupt
            return super().read(min(count or 0, when - self.tell()))

    with pytest.raises(KeyboardInterrupt), VideoSource(Interrupted(data.read_bytes())) as video:
        list(video)


def test_audio_after_last_frame_of_range_is_kept(tmp_path: Path) -> None:
    """A transport stream stores audio after the video of the same time."""
    source, found = write_av(tmp_path / "a.ts", moving_square(100), ["mp2"]), []
    for one in (source, Pipe(source.read_bytes())):
        out = io.BytesIO()
        api.encode(one, out, model=flat_model(), budget="1", fill="hold", span=Span.parse("0.4", "#50"))
        out.seek(0)
        items = [item for item in StreamReader(out) if isinstance(item, Packets)]
        found.append([p.data for p in itertools.chain.from_iterable(item.packets for item in items)])
    assert len(found[0]) > 60
    assert found[0] == found[1]


def test_picture_whose_start_is_overwritten(tmp_path: Path) -> None:
    """The decoder of MPEG-2 skips it without an error."""
    frames = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8)
    path = tmp_path / "a.mxf"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mpeg2video", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    with VideoSource(path) as video:
        assert (len(list(video)), video.notes) == (12, [])
    place = [n for n in range(len(data)) if data.startswith(b"\0\0\1\0", n)][-6]
    (tmp_path / "bad").write_bytes(data[:place] + b"\x55" * 4 + data[place + 4 :])
    with VideoSource(tmp_path / "bad") as video:
        assert len(list(video)) == 11
        assert video.notes == ["1 packet of the picture does not decode and is skipped: no start of a picture"]
