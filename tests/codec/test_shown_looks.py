"""Decoding with a look."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from support import decode_frames, encode_bytes, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.look import PictureLook, load_look
from dfccodec.codec.look_strength import parse_look, strength_of, suggested_look
from dfccodec.codec.settings import make_settings
from dfccodec.errors import UsageError
from dfccodec.models.look import Look, LookConfig


@pytest.fixture(scope="module")
def data() -> bytes:
    return encode_bytes(moving_square(5), mini(), budget="40%", qp=34)


def mini() -> LoadedModel:
    return dfc.load_model("mini", dtype="float32")


def show(data: bytes, look: str | float | PictureLook | None) -> np.ndarray:
    found = dfc.decode(io.BytesIO(data), model=mini(), look=look, dtype="float32")
    return np.stack([picture.rgb for picture in found]).astype(int)


def test_faithful_is_the_default(data: bytes) -> None:
    plain = decode_frames(data, mini())
    for look in (None, "faithful", 0, "0.0"):
        assert np.array_equal(show(data, look), plain)


def test_a_strength_between_is_a_part_of_the_change(data: bytes) -> None:
    plain, half, sharp = (show(data, look) for look in (None, "0.5", "sharp"))
    assert np.abs(sharp - plain).mean() > 0.2
    inside = (sharp > 0) & (sharp < 255)
    assert np.abs(half - (plain + sharp) / 2)[inside].max() <= 1


@pytest.mark.parametrize("look", ["vivid", "1.5", -0.1, "nan", True, float("inf")])
def test_unknown_looks_are_refused(look: str | float) -> None:
    with pytest.raises(UsageError, match="give faithful, sharp, or a number from 0 to 1"):
        parse_look(look)
    with pytest.raises(UsageError, match="between them, or file for what the file suggests"):
        strength_of(look)


def test_bands_of_rows_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    look = load_look("sharp", dtype="float32")
    assert look is not None
    picture = np.random.default_rng(1).integers(0, 256, (201, 12, 3)).astype(np.uint8)
    whole = look(picture, 30)
    monkeypatch.setattr("dfccodec.codec.look.MAX_PIXELS", 12 * 40)
    assert np.abs(look(picture, 30).astype(int) - whole).max() <= 1


def test_a_look_of_other_weights(data: bytes) -> None:
    network = Look(LookConfig(width=8, depth=1)).eval()
    torch.nn.init.constant_(network.head.bias, 0.1)
    darker = PictureLook(network, 1.0, torch.device("cpu"), torch.float32)
    plain, shown = show(data, None), show(data, darker)
    inside = plain < 220
    assert np.abs(shown - plain - 25.5)[inside].max() <= 1


def test_the_command_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(data)
    for look in ("faithful", "sharp"):
        result = run("decode", tmp_path / "a.dfc", "-o", tmp_path / f"{look}.y4m", "--look", look)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "faithful.y4m").read_bytes() != (tmp_path / "sharp.y4m").read_bytes()
    result = run("decode", tmp_path / "a.dfc", "-o", tmp_path / "b.y4m", "--look", "vivid")
    assert result.returncode == 2
    assert b"look 'vivid' is not known" in result.stderr
    assert not (tmp_path / "b.y4m").exists()


def test_a_file_suggests_a_look_and_the_reader_decides(data: bytes, tmp_path: Path) -> None:
    suggesting = encode_bytes(moving_square(5), mini(), budget="40%", qp=34, look="sharp")
    with dfc.open(suggesting) as file:
        assert ("look", "sharp") in file.summary.preamble.tool
    assert np.array_equal(show(suggesting, None), show(data, None))
    assert np.array_equal(show(suggesting, "file"), show(data, "sharp"))
    assert np.array_equal(show(data, "file"), show(data, None))  # no suggestion
    (tmp_path / "a.dfc").write_bytes(suggesting)
    for look in ("file", "sharp", "faithful"):
        result = run("decode", tmp_path / "a.dfc", "-o", tmp_path / f"{look}.y4m", "--look", look)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "file.y4m").read_bytes() == (tmp_path / "sharp.y4m").read_bytes()
    assert (tmp_path / "file.y4m").read_bytes() != (tmp_path / "faithful.y4m").read_bytes()


def test_suggestions_that_are_not_known_are_none() -> None:
    assert [suggested_look([("look", text)]) for text in ("vivid", "2", "nan", "", "0.25", "sharp")] == [
        0,
        0,
        0,
        0,
        0.25,
        1,
    ]
    assert suggested_look([("encoder", "dfc")]) == 0


@pytest.mark.parametrize(("look", "words"), [("sharp", " --look sharp"), (0.25, " --look 0.25"), ("faithful", "")])
def test_the_settings_of_a_file_name_its_look(look: str | float, words: str) -> None:
    described = make_settings(look=look).describe()
    assert described.endswith(words)
    assert ("--look" in described) == bool(words)
