"""Claims: one owner, stale claims, and claims of processes that have ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from dfccodec.manifest import claims as claiming
from dfccodec.manifest import files
from dfccodec.manifest.claims import Claims
from dfccodec.runtime import process_identity


def test_a_claim_has_one_owner(tmp_path: Path) -> None:
    first, second = Claims(tmp_path, "a"), Claims(tmp_path, "b")
    claim = first.take("key")
    assert claim is not None
    assert claim.crashes == 0
    assert second.take("key") is None
    assert second.take("other") is not None
    first.release(claim)
    assert second.take("key") is not None
    first.release(claim)  # it is not first's any more
    assert (tmp_path / "key.json").exists()


def _take(folder: Path) -> None:
    Claims(folder, "child").take("key")


def test_the_claim_of_an_ended_process_is_taken_over_at_once(tmp_path: Path) -> None:
    if not process_identity.identify()["machine"]:
        pytest.skip("this system has no /proc")
    for crashes in (1, 3):
        process = multiprocessing.get_context("fork").Process(target=_take, args=(tmp_path,))
        process.start()
        process.join()
        claims = Claims(tmp_path, "a")
        claim = claims.take("key")
        assert claim is not None
        assert claim.crashes == crashes
        owner = json.loads(claim.content)
        claim.path.write_text(json.dumps(owner | {"owner": {**owner["owner"], "pid": 2**22 + 5}}))  # as if it had ended
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json"]


def test_a_claim_of_another_machine_is_stale_if_nobody_touches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("dfccodec.manifest.claims.time.monotonic", lambda: now[0])
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"owner": {"machine": "other", "pid": 1, "started": "1"}, "crashes": 2}))
    claims = Claims(tmp_path, "a", stale_after=60)
    for touched in range(3):
        os.utime(path, (touched, touched))  # its clock does not matter
        assert claims.take("key") is None
        now[0] += 59
        assert claims.take("key") is None
    now[0] += 2
    claim = claims.take("key")
    assert claim is not None
    assert claim.crashes == 3


def test_a_living_owner_touches_its_claim(tmp_path: Path) -> None:
    claims = Claims(tmp_path, "a", stale_after=0.3)
    with claims.heartbeat():
        claim = claims.take("key")
        assert claim is not None
        before = claim.path.stat().st_mtime_ns
        until = time.monotonic() + 60
        while claim.path.stat().st_mtime_ns == before and time.monotonic() < until:
            time.sleep(0.02)
        assert claim.path.stat().st_mtime_ns > before


def test_a_claim_that_was_taken_over_in_between_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes it over after it was found stale and before it is renamed."""
    path, renamed = tmp_path / "key.json", Path.rename
    path.write_text("{}")

    def late(self: Path, target: Path) -> Path:
        path.write_text('{"owner": {}, "crashes": 1}')
        return renamed(self, target)

    claims = Claims(tmp_path, "a", stale_after=-1)
    assert claims.take("key") is None  # seen for the first time
    monkeypatch.setattr(Path, "rename", late)
    assert claims.take("key") is None
    assert json.loads(path.read_text()) == {"owner": {}, "crashes": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.json"]


@pytest.mark.parametrize("links", [True, False])
def test_files_are_created_once(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(PermissionError(1, "no links")))
    assert files.create(tmp_path / "a", b"one")
    assert not files.create(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"one"
    for name, new in (("b", True), ("a", False)):
        (tmp_path / "staged").write_bytes(b"three")
        assert files.publish(tmp_path / "staged", tmp_path / name) == new
    assert (tmp_path / "a").read_bytes() == b"one"
    assert (tmp_path / "b").read_bytes() == b"three"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_identity_of_processes() -> None:
    mine = process_identity.identify()
    assert not process_identity.has_ended(mine)
    assert not process_identity.has_ended({})
    assert not process_identity.has_ended(mine | {"machine": "other", "pid": 2**22 + 5})
    if mine["machine"]:
        assert process_identity.has_ended(mine | {"pid": 2**22 + 5})
        assert process_identity.has_ended(mine | {"started": "1"})  # the number is used again
    assert claiming.parse(b"") == claiming.parse(b"[1]") == claiming.parse(b'{"owner": 3}') == {}
