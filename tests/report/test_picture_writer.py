"""Pictures written by the suffix of their path."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dfccodec.errors import UsageError
from dfccodec.report.picture_writer import PictureWriter

SIGNATURES = {"a.png": b"\x89PNG", "a.JPG": b"\xff\xd8\xff", "a.bmp": b"BM", "a.webp": b"RIFF"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_suffix_of_a_picture_chooses_its_codec(name: str, tmp_path: Path) -> None:
    with PictureWriter(tmp_path / name, (16, 16), Fraction(25)) as writer:
        writer.write(np.full((16, 16, 3), 200, np.uint8))
    assert (tmp_path / name).read_bytes().startswith(SIGNATURES[name])


def test_one_picture_is_not_numbered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is only one"):
        PictureWriter(tmp_path / "a%03d.png", (16, 16), Fraction(25))
    assert not list(tmp_path.iterdir())


def test_packets_of_m2ts_have_a_time_before_them(tmp_path: Path) -> None:
    for name, size in (("a.ts", 188), ("a.m2ts", 192)):
        with PictureWriter(tmp_path / name, (16, 16), Fraction(25)) as writer:
            for _ in range(3):
                writer.write(np.zeros((16, 16, 3), np.uint8))
        data = (tmp_path / name).read_bytes()
        assert set(data[size - 188 :: size]) == {0x47}
