"""Several inputs in one run: plans, failures on the way, one load of the model, one input as ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from support import moving, write_video

from dfccodec.cli import batch
from dfccodec.cli.batch import Job, cache_last, plan
from dfccodec.cli.main import main
from dfccodec.codec import api
from dfccodec.errors import OutputExistsError, UsageError


def test_one_input_is_no_batch(tmp_path: Path) -> None:
    assert plan(["a.mp4"], str(tmp_path / "a.dfc"), "", False, ".dfc") == [Job("a.mp4", str(tmp_path / "a.dfc"))]
    assert plan(["-"], "-", "", False, ".dfc") == [Job("-", "-")]
    assert plan(["x/a.mp4"], "", "out", False, ".dfc") == [Job("x/a.mp4", "out/a.dfc", True)]


def test_names_in_the_folder(tmp_path: Path) -> None:
    a, b, c = (str(tmp_path / name) for name in ("x/one.mp4", "x/y/two.v2.mov", "z/three"))
    flat = plan([a, b, c], "", "out", False, ".dfc")
    assert [job.output for job in flat] == ["out/one.dfc", "out/two.v2.dfc", "out/three.dfc"]
    mirrored = plan([a, b, c], "", "out", True, ".dfc")
    assert [job.output for job in mirrored] == ["out/x/one.dfc", "out/x/y/two.v2.dfc", "out/z/three.dfc"]
    assert [job.output for job in plan([a, b], "", "out", True, ".mkv")] == ["out/one.mkv", "out/y/two.v2.mkv"]


@pytest.mark.parametrize(
    ("inputs", "output", "folder", "mirror", "says"),
    [
        (["a.mp4", "b.mp4"], "", "", False, "2 inputs cannot have one output: give --output-dir"),
        (["a.mp4", "b.mp4"], "c.dfc", "", False, "2 inputs cannot have one output: give --output-dir"),
        (["a.mp4"], "", "", False, "no output for a.mp4: give -o a.dfc, or"),
        (["a.mp4"], "c.dfc", "out", False, "-o c.dfc and --output-dir out both"),
        (["a.mp4"], "c.dfc", "", True, "--keep-tree needs --output-dir"),
        (["a.mp4", "-"], "", "out", False, "standard input has no name"),
        (["a.mp4", "a.mov"], "", "out", False, "a.mp4 and a.mov would both become out/a.dfc: rename one"),
        (["x/a.mp4", "y/a.mp4"], "", "out", False, "or give --keep-tree"),
        (["x/a.mp4", "x/a.mov"], "", "out", True, "x/a.mp4 and x/a.mov would both become out/a.dfc: rename one"),
        (["a.mp4", "./a.mp4"], "", "out", False, "input ./a.mp4 is given twice"),
        (["a.dfc", "b.mp4"], "", ".", False, "output a.dfc is the input"),
        (["a.dfc", "x/c.mp4", "c.dfc"], "", ".", True, "is the input"),
        (["folder"], "", "out", False, "input folder is a folder: name its files, as folder/*"),
        (["a.mp4", "c.dfc"], "", "c.dfc", False, "--output-dir c.dfc cannot be created: c.dfc is a file"),
        (["a.mp4", "c.dfc"], "", "c.dfc/x", False, "--output-dir c.dfc/x cannot be created: c.dfc is a file"),
        ([""], "c.dfc", "", False, "an input's name is empty"),
        (["https://a/b.mp4"], "c.dfc", "", False, "input https://a/b.mp4 is an address: fetch it first"),
    ],
)
def test_plans_that_are_refused(
    inputs: list[str],
    output: str,
    folder: str,
    mirror: bool,
    says: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in inputs:
        if name not in ("", "-", "folder") and "://" not in name:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    with pytest.raises(UsageError) as caught:
        plan(inputs, output, folder, mirror, ".dfc", overwrite=True)
    assert says in str(caught.value)


def test_an_output_that_is_there_stops_all_before_the_first(tmp_path: Path) -> None:
    (tmp_path / "b.dfc").touch()
    with pytest.raises(OutputExistsError, match=r"b\.dfc exists: give -y"):
        plan(["a.mp4", "b.mp4"], "", str(tmp_path), False, ".dfc")
    assert len(plan(["a.mp4", "b.mp4"], "", str(tmp_path), False, ".dfc", overwrite=True)) == 2


def test_what_is_made_is_kept_while_it_is_the_same() -> None:
    made: list[str] = []
    get = cache_last(lambda word: made.append(word) or len(word), key=str.lower)
    assert [get(word) for word in ("one", "ONE", "three", "one")] == [3, 3, 5, 3]
    assert made == ["one", "three", "one"]


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Two videos in two folders, and between them a file that is none."""
    paths = [tmp_path / "in" / name for name in ("a/one.mp4", "a/bad.mp4", "b/two.mov")]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "bad.mp4":
            path.write_bytes(b"no video")
        else:
            write_video(path, moving(3 + number, 32, 32))
    return paths


def test_there_and_back_past_a_bad_file(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    real = api.registry.load
    monkeypatch.setattr(api.registry, "load", lambda spec, **more: loads.append(spec) or real(spec, **more))
    coded, back = tmp_path / "coded", tmp_path / "back"
    options = ["--output-dir", str(coded), "--keep-tree", "--fill", "token", "--refine", "0", "--json"]
    assert main(["encode", *map(str, videos), *options]) == 3
    assert loads == ["mini"]
    printed = capsys.readouterr()
    records = json.loads(printed.out)
    assert [record.get("frames") for record in records] == [3, None, 5]
    assert [record["output"] for record in records] == [str(coded / p) for p in ("a/one.dfc", "a/bad.dfc", "b/two.dfc")]
    assert (records[1]["exit_code"], records[1]["input"]) == (3, str(videos[1]))
    assert f"dfc: error: cannot open {videos[1]}" in printed.err
    assert f"2 of 3 done; failed: {videos[1]}" in printed.err
    assert sorted(p.name for p in coded.rglob("*") if p.is_file()) == ["one.dfc", "two.dfc"]

    loads.clear()
    damaged = bytearray((coded / "a/one.dfc").read_bytes())
    damaged[-150] ^= 1
    (coded / "a/one.dfc").write_bytes(damaged)
    inputs = [str(coded / "a/one.dfc"), str(coded / "b/two.dfc"), str(coded / "gone.dfc")]
    assert main(["decode", *inputs, "--output-dir", str(back), "--format", "matroska", "--conceal"]) == 4
    assert loads == ["mini"]
    printed = capsys.readouterr()
    assert "1 of 3 done; failed: " in printed.err
    assert f"dfc: error: cannot open {coded / 'gone.dfc'}: No such file" in printed.err  # named once
    assert (back / "two.mkv").exists()


def test_nothing_is_begun_where_names_clash(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = videos[0].with_suffix(".mov")
    twin.write_bytes(videos[0].read_bytes())
    assert main(["encode", str(videos[0]), str(twin), "--output-dir", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "would both become" in line
    assert not (tmp_path / "out").exists()


def test_one_input_prints_one_record(videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(videos[0]), "-o", str(tmp_path / "a.dfc"), "--preset", "fast", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["frames"] == 3
    assert "[1/1]" not in printed.err


def test_one_input_that_fails_prints_one_record_too(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, name in (("encode", "a.dfc"), ("decode", "a.mkv")):
        assert main([verb, str(videos[1]), "-o", str(tmp_path / name), "--json"]) == 3
        printed = capsys.readouterr()
        record = json.loads(printed.out)
        assert printed.err == f"dfc: error: {record['error']}\n"
        assert record["exit_code"] == 3
        assert record["input"] == str(videos[1])


def test_a_batch_is_resumed_at_the_first_output_that_is_missing(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [str(videos[0]), str(videos[2])]
    coded = tmp_path / "coded"
    options = ["--output-dir", str(coded), "--fill", "token", "--refine", "0", "--json"]
    assert main(["encode", good[0], *options]) == 0
    before = (coded / "one.dfc").stat()
    assert main(["encode", *good, *options]) == 6
    assert "exists: give -y" in capsys.readouterr().err
    assert main(["encode", *good, *options, "--resume"]) == 0
    printed = capsys.readouterr()
    assert f"[1/2] {coded / 'one.dfc'} exists already: skipped" in printed.err
    assert [record.get("passed_over", False) for record in json.loads(printed.out)] == [True, False]
    assert (coded / "one.dfc").stat() == before
    assert (coded / "two.dfc").is_file()
    assert main(["encode", *good, *options, "--resume", "-y"]) == 0
    assert (coded / "one.dfc").stat().st_mtime_ns > before.st_mtime_ns


def test_a_batch_with_a_target_is_resumed_too(videos: list[Path], tmp_path: Path) -> None:
    plain = ["--fill", "token", "--refine", "0", "-q"]
    options = ["--output-dir", str(tmp_path / "coded"), *plain, "--target-size", "6kB", "--resume"]
    assert main(["encode", str(videos[0]), *options]) == 0
    assert main(["encode", str(videos[0]), str(videos[2]), *options]) == 0
    assert (tmp_path / "coded" / "two.dfc").is_file()


def test_an_output_that_is_another_of_this_run_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a disk that takes A.dfc and a.dfc for one."""
    jobs = [batch.Job(name, str(tmp_path / f"{name}.dfc"), True) for name in ("A", "a", "b")]

    def work(job: batch.Job, tell: batch.Tell) -> None:
        path = Path(job.output)
        assert not path.exists()
        path.write_text(job.source)
        if job.source == "A":
            (tmp_path / "a.dfc").hardlink_to(path)

    with pytest.raises(typer.Exit) as ended:
        batch.run(jobs, work)
    assert ended.value.exit_code == 2
    assert "a.dfc is " in capsys.readouterr().err
    assert (tmp_path / "A.dfc").read_text() == "A"
    assert (tmp_path / "b.dfc").read_text() == "b"
