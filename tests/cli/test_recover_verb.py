"""`dfc recover` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import run, run_and_list_imports
from support import flat_model, moving

import dfccodec as dfc


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Three clips, the second ruined, the index cut off."""
    dfc.encode(moving(96, 16, 32), tmp_path / "in.dfc", model=flat_model(), budget="4", fill="token")
    with dfc.open(tmp_path / "in.dfc") as file:
        place = file.summary.clips[1].offset + 30
    data = bytearray((tmp_path / "in.dfc").read_bytes()[:-30])
    data[place : place + 20] = bytes(20)
    (tmp_path / "cut.dfc").write_bytes(data)
    return tmp_path / "cut.dfc"


def test_what_is_whole_comes_out_and_what_is_lost_is_said(cut: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.dfc"
    done = run("recover", cut, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    text = done.stderr.decode()
    assert "note: frames 32 to 63 are lost, a gap in time from 1.280 s to 2.560 s" in text
    assert "ends without its index" in text
    record = json.loads(done.stdout)
    assert record["lost"] == [{"first": 32, "count": 32, "start": 1.28, "end": 2.56}]
    assert (record["frames"], record["clips"], record["bytes"]) == (64, 2, out.stat().st_size)
    assert record["faults"][0]["class"] == "damaged"
    assert run("verify", out).returncode == 0
    assert run("recover", cut, "-o", out).returncode == 6


def test_it_is_a_filter_that_loads_no_torch(cut: Path) -> None:
    done, found = run_and_list_imports("recover", "-", "-o", "-", input=cut.read_bytes())
    assert done.returncode == 0
    assert not found & {"torch", "av"}
    assert run("verify", "-", input=done.stdout).returncode == 0


def test_where_nothing_is_whole_nothing_is_written(cut: Path, tmp_path: Path) -> None:
    (tmp_path / "short.dfc").write_bytes(cut.read_bytes()[:300])
    done = run("recover", tmp_path / "short.dfc", "-o", tmp_path / "x.dfc")
    assert done.returncode == 4
    assert b"no clip of the file is intact" in done.stderr
    assert not (tmp_path / "x.dfc").exists()
