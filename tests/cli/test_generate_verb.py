"""`dfc generate` with `mini-dit`: outputs, grids, given files, and one line for bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command import run
from support import encode_source, moving_square, random_latent_dit

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.media.input.source import VideoSource
from dfccodec.models.weights import save_safetensors


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    dit = random_latent_dit()
    save_safetensors(path, dict(dit.state_dict()), dit.config_json, "tiny")
    return path


def generate(weights: Path, *options: object) -> Any:
    return run("generate", "--generator", weights, "--latent-frames", 3, "--steps", 1, *options)


def test_clips_and_grids_on_the_command_line(weights: Path, tmp_path: Path) -> None:
    result = generate(
        weights, "--size", "48x32", "--count", 3, "-o", tmp_path / "a.dfc", "--grid", tmp_path / "grid.png", "--json"
    )
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a-1.dfc", "a-2.dfc", "a-3.dfc", "grid.png"}
    with VideoSource(tmp_path / "grid.png") as grid:
        assert next(iter(grid)).rgb.shape == (2 * 32 + 4, 2 * 48 + 4, 3)
    single = generate(weights, "--size", "48x32", "--seed", 257, "-o", tmp_path / "b.dfc")
    assert single.returncode == 0, single.stderr
    assert (tmp_path / "b.dfc").read_bytes() == (tmp_path / "a-2.dfc").read_bytes()


def test_a_video_is_decoded_directly(weights: Path, tmp_path: Path) -> None:
    result = generate(weights, "--size", "48x32", "-o", tmp_path / "a.mp4", "--grid", tmp_path / "g.mp4", "--count", 1)
    assert result.returncode == 0, result.stderr
    assert result.stderr.rstrip().endswith(b" kept")  # no size: no .dfc file is written
    for name in ("a.mp4", "g.mp4"):
        with VideoSource(tmp_path / name) as video:
            assert sum(1 for _ in video) >= 3


def test_continue_and_between_on_the_command_line(weights: Path, mini: LoadedModel, tmp_path: Path) -> None:
    given = tmp_path / "in.dfc"
    given.write_bytes(encode_source(moving_square(12), model=mini, budget="2", refine=0))
    for option in ("--continue", "--between"):
        result = generate(weights, option, given, "-o", tmp_path / f"{option}.dfc")
        assert result.returncode == 0, result.stderr
    assert dfc.open(tmp_path / "--between.dfc").frames == 12 < dfc.open(tmp_path / "--continue.dfc").frames


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "there is no output: name a file with -o"),
        (["-o", "a.dfc", "--size", "480"], 2, "--size 480 is no width and height: give both"),
        (["-o", "a.dfc", "--size", "9x9x9"], 2, "size '9x9x9' is not understood"),
        (["-o", "a.dfc", "--method", "rk4"], 2, "--method 'rk4' is unknown: give one of euler, heun"),
        (["-o", "a.dfc", "--fill", "motion"], 2, "--fill motion needs the frames themselves"),
        (["-o", "a.dfc", "--fill", "blend"], 2, "--fill blend needs the frames themselves"),
        (["-o", "a.dfc", "--continue", "x.dfc", "--between", "x.dfc"], 2, "exclude each other"),
        (["-o", "a.dfc", "--continue", "x.dfc", "--size", "9x9"], 2, "leave out --size"),
        (["-o", "a.dfc", "--continue", "missing.dfc"], 3, "missing.dfc"),
        (["-o", "-", "--count", "2"], 2, "standard output takes one clip, not 2"),
        (["--grid", "grid.txt"], 2, "ends in '.txt'"),
        (["--grid", "grid%d.png"], 2, "there is only one: name it without %"),
        (["-o", "a.png"], 2, "name a video instead of a.png"),
        (["-o", "a.mp4", "--grid", "a.mp4"], 2, "-o and --grid both name a.mp4"),
        (["-o", "a.dfc", "--generator", "dfc-dit-504m", "--grid", "a.png"], 2, "--grid needs the generator mini-dit"),
        (["-o", "a.dfc", "--generator", "mini"], 5, "is a codec"),
    ],
)
def test_bad_input_gives_one_line(
    options: list[str], code: int, words: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = options if "--generator" in options else ["--generator", str(weights), *options]
    result = run("generate", *chosen)
    assert (result.returncode, result.stderr.count(b"\n")) == (code, 1), result.stderr
    assert words in result.stderr.decode()
    assert not list(tmp_path.iterdir())
