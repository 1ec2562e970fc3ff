"""Lengths that a container states."""

from __future__ import annotations

import io

import pytest

from dfccodec.media.input.completeness import count_missing_bytes


@pytest.mark.parametrize("size", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_box_of_impossible_size(size: int) -> None:
    data = b"\0\0\0\x20ftyp" + bytes(24) + b"\0\0\0\1free" + size.to_bytes(8, "big") + bytes(50)
    assert count_missing_bytes(io.BytesIO(data)) == 32 + size - len(data)
