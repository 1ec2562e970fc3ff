"""Batches: planned outputs, errors in single files, resuming, and one load of the model for all inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from support import DATA, moving_square, write_video

from dfccodec.cli import batch
from dfccodec.cli.batch import Job, cache_last, plan
from dfccodec.cli.main import main
from dfccodec.codec import api
from dfccodec.errors import OutputExistsError, UsageError


def test_plan_for_one_input(tmp_path: Path) -> None:
    assert plan(["a.mp4"], str(tmp_path / "a.dfc"), "", False, ".dfc") == [Job("a.mp4", str(tmp_path / "a.dfc"))]
    assert plan(["-"], "-", "", False, ".dfc") == [Job("-", "-")]
    assert plan(["x/a.mp4"], "", "out", False, ".dfc") == [Job("x/a.mp4", "out/a.dfc", True)]


def test_output_names_in_the_output_folder(tmp_path: Path) -> None:
    a, b, c = (str(tmp_path / name) for name in ("x/one.mp4", "x/y/two.v2.mov", "z/three"))
    flat = plan([a, b, c], "", "out", False, ".dfc")
    assert [job.output for job in flat] == ["out/one.dfc", "out/two.v2.dfc", "out/three.dfc"]
    tree = plan([a, b, c], "", "out", True, ".dfc")
    assert [job.output for job in tree] == ["out/x/one.dfc", "out/x/y/two.v2.dfc", "out/z/three.dfc"]
    assert [job.output for job in plan([a, b], "", "out", True, ".mkv")] == ["out/one.mkv", "out/y/two.v2.mkv"]


@pytest.mark.parametrize(
    ("inputs", "output", "folder", "keep_tree", "message"),
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
def test_invalid_plans_are_rejected(
    inputs: list[str],
    output: str,
    folder: str,
    keep_tree: bool,
    message: str | None,
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
        plan(inputs, output, folder, keep_tree, ".dfc", overwrite=True)
    assert message in str(caught.value)


def test_an_existing_output_stops_the_batch_before_the_first_job(tmp_path: Path) -> None:
    (tmp_path / "b.dfc").touch()
    with pytest.raises(OutputExistsError, match=r"b\.dfc exists: give -y"):
        plan(["a.mp4", "b.mp4"], "", str(tmp_path), False, ".dfc")
    assert len(plan(["a.mp4", "b.mp4"], "", str(tmp_path), False, ".dfc", overwrite=True)) == 2


def test_cache_last_reuses_the_result_for_equal_keys() -> None:
    computed: list[str] = []
    get = cache_last(lambda word: computed.append(word) or len(word), key=str.lower)
    assert [get(word) for word in ("one", "ONE", "three", "one")] == [3, 3, 5, 3]
    assert computed == ["one", "three", "one"]


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Return two videos in two folders and an invalid video between them."""
    paths = [tmp_path / "in" / name for name in ("a/one.mp4", "a/bad.mp4", "b/two.mov")]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "bad.mp4":
            path.write_bytes(b"no video")
        else:
            write_video(path, moving_square(3 + number, 32, 32))
    return paths


def test_batch_encode_and_decode_continue_after_an_error(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = api.registry.load
    monkeypatch.setattr(api.registry, "load", lambda spec, **more: loads.append(spec) or load(spec, **more))
    encoded_dir, decoded_dir = tmp_path / "coded", tmp_path / "back"
    options = ["--output-dir", str(encoded_dir), "--keep-tree", "--fill", "token", "--refine", "0", "--json"]
    assert main(["encode", *map(str, videos), *options]) == 3
    assert loads == ["mini"]
    output = capsys.readouterr()
    records = json.loads(output.out)
    assert [record.get("frames") for record in records] == [3, None, 5]
    assert [record["output"] for record in records] == [
        str(encoded_dir / p) for p in ("a/one.dfc", "a/bad.dfc", "b/two.dfc")
    ]
    assert (records[1]["exit_code"], records[1]["input"]) == (3, str(videos[1]))
    assert f"dfc: error: cannot open {videos[1]}" in output.err
    assert f"2 of 3 done; failed: {videos[1]}" in output.err
    assert sorted(p.name for p in encoded_dir.rglob("*") if p.is_file()) == ["one.dfc", "two.dfc"]

    loads.clear()
    damaged = bytearray((encoded_dir / "a/one.dfc").read_bytes())
    damaged[-150] ^= 1
    (encoded_dir / "a/one.dfc").write_bytes(damaged)
    inputs = [str(encoded_dir / "a/one.dfc"), str(encoded_dir / "b/two.dfc"), str(encoded_dir / "gone.dfc")]
    assert main(["decode", *inputs, "--output-dir", str(decoded_dir), "--format", "matroska", "--conceal"]) == 4
    assert loads == ["mini"]
    output = capsys.readouterr()
    assert "1 of 3 done; failed: " in output.err
    assert f"dfc: error: cannot open {encoded_dir / 'gone.dfc'}: No such file" in output.err  # the name occurs once
    assert (decoded_dir / "two.mkv").exists()


def test_conflicting_output_names_stop_the_batch_at_the_start(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same_stem = videos[0].with_suffix(".mov")
    same_stem.write_bytes(videos[0].read_bytes())
    assert main(["encode", str(videos[0]), str(same_stem), "--output-dir", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "would both become" in line
    assert not (tmp_path / "out").exists()


def test_one_input_prints_one_json_record(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(videos[0]), "-o", str(tmp_path / "a.dfc"), "--preset", "fast", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["frames"] == 3
    assert "[1/1]" not in output.err


def test_one_failed_input_prints_one_json_record(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, name in (("encode", "a.dfc"), ("decode", "a.mkv")):
        assert main([verb, str(videos[1]), "-o", str(tmp_path / name), "--json"]) == 3
        output = capsys.readouterr()
        record = json.loads(output.out)
        assert output.err == f"dfc: error: {record['error']}\n"
        assert record["exit_code"] == 3
        assert record["input"] == str(videos[1])


def test_a_resumed_batch_skips_existing_outputs(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valid_videos = [str(videos[0]), str(videos[2])]
    encoded_dir = tmp_path / "coded"
    options = ["--output-dir", str(encoded_dir), "--fill", "token", "--refine", "0", "--json"]
    assert main(["encode", valid_videos[0], *options]) == 0
    before = (encoded_dir / "one.dfc").stat()  # its time of access may change
    assert main(["encode", *valid_videos, *options]) == 6
    assert "exists: give -y" in capsys.readouterr().err
    assert main(["encode", *valid_videos, *options, "--resume"]) == 0
    output = capsys.readouterr()
    assert f"[1/2] {encoded_dir / 'one.dfc'} exists already: skipped" in output.err
    assert [record.get("passed_over", False) for record in json.loads(output.out)] == [True, False]
    assert (encoded_dir / "one.dfc").stat().st_mtime_ns == before.st_mtime_ns
    assert (encoded_dir / "two.dfc").is_file()
    assert main(["encode", *valid_videos, *options, "--resume", "-y"]) == 0
    assert (encoded_dir / "one.dfc").stat().st_mtime_ns > before.st_mtime_ns


def test_a_batch_with_a_target_size_can_be_resumed(videos: list[Path], tmp_path: Path) -> None:
    common_options = ["--fill", "token", "--refine", "0", "-q"]
    options = ["--output-dir", str(tmp_path / "coded"), *common_options, "--target-size", "6kB", "--resume"]
    assert main(["encode", str(videos[0]), *options]) == 0
    assert main(["encode", str(videos[0]), str(videos[2]), *options]) == 0
    assert (tmp_path / "coded" / "two.dfc").is_file()


def test_an_output_of_the_same_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A.dfc and a.dfc are one file, as on a case-insensitive file system."""
    jobs = [batch.Job(name, str(tmp_path / f"{name}.dfc"), True) for name in ("A", "a", "b")]

    def process(job: batch.Job, tell: batch.Tell) -> None:
        path = Path(job.output)
        assert not path.exists()
        path.write_text(job.source)
        if job.source == "A":
            (tmp_path / "a.dfc").hardlink_to(path)

    with pytest.raises(typer.Exit) as exit_error:
        batch.run(jobs, process)
    assert exit_error.value.exit_code == 2
    assert "a.dfc is " in capsys.readouterr().err
    assert (tmp_path / "A.dfc").read_text() == "A"
    assert (tmp_path / "b.dfc").read_text() == "b"


def test_resume_refuses_finished_files_of_other_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["encode", str(DATA / "flower_96x64.mp4"), "--output-dir", str(tmp_path / "out"), "--preset", "latents"]
    options.append("--resume")
    assert main([*options, "--qp", "24"]) == 0
    assert main([*options, "--qp", "24"]) == 0
    capsys.readouterr()
    assert main([*options, "--qp", "40"]) == 2
    found = capsys.readouterr().err
    assert "flower_96x64.dfc, which was encoded with --budget 8 --qp 24" in found
    assert "-y to encode all again" in found
    assert main([*options, "--qp", "24", "--model", "dfc-170m"]) == 2
    assert "was encoded with --model mini, beside files with --model dfc-170m" in capsys.readouterr().err
    assert main([*options, "--qp", "40", "-y"]) == 0
