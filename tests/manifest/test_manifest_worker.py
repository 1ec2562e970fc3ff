"""Workers: records, retries, outputs that exist, errors that stop a worker."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dfccodec.errors import DfcError, InputError, ModelError, OutputExistsError
from dfccodec.manifest import worker as working
from dfccodec.manifest.claims import Claims
from dfccodec.manifest.items import Item
from dfccodec.manifest.records import Records, sizes
from dfccodec.manifest.run import check_same_options, write_results
from dfccodec.manifest.worker import Folders, Worker


class Copy:
    """A task that writes the name of the input; names in `bad` fail."""

    def __init__(self, **bad: BaseException) -> None:
        self.bad, self.encoded = bad, list[str]()

    def encode(self, item: Item, output: Path) -> dict[str, Any]:
        self.encoded.append(item.source)
        if item.source in self.bad:
            raise self.bad[item.source]
        output.write_text(item.source)
        return {"bytes": len(item.source)}

    def find(self, item: Item, output: Path) -> dict[str, Any] | None:
        if output.exists() and output.read_text() != item.source:
            raise OutputExistsError(f"output {output} exists")
        return {"found": True} if output.exists() else None


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.of(tmp_path / "list.jsonl", tmp_path / "out")


def items(*names: str) -> list[Item]:
    return [Item(line, name, ".", f"x/{name}.dfc") for line, name in enumerate(names, 1)]


def state(folders: Folders, listed: list[Item]) -> list[str]:
    write_results(folders, listed, Records(folders.state / "records", "none"))
    return [json.loads(line)["state"] for line in folders.results.read_text().splitlines()]


def test_every_item_has_an_output_and_a_record(folders: Folders) -> None:
    listed, task, told = items("a", "b", "c"), Copy(b=InputError("b is no video")), list[tuple[str, int]]()
    Worker(folders, listed, task, tell=lambda record, count: told.append((record["state"], count))).run()
    assert told == [("done", 1), ("failed", 2), ("done", 3)]
    assert (folders.output / "x/a.dfc").read_text() == "a"
    assert not (folders.output / "x/b.dfc").exists()
    assert state(folders, listed) == ["done", "failed", "done"]
    totals = write_results(folders, listed, Records(folders.state / "records", "none"))
    assert (totals.failed, totals.exit_code) == (["b"], 3)
    assert [list((folders.state / name).iterdir()) for name in ("claims", "work")] == [[], []]
    again = Copy()
    Worker(folders, listed, again).run()
    assert again.encoded == ["b"]  # what failed in an earlier run is tried again, and nothing else
    assert state(folders, listed) == ["done", "done", "done"]


def test_what_failed_in_this_run_is_not_tried_again(folders: Folders) -> None:
    listed, since = items("a"), sizes(folders.state / "records")
    Worker(folders, listed, Copy(a=ValueError("two\nlines")), since).run()
    other = Copy()
    Worker(folders, listed, other, since).run()
    assert other.encoded == []
    record = Records(folders.state / "records", "none").get("x/a.dfc")
    assert record["error"] == "a bug in dfc, ValueError: two lines; please report it"


def test_an_output_without_a_record_is_found_or_refused(folders: Folders) -> None:
    listed = items("a", "b")
    (folders.output / "x").mkdir(parents=True)
    (folders.output / "x/a.dfc").write_text("a")
    (folders.output / "x/b.dfc").write_text("something else")
    task = Copy()
    Worker(folders, listed, task).run()
    assert (task.encoded, state(folders, listed)) == ([], ["done", "failed"])
    assert (folders.output / "x/b.dfc").read_text() == "something else"
    Worker(folders, listed, task, overwrite=True).run()
    assert (task.encoded, state(folders, listed)) == (["b"], ["done", "done"])
    assert (folders.output / "x/b.dfc").read_text() == "b"


def test_of_two_workers_on_one_file_one_makes_the_output(folders: Folders) -> None:
    """As when a process was suspended for so long that another one took its file over."""
    listed = items("a")

    class Overtaken(Copy):
        def encode(self, item: Item, output: Path) -> dict[str, Any]:
            (folders.state / "claims" / f"{item.key}.json").unlink()
            Worker(folders, listed, Copy()).run()
            return super().encode(item, output) | {"late": True}

    Worker(folders, listed, Overtaken()).run()
    lines = [path.read_text() for path in (folders.state / "records").glob("*.jsonl")]
    assert len("".join(lines).splitlines()) == 1
    assert "late" not in lines[0]


@pytest.mark.parametrize("error", [ModelError("no model"), OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_error_that_other_files_would_meet_stops_the_worker(error: BaseException, folders: Folders) -> None:
    task = Copy(a=error)
    with pytest.raises(type(error)):
        Worker(folders, items("a", "b"), task).run()
    assert task.encoded == ["a"]
    assert sizes(folders.state / "records") == {}
    assert list((folders.state / "claims").iterdir()) == []


def test_a_file_that_ends_its_processes_fails(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "MAX_CRASHES", 2)
    listed, task = items("a"), Copy()
    taken = Claims(folders.state / "claims", "dead").take(listed[0].key)
    assert taken is not None
    record = json.loads(taken.content)
    taken.path.write_text(json.dumps(record | {"crashes": 1, "owner": record["owner"] | {"machine": "other"}}))
    Worker(folders, listed, task, stale_after=0).run()
    assert task.encoded == []
    error = Records(folders.state / "records", "none").get("x/a.dfc")["error"]
    assert error.startswith("2 processes ended while they were encoding a: ")


def test_a_half_written_record_is_none(folders: Folders) -> None:
    listed = items("a", "b")
    folder = folders.state / "records"
    folder.mkdir(parents=True)
    (folder / "killed.jsonl").write_text('{"output": "x/a.dfc", "state": "done"}\n{"output": "x/b.dfc", "sta')
    records = Records(folder, "none")
    assert [records.is_final(item.output) for item in listed] == [True, False]
    (folder / "killed.jsonl").write_text(
        '{"output": "x/a.dfc", "state": "done"}\n{"output": "x/b.dfc", "state": "done"}\n'
    )
    records.refresh()
    assert [records.is_final(item.output) for item in listed] == [True, True]
    records.append({"output": "x/c.dfc", "state": "done", "input": "\udcff"})  # a name that is not UTF-8
    records.refresh()
    assert records.is_final("x/c.dfc")


def test_runs_of_a_list_share_their_options(folders: Folders) -> None:
    check_same_options(folders, {"options": "--qp 24", "model": "mini"})
    check_same_options(folders, {"options": "--qp 24", "model": "mini"})
    with pytest.raises(DfcError, match="with options '--qp 24', not '--qp 40': give the same options"):
        check_same_options(folders, {"options": "--qp 40", "model": "mini"})


def test_work_of_ended_workers_is_removed(folders: Folders) -> None:
    left = folders.state / "work" / "dead"
    left.mkdir(parents=True)
    (left / "a.part").touch()
    worker = Worker(folders, items("a"), Copy())
    identity = json.loads((folders.state / "work" / worker.name / "owner.json").read_text())
    (left / "owner.json").write_text(json.dumps(identity | {"pid": 2**22 + 5}))
    away = folders.state / "work" / "away"
    for name, days in (("away", 0.9), ("gone", 1.1)):
        path = folders.state / "work" / name / "owner.json"
        path.parent.mkdir()
        path.write_text(json.dumps(identity | {"machine": "other"}))
        os.utime(path, (time.time() - days * 86400,) * 2)
    worker.run()
    assert set((folders.state / "work").iterdir()) == ({away} if identity["machine"] else {away, left})
