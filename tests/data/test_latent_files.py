"""Shards and captions of any content are read, or refused with one error."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.data.files import MAX_CAPTION, DfcLocation, read_caption, read_shard
from dfccodec.errors import InputError


def small_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as shard:
        for name in ("a.dfc", "a.txt", "x/b.dfc", "x/b.json", "notes", "c.tar.gz"):
            member = tarfile.TarInfo(name)
            member.size = 5
            shard.addfile(member, io.BytesIO(b"12345"))
    return out.getvalue()


TAR = small_tar()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shard") / "x.tar"


def test_members_are_grouped_by_key(path: Path) -> None:
    path.write_bytes(TAR)
    first, second = read_shard(path)
    assert (first.key, first.size, [suffix for _, _, suffix in first.sidecars or ()]) == ("a", 5, [".txt"])
    assert (second.key, second.label) == ("x/b", f"{path}, x/b.dfc")
    assert path.read_bytes()[first.offset : first.offset + 5] == b"12345"


@given(st.lists(st.tuples(st.integers(0, 6 * 1024), st.integers(0, 255)), max_size=20), st.integers(0, len(TAR)))
def test_any_bytes_are_a_shard_or_refused(path: Path, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(TAR[:length])
    for place, value in changes:
        if place < len(data):
            data[place] = value
    path.write_bytes(data)
    try:
        found = read_shard(path)
    except InputError as error:
        assert "x.tar is not a readable tar shard" in str(error)
    else:
        assert all(location.size >= 0 for location in found)


@given(st.sampled_from([".txt", ".json"]), st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_any_sidecar_is_a_caption_or_refused(suffix: str, content: bytes) -> None:
    location = DfcLocation("memory", "a", 0, 0, ((0, len(content), suffix),), content)
    try:
        assert isinstance(read_caption(location, ()), str)
    except InputError as error:
        assert f"sidecar {suffix} is not" in str(error)


@given(st.dictionaries(st.sampled_from(["caption", "text", "description", "title"]), st.text(max_size=9) | st.none()))
def test_captions_by_preference(record: dict[str, str | None]) -> None:
    content = json.dumps(record).encode()
    location = DfcLocation("memory", "a", 0, 0, ((0, len(content), ".json"),), content)
    named = [record.get(key) for key in ("caption", "text", "description")]
    expected = next((text.strip() for text in named if text), "")
    assert read_caption(location, ()) == expected
    assert read_caption(location, (("Description", "tag"),)) == (expected or "tag")


def test_a_sidecar_that_is_no_caption_is_refused() -> None:
    location = DfcLocation("memory", "a", 0, 0, ((0, MAX_CAPTION + 1, ".txt"),), b"")
    with pytest.raises(InputError, match=r"memory: sidecar of 1048577 bytes: a caption has at most"):
        read_caption(location, ())
