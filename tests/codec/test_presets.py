"""Presets are synonyms: the same bytes as their options written out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from support import moving
from typer.testing import CliRunner

import dfccodec as dfc
from dfccodec.cli.main import build
from dfccodec.codec.presets import PRESETS, options_of
from dfccodec.codec.settings import make_settings
from dfccodec.errors import UsageError

VIDEO = moving(8)


def encoded(video: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.encode(video, out, budget="50%", **options)
    return out.getvalue()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_options_byte_for_byte(name: str) -> None:
    assert encoded(VIDEO, preset=name) == encoded(VIDEO, **PRESETS[name])


def test_an_option_beside_a_preset_wins() -> None:
    assert make_settings(preset="archive", fill="token", frame_selection="dp", refine=0) == make_settings(
        fill="token", frame_selection="dp", refine=0
    )
    assert make_settings(preset="archive").frame_selection == "greedy"
    assert make_settings(preset="balanced") == make_settings()


def test_unknown_presets_are_named() -> None:
    with pytest.raises(UsageError, match="preset 'slow' is unknown; give one of: fast, balanced, best, archive"):
        make_settings(preset="slow")


def test_help_has_them_all() -> None:
    shown = CliRunner().invoke(build(["encode"]), ["encode", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    text = " ".join(shown.replace("│", " ").split())
    for name in PRESETS:
        assert f"{name} is {options_of(name)}" in text
