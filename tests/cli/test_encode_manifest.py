"""`dfc encode --manifest`: messages, exit codes, a second run, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import moving_square, write_video

from dfccodec.cli.main import main

FAST = ["--fill", "token", "--refine", "0"]


@pytest.fixture
def listed(tmp_path: Path) -> list[str]:
    """The start of a command line, for a list of two videos and a file that is none."""
    for number, name in enumerate(("one.mp4", "two.mov")):
        write_video(tmp_path / name, moving_square(3 + number, 32, 32))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    lines = ['{"input": "one.mp4"}', '{"input": "bad.mp4", "id": 7}', '{"input": "two.mov", "output": "x/y.dfc"}']
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    return ["encode", "--manifest", str(tmp_path / "list.jsonl"), "--output-dir", str(tmp_path / "out"), *FAST]


def results(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "out/list.results.jsonl").read_text().splitlines()]


def test_a_list_is_encoded_and_resumed(listed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*listed, "--json"]) == 3
    found = capsys.readouterr()
    assert "[1/3] one.mp4 → one.dfc: 3 frames, 1 kept in 1 clip, " in found.err
    assert f"dfc: error: [2/3] bad.mp4 → bad.dfc: cannot open {tmp_path / 'bad.mp4'}: Invalid data" in found.err
    assert f"2 of 3 done; failed: bad.mp4; {tmp_path / 'out/list.results.jsonl'}" in found.err
    assert json.loads(found.out)["done"] == 2
    assert [row["state"] for row in results(tmp_path)] == ["done", "failed", "done"]
    assert results(tmp_path)[0]["frames"] == 3
    assert results(tmp_path)[1]["exit_code"] == 3
    before = (tmp_path / "out/x/y.dfc").stat().st_mtime_ns
    write_video(tmp_path / "bad.mp4", moving_square(5, 32, 32))
    assert main(listed) == 0
    assert "3 of 3 done" in capsys.readouterr().err
    assert [row["frames"] for row in results(tmp_path)] == [3, 5, 4]
    assert (tmp_path / "out/x/y.dfc").stat().st_mtime_ns == before
    assert main([*listed, "--qp", "40"]) == 2
    assert "has files of this manifest with options '--budget 8 --qp 24" in capsys.readouterr().err


def test_existing_outputs_of_other_options_are_refused(
    listed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.jsonl").write_text('{"input": "one.mp4"}\n{"input": "two.mov"}\n')
    for name, qp in (("one.mp4", 24), ("two.mov", 40)):
        assert main(["encode", str(tmp_path / name), *listed[3:5], *FAST, "--qp", str(qp)]) == 0
    capsys.readouterr()
    assert main(listed) == 6
    error = capsys.readouterr().err
    assert "[1/2] one.mp4 → one.dfc: exists already" in error
    assert "two.dfc exists and was encoded with --budget 8 --qp 40 --fill token" in error
    (tmp_path / "out/two.dfc").write_bytes(b"")
    assert main(listed) == 6
    assert "exists and is no whole .dfc file" in capsys.readouterr().err
    assert main([*listed, "-y"]) == 0


def test_several_processes(listed: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*listed, "--jobs", "2"]) == 3
    error = capfd.readouterr().err
    assert error.count("dfc: error:") == 1
    assert "2 of 3 done; failed: bad.mp4" in error
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.dfc")) == ["one.dfc", "y.dfc"]


def test_a_missing_model_stops_all(listed: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--jobs", "2"]):
        assert main([*listed, "--model", "gone.safetensors", *more]) == 5
        assert "dfc: error: model file 'gone.safetensors' does not exist" in capfd.readouterr().err
    assert "done" not in [row["state"] for row in results(tmp_path)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--manifest", "list.jsonl"],
            "--manifest list.jsonl has many outputs, and no output folder: give --output-dir",
        ),
        (["--manifest", "list.jsonl", "-o", "a.dfc"], "and -o a.dfc names one output: give --output-dir FOLDER"),
        (["--manifest", "list.jsonl", "a.mp4", "--output-dir", "out"], "and input a.mp4 are given: leave out one"),
        (["--manifest", "none.jsonl", "--output-dir", "out"], "cannot open manifest none.jsonl: No such file"),
        (["--manifest", "list.jsonl", "--output-dir", "list.jsonl/x"], "cannot be created: list.jsonl is a file"),
        (["--manifest", "bad.jsonl", "--output-dir", "out"], 'manifest bad.jsonl line 1 has no "input"'),
    ],
)
def test_invalid_arguments(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.jsonl").write_text('{"input": "a.mp4"}')
    Path("bad.jsonl").write_text("{}")
    assert main(["encode", *arguments]) in (2, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("out").exists()
