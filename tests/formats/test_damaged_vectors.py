"""The clips that dfccodec finds in the damaged vectors; a reader that does not continue refuses them (SPEC.md 10)."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import read_dfc
from vectors import VECTORS

from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import DamagedError

PATHS = sorted((VECTORS / "damaged").glob("*.dfc"))


def test_there_are_some() -> None:
    assert len(PATHS) >= 20


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_intact_clip_is_found_and_no_other(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["clips"]
    try:
        reader = StreamReader(io.BytesIO(path.read_bytes()))
    except DamagedError:
        assert expected == []
        return
    found = [item for item in reader if isinstance(item, ClipAt)]
    names = ("offset", "first_frame", "frames")
    assert [(c.offset, c.clip.first_frame, c.clip.frames) for c in found] == [
        tuple(e[n] for n in names) for e in expected
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_strict_reader_refuses(path: Path) -> None:
    with pytest.raises(read_dfc.Refused):
        read_dfc.read(path.read_bytes())
