"""The library's functions on paths, bytes and streams, and what they say to arguments that cannot be."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving, write_video

import dfccodec as dfc
from dfccodec.errors import UsageError

FLAT = flat_model()


@pytest.fixture(scope="module")
def data() -> bytes:
    out = io.BytesIO()
    dfc.encode(moving(40), out, model=FLAT, budget=8)
    return out.getvalue()


def test_paths_bytes_and_streams_are_the_same(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    sources: list[Any] = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)]
    hashes = {dfc.verify(source).latent_hash for source in sources}
    assert len(hashes) == 1
    for source in sources[:-1]:
        with dfc.open(source) as file:
            assert file.frames == 40
    trimmed = []
    sources[-1].seek(0)
    for number, source in enumerate(sources):
        out = tmp_path / f"{number}.dfc"
        assert dfc.trim(source, out, budget="2") == (40, 3)
        trimmed.append(out.read_bytes())
    assert len(set(trimmed)) == 1
    stream = io.BytesIO()
    dfc.trim(data, stream, budget=2)
    assert stream.getvalue() == trimmed[0]
    assert not dfc.recover(str(path), str(tmp_path / "r.dfc")).faults
    assert not dfc.verify(tmp_path / "r.dfc").faults


def test_a_file_may_be_trimmed_in_place_and_is_kept_when_that_fails(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        dfc.trim(path, path, start=1000)
    assert path.read_bytes() == data
    dfc.trim(path, path, budget=1)
    assert len(path.read_bytes()) < len(data)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]


def test_budgets_are_numbers_too(data: bytes) -> None:
    for budget in ("8", 8, np.int64(8)):
        out = io.BytesIO()
        dfc.encode(moving(40), out, model=FLAT, budget=budget)
        assert out.getvalue() == data


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"budget": 0.25}, r"budget '0\.25' is not understood"),
        ({"qp": 24.5}, "QP 24.5 is out of range: give a whole number"),
        ({"qp": "24"}, "QP '24' is out of range"),
        ({"seed": 1.5}, "seed 1.5 is out of range"),
        ({"snap": "x"}, "snap 'x' is out of range"),
        ({"size": "48"}, "span and size are for videos"),
        ({"span": ("1", "2")}, "give Span.parse"),
    ],
)
def test_arguments_that_cannot_be_are_named(options: dict[str, Any], says: str) -> None:
    out = io.BytesIO()
    with pytest.raises(UsageError, match=says):
        dfc.encode(moving(2), out, **{"model": FLAT, **options})
    assert not out.getvalue()


def test_places_that_cannot_be_are_refused_before_any_work(data: bytes, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving(3))
    before = video.read_bytes()
    with pytest.raises(UsageError, match="is the input"):
        dfc.encode(video, str(video), model=FLAT)
    assert video.read_bytes() == before
    folder = tmp_path / "folder"
    folder.mkdir()
    for work in (lambda: dfc.encode(moving(3), folder, model=FLAT), lambda: dfc.trim(data, folder, budget="1")):
        with pytest.raises(UsageError, match="is a folder: name a file in it"):
            work()
    with pytest.raises(UsageError, match="one of text"):
        dfc.encode(moving(3), io.StringIO(), model=FLAT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one of text"):
        dfc.verify(io.StringIO("x"))  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "folder"]
