"""A small decoded video as training data."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import DATA

from dfccodec.training.data.shards import pack_footage


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 40 frames of 96×64 pixels."""
    videos, out = (tmp_path_factory.mktemp(name) for name in ("videos", "video_folder"))
    (videos / "flower_00.mp4").write_bytes((DATA / "flower_96x64.mp4").read_bytes())
    pack_footage(videos, out, side=64, frames=40)
    return out
