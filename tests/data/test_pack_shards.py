"""Packing into tar shards: contents, index, resuming, and reading with and without `webdataset`."""

from __future__ import annotations

import importlib.util
import json
import logging
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from latent_files import write_latent_file

from dfccodec.data import LatentDataset, decode_sample, pack_folder
from dfccodec.data.files import read_shard
from dfccodec.errors import DamagedError, InputError, OutputExistsError, UsageError


def contents(shards: Path) -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                out[member.name] = shard.extractfile(member).read()  # type: ignore[union-attr]
    return out


def test_shards_hold_files_and_captions(latent_files: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    report = pack_folder(latent_files, tmp_path / "out", shard_bytes=3000, progress=seen.append)
    assert report.files == seen[-1] == 5
    assert report.shards == len(list((tmp_path / "out").glob("shard-*.tar"))) > 1
    expected = {str(p.relative_to(latent_files)): p.read_bytes() for p in latent_files.rglob("*") if p.is_file()}
    assert contents(tmp_path / "out") == expected
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["__kind__"] == "wids-shard-index-v1"
    assert sum(shard["nsamples"] for shard in index["shardlist"]) == 5
    assert index["dfc"] | {"kept": 0} == {
        "model": "flat", "fingerprint": bytes(32).hex(), "channels": 3, "qp": [8], "files": 5, "clips": 10,
        "frames": 216, "kept": 0,
    }  # fmt: skip
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix not in (".tar", ".json", ".md")]


def test_a_dataset_reads_shards_as_it_reads_files(latent_files: Path, tmp_path: Path) -> None:
    pack_folder(latent_files, tmp_path / "out", shard_bytes=3000)
    files, shards = (LatentDataset(place, window=6, stride=3) for place in (latent_files, tmp_path / "out"))
    assert len(files) == len(shards)
    found, expected = ([data[number] for number in range(len(data))] for data in (shards, files))
    assert {item["caption"] for item in found} == {"a bright square", "from json", ""}  # type: ignore[index]
    for item, other in zip(found, expected, strict=True):
        assert item is not None
        assert other is not None
        torch.testing.assert_close(item["latents"], other["latents"])
        assert "shard-" in item["file"]


def test_shards_are_the_same_bytes_and_finished_ones_stay(latent_files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack_folder(latent_files, out, shard_bytes=3000, seed=4)
    first = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    (out / "shard-000001.tar").unlink()
    report = pack_folder(latent_files, out, shard_bytes=3000, seed=4)
    assert report.reused == report.shards - 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {name: data for name, (data, _) in first.items()}
    assert (out / "shard-000000.tar").stat().st_mtime_ns == first["shard-000000.tar"][1]


def test_an_interrupted_run_leaves_whole_shards(
    latent_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfccodec.data import pack

    real, calls = pack._add, []

    def fail(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(pack, "_add", fail)
    with pytest.raises(KeyboardInterrupt):
        pack_folder(latent_files, tmp_path / "out", shard_bytes=3000)
    left = list((tmp_path / "out").iterdir())
    assert left
    assert all(path.suffix == ".tar" and read_shard(path) for path in left)
    monkeypatch.setattr(pack, "_add", real)
    assert pack_folder(latent_files, tmp_path / "out", shard_bytes=3000).reused == len(left)


def test_shards_of_other_files_are_refused(latent_files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack_folder(latent_files, out, shard_bytes=3000)
    write_latent_file(latent_files / "0.dfc")
    with pytest.raises(OutputExistsError, match=r"shard-000000\.tar is a shard of other files: give -y"):
        pack_folder(latent_files, out, shard_bytes=3000)
    report = pack_folder(latent_files, out, overwrite=True)
    assert [path.name for path in sorted(out.iterdir())] == ["README.md", "index.json", "shard-000000.tar"]
    assert report.shards == 1


def test_shards_beside_their_files_are_not_read_twice(latent_files: Path) -> None:
    for _ in range(2):
        assert pack_folder(latent_files, latent_files / "shards").files == 5
    with pytest.raises(InputError, match=r"has files, such as .*a\.dfc, and shards, such as .*shard-000000\.tar"):
        LatentDataset(latent_files)
    assert len(LatentDataset(latent_files / "shards")) == len(LatentDataset(f"{latent_files}/**/*.dfc")) == 10


def test_bad_arguments_of_pack(latent_files: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError, match="is a file: name a folder"):
        pack_folder(latent_files, latent_files / "a.dfc")
    with pytest.raises(UsageError, match="is the input"):
        pack_folder(latent_files, latent_files)
    with pytest.raises(UsageError, match="shard size 0"):
        pack_folder(latent_files, tmp_path / "out", shard_bytes=0)
    write_latent_file(latent_files / "a.b.dfc")
    write_latent_file(latent_files / "a_b.dfc")
    with pytest.raises(UsageError, match=r"a\.b\.dfc and .*a_b\.dfc would both be 'a_b'"):
        pack_folder(latent_files, tmp_path / "out")
    (latent_files / "a.b.dfc").write_bytes(b"")
    with pytest.raises((DamagedError, InputError), match=r"a\.b\.dfc"):
        pack_folder(latent_files, tmp_path / "out")
    with caplog.at_level(logging.WARNING):
        assert pack_folder(latent_files, tmp_path / "out", on_damage="skip").files == 6
    assert "a.b.dfc" in caplog.text


@pytest.mark.parametrize("content", [b"", b"x" * 1000, "gz"])
def test_a_file_that_is_no_shard_is_refused(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    if isinstance(content, str):
        with tarfile.open(path, "w:gz") as shard:
            shard.add(__file__, "a.dfc")
    else:
        path.write_bytes(content)
    if content == b"":
        with pytest.raises(InputError, match=r"x\.tar is not a readable tar shard"):
            read_shard(path)
        return
    with pytest.raises(InputError, match=r"x\.tar is not a readable tar shard .*dfc pack"):
        read_shard(path)


def test_a_sample_is_decoded_from_memory(latent_files: Path) -> None:
    sample = {"__key__": "deep/d", "dfc": (latent_files / "deep" / "d.dfc").read_bytes(), "txt": "words"}
    items = decode_sample(sample, window=8)
    assert [item["caption"] for item in items] == ["words"] * 2
    torch.testing.assert_close(items[0]["latents"], LatentDataset(latent_files / "deep" / "d.dfc")[0]["latents"])  # type: ignore[index]
    with pytest.raises(UsageError, match="sample x has no bytes under 'dfc', only __key__"):
        decode_sample({"__key__": "x"})
    with pytest.raises((DamagedError, InputError), match="memory, x"):
        decode_sample({"__key__": "x", "dfc": b"nothing"})


@pytest.mark.skipif(importlib.util.find_spec("webdataset") is None, reason="webdataset is not installed")
def test_webdataset_reads_the_shards(latent_files: Path, tmp_path: Path) -> None:
    import webdataset

    pack_folder(latent_files, tmp_path / "out", shard_bytes=3000)
    urls = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    shards = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).map(decode_sample)
    items = list(shards.unlisted())
    assert len(items) == len(LatentDataset(latent_files))
    assert {item["caption"] for item in items} == {"a bright square", "from json", ""}
