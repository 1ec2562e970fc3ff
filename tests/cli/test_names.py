"""Output names with a misleading extension, and options that have another name in dfc."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import run
from support import encode_source, moving_square, write_video

from dfccodec.cli.names import advice, check_kind, protect_file_names
from dfccodec.codec import api
from dfccodec.errors import UsageError

QUICK = ["--fill", "token", "--refine", "0", "--budget", "1"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("in") / "in.mp4", moving_square(3))


@pytest.mark.parametrize("name", ["small.mp4", "a.MKV", "a.y4m", "a.gif", "a.wav"])
def test_encode_rejects_extensions_of_other_formats(name: str, video: Path, tmp_path: Path) -> None:
    result = run("encode", video, "-o", tmp_path / name, *QUICK)
    assert result.returncode == 2
    suggested = (tmp_path / name).with_suffix(".dfc")
    assert f"name it {suggested}, or give -f to insist" in result.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_force_allows_any_extension(video: Path, tmp_path: Path) -> None:
    assert run("encode", video, "-o", tmp_path / "a.mp4", "-f", *QUICK).returncode == 0
    assert (tmp_path / "a.mp4").read_bytes()[1:4] == b"DFC"


@pytest.mark.parametrize("verb", ["trim", "recover"])
def test_trim_and_recover_reject_extensions_of_other_formats(verb: str, video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(encode_source(video))
    options = ["--budget", "1"] if verb == "trim" else []
    assert b"give -f to insist" in run(verb, tmp_path / "a.dfc", "-o", tmp_path / "b.mov", *options).stderr


@pytest.mark.parametrize("options", [[], ["--format", "mkv"]])
def test_decode_rejects_the_extension_dfc(options: list[str], video: Path, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(encode_source(video))
    result = run("decode", tmp_path / "a.dfc", "-o", tmp_path / "b.dfc", *options)
    assert (result.returncode, b"b.mp4" in result.stderr) == (2, True)


def test_the_library_rejects_extensions_of_other_formats(video: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.mp4 would be a \.dfc file.*name it .*a\.dfc, or give an open file"):
        api.encode(video, tmp_path / "a.mp4")


def test_unknown_extensions_are_accepted() -> None:
    for name in ("a.dfc", "a", "a.bin", "a.latents", ".mp4"):
        check_kind(name, ".dfc")
    for name in ("a.mp4", "a", "frames/%d.png"):
        check_kind(name, "")


KNOWN = ["--qp", "--quiet", "--refine", "--size", "--budget", "--cfr"]


@pytest.mark.parametrize(
    ("typed", "message"),
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
def test_options_of_other_encoders_give_advice(typed: str, message: str) -> None:
    assert advice(typed, KNOWN).startswith(message)


def test_advice_is_printed_for_unknown_options(video: Path, tmp_path: Path) -> None:
    result = run("encode", video, "-o", tmp_path / "a.dfc", "--crf", "23")
    assert result.returncode == 2
    assert "No such option: --crf; the option is called --qp here" in " ".join(result.stderr.decode().split())


def test_a_batch_accepts_file_names_that_begin_with_a_dash(video: Path, tmp_path: Path) -> None:
    for name in ("-weird.mp4", "plain.mp4"):
        (tmp_path / name).write_bytes(video.read_bytes())
    result = run("encode", "-weird.mp4", "plain.mp4", "--output-dir", "out", *QUICK, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["-weird.dfc", "plain.dfc"]


def test_a_missing_file_with_a_leading_dash_gives_advice(tmp_path: Path) -> None:
    result = run("inspect", "-nofile", cwd=tmp_path)
    assert "comes after --" in " ".join(result.stderr.decode().split())


def test_arguments_after_the_double_dash_are_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-a.mp4").touch()
    assert protect_file_names(["encode", "-a.mp4", "-y", "--", "-a.mp4"]) == [
        "encode",
        "./-a.mp4",
        "-y",
        "--",
        "-a.mp4",
    ]
