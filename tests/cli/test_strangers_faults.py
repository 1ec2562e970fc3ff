"""Twelve faults that strangers' files and habits showed, one test each, through the command line alone.

Every test fails on a6bae9f, the commit before their fixes. It uses nothing but the command line and `tests/command.py`,
so `benchmarks/robustness/faults_before.py` can copy it into that checkout. The modules' own tests go into each kind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from command import DFC, ENV, run

QUICK = ["--fill", "token", "--refine", "0", "--budget", "2", "--size", "64", "-y"]


def pictures(count: int) -> list[np.ndarray]:
    """Return frames of 64×64 pixels, a gradient that moves."""
    ramp = np.add.outer(np.arange(64), np.arange(64))
    return [np.repeat(((ramp * 2 + 9 * t) % 256).astype(np.uint8)[..., None], 3, 2) for t in range(count)]


def write(
    path: Path, count: int = 10, start: int = 0, last: int | None = None, codec: str = "mpeg4",
    tags: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write a video of 25 frames/s whose clock starts at `start` seconds; its last frame lasts `last` seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.metadata.update(tags or {})
        packets = []
        for t, picture in enumerate(pictures(count)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.time_base, frame.pts = Fraction(1, 25), 25 * start + t
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in packets:
            packet.duration = 1
        if last is not None:
            packets[-1].duration = 25 * last
        for packet in packets:
            container.mux(packet)
    return path


def encode(source: object, target: Path, *options: object) -> str:
    """Run `dfc encode`; return what it says."""
    result = run("encode", source, "-o", target, *QUICK, *options)
    assert result.returncode == 0, result.stderr.decode()
    return " ".join(result.stderr.decode().split())


def decode(source: Path, target: Path, *options: object) -> str:
    """Run `dfc decode`; return what it says."""
    result = run("decode", source, "-o", target, "-y", *options)
    assert result.returncode == 0, result.stderr.decode()
    return " ".join(result.stderr.decode().split())


def seconds(path: Path) -> float:
    """Return the end of the last frame of a file, from 0."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.pts is not None]
        return float(max(p.pts + (p.duration or 0) for p in packets) * stream.time_base)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_01_recordings_with_a_late_clock_begin_at_zero(suffix: str, tmp_path: Path) -> None:
    encode(write(tmp_path / "tv.ts", start=40_000, codec="mpeg2video"), tmp_path / "tv.dfc")
    decode(tmp_path / "tv.dfc", tmp_path / f"tv.{suffix}")
    assert seconds(tmp_path / f"tv.{suffix}") == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif"])
def test_02_the_last_picture_lasts_as_long_as_it_did(suffix: str, tmp_path: Path) -> None:
    encode(write(tmp_path / "hold.mp4", last=3), tmp_path / "hold.dfc")
    decode(tmp_path / "hold.dfc", tmp_path / f"out.{suffix}")
    assert seconds(tmp_path / f"out.{suffix}") == pytest.approx(9 / 25 + 3, abs=0.06)


def test_03_a_forked_process_can_encode(tmp_path: Path) -> None:
    write(tmp_path / "in.mp4")
    code = (
        "import io, os, sys, torch, dfccodec as dfc\n"
        "torch.set_num_threads(2)\n"
        "def work(): return dfc.encode('in.mp4', io.BytesIO(), budget='2', fill='token', refine=0).frames\n"
        "work()\n"
        "pid = os.fork()\n"
        "if pid == 0: work(); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    env = {**ENV, "OMP_NUM_THREADS": "2"}
    script = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert script.communicate(timeout=60)[0].split()[-1] == b"7"
    finally:
        if script.poll() is None:
            os.killpg(script.pid, signal.SIGKILL)
            script.wait()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX feature")
def test_04_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    data = write(tmp_path / "in.ts", codec="mpeg2video").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True).start()
    command = [*DFC, "encode", str(pipe), "-o", str(tmp_path / "a.dfc"), *QUICK]
    script = subprocess.Popen(command, env=ENV, stderr=subprocess.DEVNULL)
    try:
        assert script.wait(timeout=30) == 0
    finally:
        script.kill()


def test_05_a_file_that_ends_early_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "whole.mkv", count=60)
    data = source.read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    assert "ends early" in encode(tmp_path / "half.mkv", tmp_path / "half.dfc")
    assert "ends early" not in encode(source, tmp_path / "whole.dfc")


def test_06_clips_that_are_joined_are_not_squeezed(tmp_path: Path) -> None:
    one = write(tmp_path / "one.ts", count=25, codec="mpeg2video").read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    encode(tmp_path / "two.ts", tmp_path / "two.dfc")
    decode(tmp_path / "two.dfc", tmp_path / "two.mkv")
    assert seconds(tmp_path / "two.mkv") == pytest.approx(2, abs=0.1)


def test_07_transparency_of_webm_is_noted(tmp_path: Path) -> None:
    source = write(tmp_path / "a.webm", codec="libvpx-vp9", tags={"alpha_mode": "1"})
    assert "transparency of the picture is discarded" in encode(source, tmp_path / "a.dfc")


def test_08_avi_begins_at_zero(tmp_path: Path) -> None:
    encode(write(tmp_path / "late.ts", start=30, codec="mpeg2video"), tmp_path / "late.dfc")
    decode(tmp_path / "late.dfc", tmp_path / "late.avi")
    with av.open(str(tmp_path / "late.avi")) as container:
        assert container.duration / av.time_base == pytest.approx(0.4, abs=0.05)


def test_09_even_frames_with_a_late_clock_are_even_in_y4m(tmp_path: Path) -> None:
    encode(write(tmp_path / "tv.ts", start=40_000, codec="mpeg2video"), tmp_path / "tv.dfc")
    assert "uneven" not in decode(tmp_path / "tv.dfc", tmp_path / "tv.y4m")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_10_inspect_prints_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    encode(write(tmp_path / "in.mp4"), tmp_path / "a.dfc")
    env = {**ENV, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    result = subprocess.run([*DFC, "inspect", str(tmp_path / "a.dfc")], capture_output=True, env=env)
    assert (result.returncode, b"Traceback" in result.stderr) == (0, False)


def test_11_the_name_of_a_video_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4")
    result = run("encode", source, "-o", tmp_path / "small.mp4", *QUICK)
    assert result.returncode == 2
    assert re.search(r"small\.mp4 .*small\.dfc", " ".join(result.stderr.decode().split()))
    assert not (tmp_path / "small.mp4").exists()


def test_12_a_file_without_a_byte_is_named(tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    result = run("encode", tmp_path / "zero.mp4", "-o", tmp_path / "a.dfc", *QUICK)
    assert result.returncode != 0
    assert "zero.mp4 is empty" in " ".join(result.stderr.decode().split())


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of address space is one of Linux")
def test_12_little_memory_is_said_in_one_line(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4")
    command = " ".join(["ulimit -v 800000; exec", *DFC, "encode", str(source), "-o", str(tmp_path / "a.dfc"), *QUICK])
    result = subprocess.run(["bash", "-c", command], capture_output=True, env=ENV)
    assert result.returncode != 0
    assert b"Traceback" not in result.stderr
    assert b"memory" in result.stderr


def test_12_one_frame_an_hour_is_a_frame_rate(tmp_path: Path) -> None:
    code = (
        "import io, numpy as np, dfccodec as dfc; from fractions import Fraction as F\n"
        "frames = [np.zeros((16, 16, 3), np.uint8)] * 3\n"
        "dfc.encode(frames, io.BytesIO(), rate=F(1, 3600), budget='2', fill='token', refine=0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENV)
    lines = result.stderr.decode().splitlines()
    assert result.returncode == 0 or "frame_rate" in lines[-1]
