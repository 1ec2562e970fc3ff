"""One small scene, decoded, as footage."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import DATA

from dfccodec.training.data.shards import pack_footage


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 frames of 96×64 pixels."""
    videos, out = (tmp_path_factory.mktemp(name) for name in ("videos", "footage"))
    (videos / "flower_00.mp4").write_bytes((DATA / "flower_96x64.mp4").read_bytes())
    pack_footage(videos, out, side=64, frames=40)
    return out
