"""`dfc train`: resuming, messages and errors."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import DATA

from dfccodec.cli.main import main
from dfccodec.models import registry
from dfccodec.models.weights import read_weights
from dfccodec.training.data.shards import pack_footage
from dfccodec.training.run import _shorten_evaluations, default_name
from dfccodec.training.tasks.mini import MiniTask
from dfccodec.training.trainer import Trainer

RECIPE = """
task = "mini"
[options.config]
width = 16
width8 = 16
width4 = 16
encoder_blocks = [0, 0]
decoder_blocks = [1, 0, 0]
heads = 2
[[stage]]
name = "time"
share = 1.0
frames = 4
crop = 32
batch = 1
learning_rate = 1e-3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    (folder / "videos").mkdir()
    (folder / "videos" / "flower_00.mp4").write_bytes((DATA / "flower_96x64.mp4").read_bytes())
    pack_footage(folder / "videos", folder / "footage", side=64, frames=16)
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


def arguments(folder: Path, out: str, *more: str) -> list[str]:
    base = ["train", "--recipe", str(folder / "tiny.toml"), "--data", str(folder / "footage")]
    base += ["--out", str(folder / out)]
    return [*base, "--threads", "1", "--device", "cpu", "--dtype", "float32", *more]


def test_a_stopped_run_can_be_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "run", "--steps", "4", "--stop-after", "2")) == 0
    assert "continue with --resume" in capsys.readouterr().err
    assert main(arguments(folder, "run", "--steps", "4")) == 6  # an existing run is not overwritten
    last = str(folder / "run" / "last.pt")
    assert f"--resume {last}" in capsys.readouterr().err
    assert main(arguments(folder, "run", "--steps", "4", "--resume", last)) == 0
    assert main(arguments(folder, "second", "--steps", "1", "--resume", last)) == 0
    # A second run in another folder is not overwritten either.
    assert main(arguments(folder, "second", "--steps", "1", "--resume", last)) == 6
    err = capsys.readouterr().err
    assert "score" in err
    assert "model.safetensors" in err
    assert main(["models", "info", str(folder / "run" / "model.safetensors")]) == 0


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        (["--steps", "1", "--minutes", "1"], 2, "either --minutes or --steps"),
        (["--steps", "1", "--recipe", "maxi"], 2, "'maxi' is unknown"),
        (["--steps", "1", "--stage", "space"], 2, "no stage 'space'"),
        (["--steps", "1", "--data", "nowhere"], 3, "no folder nowhere"),
        (["--steps", "1", "--start", "dfc-170m"], 5, "dfc models pull"),
        (["--steps", "1", "--start", "mini", "--resume", "last.pt"], 2, "give one of them"),
    ],
)
def test_invalid_options_give_one_line_errors(
    more: list[str], code: int, word: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "other", *more)) == code
    err = capsys.readouterr().err
    assert word in err
    assert len(err.strip().splitlines()) <= 2  # a note about the training data may come first
    assert not (folder / "other" / "last.pt").exists()


def test_weights_are_named_and_minutes_include_evaluations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    assert main(arguments(folder, "own", "--minutes", "0.05")) == 0
    assert time.monotonic() - begin < 60  # 3 s, the work that one step takes at least, and a busy machine
    err = capsys.readouterr().err
    assert "evaluating the weights at its start" in err
    assert stored_name(folder / "own") == "own"
    assert main(arguments(folder, "mini", "--steps", "1", "--name", "flowers")) == 0
    assert stored_name(folder / "mini") == "flowers"
    assert default_name(folder / "mini") == "mini-tuned"
    assert main(arguments(folder, "other", "--steps", "1", "--name", "mini")) == 2
    assert "--name mini is the name of a model of dfc" in capsys.readouterr().err


def test_short_runs_evaluate_on_fewer_clips() -> None:
    notes: list[dict[str, object]] = []
    for minutes, clips in ((0.05, 2), (2, 2), (10, 5), (20, 10), (240, 10)):
        task = SimpleNamespace(held_out=list(range(10)))
        _shorten_evaluations(task, minutes, notes.append)  # type: ignore[arg-type]
        assert len(task.held_out) == clips
    assert notes[-1] == {"note": "a short run: evaluations on 5 of 10 clips"}
    assert len(notes) == 3


def stored_name(run: Path) -> str | None:
    return read_weights(run / "model.safetensors").name


def test_weights_that_did_not_improve_are_said_to_be_the_first_ones(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((5.0, 4.0))
    monkeypatch.setattr(MiniTask, "evaluate", lambda *_: {"score": next(scores)})
    assert main(arguments(folder, "worse", "--steps", "2")) == 0
    assert "no evaluation was better than the weights at the start" in capsys.readouterr().err


def test_an_interrupted_run_has_weights_and_says_how_to_continue(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", interrupt)
    assert main(arguments(folder, "broken", "--steps", "2")) == 130
    err = capsys.readouterr().err
    assert f"stopped; continue with --resume {folder / 'broken' / 'last.pt'}; weights so far in " in err
    assert stored_name(folder / "broken") == "broken"


def test_a_frozen_encoder_makes_a_decoder_for_files_that_exist(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((1.0, 2.0, 3.0, 4.0))
    monkeypatch.setattr(MiniTask, "evaluate", lambda *_: {"score": next(scores)})
    (folder / "decoder.toml").write_text(RECIPE + 'frozen = ["encoder", "linear"]\n')
    assert main(arguments(folder, "first", "--steps", "1")) == 0
    first, second = (folder / name / "model.safetensors" for name in ("first", "second_decoder"))
    more = ("--recipe", str(folder / "decoder.toml"), "--start", str(first), "--steps", "8")
    assert main(arguments(folder, "second_decoder", *more)) == 0
    old, new = (registry.open_checked(registry.resolve(str(path))).info for path in (first, second))
    assert old.fingerprint != new.fingerprint
    assert old.latent_space == new.latent_space
    assert new.latent_space is not None

    video, coded, back = DATA / "flower_96x64.mp4", str(folder / "x.dfc"), str(folder / "x.mp4")
    assert main(["encode", str(video), "-o", coded, "--model", str(first), "--preset", "latents"]) == 0
    capsys.readouterr()
    assert main(["decode", coded, "-o", back, "--model", str(second)]) == 0
    note = "dfc: note: the file was made with model 'first' ("
    err = capsys.readouterr().err
    assert note in err
    assert "second_decoder is another decoder of its latent space" in err
    assert main(["decode", coded, "-o", back, "-y", "--model", "mini"]) == 5
    assert "the file needs model 'first'" in capsys.readouterr().err
    assert main(["inspect", coded]) == 0
    assert f"latent space {new.latent_space.hex()[:16]}…" in capsys.readouterr().out
