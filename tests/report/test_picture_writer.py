"""Pictures written by the suffix of their path."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dfccodec.report.picture_writer import PictureWriter

SIGNATURES = {"a.png": b"\x89PNG", "a.JPG": b"\xff\xd8\xff", "a.bmp": b"BM", "a.webp": b"RIFF"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_suffix_of_a_picture_chooses_its_codec(name: str, tmp_path: Path) -> None:
    with PictureWriter(tmp_path / name, (16, 16), Fraction(25)) as writer:
        writer.write(np.full((16, 16, 3), 200, np.uint8))
    assert (tmp_path / name).read_bytes().startswith(SIGNATURES[name])
