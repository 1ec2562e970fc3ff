"""`dfc pack` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import run, run_and_list_imports
from latent_files import write_latent_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_latent_file(tmp_path / "in" / f"{name}.dfc")
    return tmp_path


def test_a_folder_becomes_shards_without_torch(folder: Path) -> None:
    command = ["pack", folder / "in", "-o", folder / "out", "--shard-size", "3kB", "--shuffle", "3", "--json"]
    result, imported = run_and_list_imports(*command)
    assert result.returncode == 0, result.stderr
    assert not imported & {"torch", "av"}
    record = json.loads(result.stdout)
    assert record["files"] == 3
    assert record["shards"] == len(list((folder / "out").glob("*.tar"))) > 1
    again = run(*command)
    assert again.returncode == 0
    assert b"of them there already" in again.stderr
    assert run("pack", folder / "in", "-o", folder / "out").returncode == 6
    assert run("pack", folder / "in", "-o", folder / "out", "-y").returncode == 0


def test_files_that_do_not_fit_are_named(folder: Path) -> None:
    write_latent_file(folder / "in" / "d.dfc", qp=30)
    result = run("pack", folder / "in", "-o", folder / "out")
    assert result.returncode == 2
    assert b"d.dfc has QP 30" in result.stderr
    assert run("pack", folder / "in", "-o", folder / "out", "--mixed-qp").returncode == 0
    (folder / "in" / "a.dfc").write_bytes(b"")
    result = run("pack", folder / "in", "-o", folder / "new", "--mixed-qp")
    assert result.returncode == 3
    assert b"a.dfc" in result.stderr
    assert not (folder / "new").exists()
    result = run("pack", folder / "in", "-o", folder / "new", "--mixed-qp", "--skip-damaged")
    assert result.returncode == 0
    assert result.stderr.count(b"a.dfc") == 1
    assert run("pack", folder / "in", "-o", folder / "x", "--shard-size", "big").returncode == 2
    assert run("pack", folder / "none", "-o", folder / "x").returncode == 3
