"""Codecs of ffmpeg that the parent left as garbage do not stop a forked process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ENV
from support import moving_square, write_video

SCRIPT = """
import gc, os, sys
from pathlib import Path
from dfccodec.media.input.source import VideoSource

gc.disable()
with VideoSource(Path(sys.argv[1])) as source:
    frames = sum(1 for _ in source)
del source
pid = os.fork()
if pid == 0:
    gc.collect()
    os._exit(frames)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_garbage_of_the_parent_is_not_collected_in_a_fork(tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4", moving_square(6, 128, 128))
    env = {**ENV, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["timeout", "-s", "KILL", "60", sys.executable, "-c", SCRIPT, str(video)]
    assert subprocess.run(command, env=env, capture_output=True, text=True, timeout=120).stdout.split() == ["6"]
