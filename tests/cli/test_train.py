"""`dfc train`: resuming, messages and errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import DATA

from dfccodec.cli.main import main
from dfccodec.training.data.shards import pack_footage

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
