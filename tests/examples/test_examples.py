"""The examples and the Python code of the README run unchanged."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import DATA

import dfccodec as dfc

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(DATA / "flower_96x64.mp4", tmp_path / "in.mp4")
    dfc.encode(tmp_path / "in.mp4", tmp_path / "out.dfc", refine=0, dtype="float32", coding="inter")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "argument", "says"),
    [
        ("encode_decode.py", "in.mp4", r"70 frames, 18 kept, .*\nPSNR (2[5-9]|3\d)"),
        ("read_latents.py", "out.dfc", r"96×64, 70 frames, 18 kept, model mini\nfrom frame 0: .*\(8, 1, 4, 6, 96\)"),
        ("latent_dataset.py", ".", r"3 windows in 3 clips .*\n\(2, 8, 24, 96\) \[\["),
        ("latents_to_video.py", "out.dfc", r"70 frames from latents of 18, .*\n70 pictures of \(64, 96, 3\)"),
    ],
)
def test_example(
    name: str,
    argument: str,
    says: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [name, argument])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert re.search(says, capsys.readouterr().out)


def test_the_dataset_rejects_unusable_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = str(ROOT / "examples" / "latent_dataset.py")
    (folder / "empty").mkdir()
    monkeypatch.setattr("sys.argv", [example, "empty"])
    with pytest.raises(SystemExit, match=r"no \.dfc file in empty"):
        runpy.run_path(example, run_name="__main__")
    dfc.encode([np.zeros((32, 32, 3), np.uint8)], folder / "empty" / "other.dfc", refine=0, fill="token")
    monkeypatch.setattr("sys.argv", [example, "."])
    with pytest.raises(SystemExit, match=r"out\.dfc has 4×6 tokens, .*other\.dfc has 2×2"):
        runpy.run_path(example, run_name="__main__")


def test_a_generator_is_trained_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["train_on_latents.py", ".", "--minutes", "0.01"])
        runpy.run_path(str(ROOT / "examples" / "train_on_latents.py"), run_name="__main__")
    first, second = re.findall(r"^(\d+) steps, loss .* in generator\.pt$", capsys.readouterr().out, re.M)
    assert int(second) > int(first) > 0


def test_python_of_the_readme(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
