"""A preset gives the same bytes as its options written out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from support import moving_square
from typer.testing import CliRunner

import dfccodec as dfc
from dfccodec.cli.main import build
from dfccodec.codec.presets import PRESETS, options_of
from dfccodec.codec.settings import make_settings
from dfccodec.errors import UsageError

VIDEO = moving_square(8)


def encode_bytes(video: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.encode(video, out, budget="50%", **options)
    return out.getvalue()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_the_same_bytes_as_its_options(name: str) -> None:
    assert encode_bytes(VIDEO, preset=name) == encode_bytes(VIDEO, **PRESETS[name])


def test_explicit_options_override_the_preset() -> None:
    assert make_settings(preset="archive", fill="token", frame_selection="dp", refine=0) == make_settings(
        fill="token", frame_selection="dp", refine=0
    )
    assert make_settings(preset="archive").refine == 8
    assert make_settings(preset="balanced") == make_settings()


def test_unknown_presets_are_reported() -> None:
    with pytest.raises(
        UsageError, match="preset 'slow' is unknown; give one of: fast, balanced, best, archive, latents"
    ):
        make_settings(preset="slow")


def test_help_lists_all_presets() -> None:
    output = CliRunner().invoke(build(["encode"]), ["encode", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    text = " ".join(output.replace("│", " ").split())
    for name in PRESETS:
        assert f"{name} is {options_of(name)}" in text
