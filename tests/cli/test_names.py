"""Names that say something else than the file holds, and options that are called something else here."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import run
from support import encode_source, moving, write_video

from dfccodec.cli.names import advice, check_kind, protect_file_names
from dfccodec.codec import api
from dfccodec.errors import UsageError

QUICK = ["--fill", "token", "--refine", "0", "--budget", "1"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("in") / "in.mp4", moving(3))


@pytest.mark.parametrize("name", ["small.mp4", "a.MKV", "a.y4m", "a.gif", "a.wav"])
def test_a_dfc_file_under_another_name_is_refused(name: str, video: Path, tmp_path: Path) -> None:
    done = run("encode", video, "-o", tmp_path / name, *QUICK)
    assert done.returncode == 2
    better = (tmp_path / name).with_suffix(".dfc")
    assert f"name it {better}, or give -f to insist" in done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_force_insists(video: Path, tmp_path: Path) -> None:
    assert run("encode", video, "-o", tmp_path / "a.mp4", "-f", *QUICK).returncode == 0
    assert (tmp_path / "a.mp4").read_bytes()[1:4] == b"DFC"


@pytest.mark.parametrize("verb", ["trim", "recover"])
def test_the_verbs_that_write_dfc_files_refuse_it_too(verb: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(encode_source(video))
    more = ["--budget", "1"] if verb == "trim" else []
    assert b"give -f to insist" in run(verb, tmp_path / "a.dfc", "-o", tmp_path / "b.mov", *more).stderr


@pytest.mark.parametrize("more", [[], ["--format", "mkv"]])
def test_a_video_under_the_name_of_a_dfc_file_is_refused(more: list[str], video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(encode_source(video))
    done = run("decode", tmp_path / "a.dfc", "-o", tmp_path / "b.dfc", *more)
    assert (done.returncode, b"b.mp4" in done.stderr) == (2, True)


def test_the_library_refuses_it_as_well(video: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.mp4 would be a \.dfc file.*name it .*a\.dfc, or give an open file"):
        api.encode(video, tmp_path / "a.mp4")


def test_other_names_are_anybodys_own() -> None:
    for name in ("a.dfc", "a", "a.bin", "a.latents", ".mp4"):
        check_kind(name, ".dfc")
    for name in ("a.mp4", "a", "frames/%d.png"):
        check_kind(name, "")


KNOWN = ["--qp", "--quiet", "--refine", "--size", "--budget", "--cfr"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("--crf", "the option is called --qp"),
        ("-crf", "the option is called --qp"),
        ("--quality", "the option is called --qp"),
        ("--fps", "the option is called --cfr"),
        ("--frames", "the option is called --budget"),
        ("--sizes", "did you mean --size?"),
        ("--xyzzy", ""),
        ("-x", ""),
    ],
)
def test_options_of_other_encoders_are_known(typed: str, says: str) -> None:
    assert advice(typed, KNOWN).startswith(says)


def test_advice_is_given_on_the_command_line(video: Path, tmp_path: Path) -> None:
    done = run("encode", video, "-o", tmp_path / "a.dfc", "--crf", "23")
    assert done.returncode == 2
    assert "No such option: --crf; the option is called --qp here" in " ".join(done.stderr.decode().split())


def test_a_batch_takes_a_file_whose_name_begins_with_a_dash(video: Path, tmp_path: Path) -> None:
    for name in ("-weird.mp4", "plain.mp4"):
        (tmp_path / name).write_bytes(video.read_bytes())
    done = run("encode", "-weird.mp4", "plain.mp4", "--output-dir", "out", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["-weird.dfc", "plain.dfc"]


def test_a_dash_that_is_no_file_is_told_of(tmp_path: Path) -> None:
    done = run("inspect", "-nofile", cwd=tmp_path)
    assert "comes after --" in " ".join(done.stderr.decode().split())


def test_what_stands_behind_two_dashes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-a.mp4").touch()
    assert protect_file_names(["encode", "-a.mp4", "-y", "--", "-a.mp4"]) == [
        "encode",
        "./-a.mp4",
        "-y",
        "--",
        "-a.mp4",
    ]
