"""The benchmarks time functions of the package by name; these tests check that the names exist."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest
from support import flat_model, moving_square, write_video

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder

pytest.importorskip("resource", reason="benchmarks/speed/speed.py asks POSIX for peak memory")
from benchmarks.speed import pipeline, speed


@pytest.mark.parametrize("is_ahead", [False, True])
def test_pipeline_sees_every_stage(is_ahead: bool, tmp_path: Path) -> None:
    video, file = write_video(tmp_path / "in.mkv", moving_square(40)), tmp_path / "a.dfc"
    clock = pipeline.encode(video, file, flat_model(), "motion", is_ahead)
    stages = {"read", "network", "motion", "entropy", "write"} | ({"waits"} if is_ahead else set())
    assert {stage for stage, _, _ in clock.spans} == stages
    clock = pipeline.decode(file, tmp_path / "a.mkv", flat_model())
    assert {stage for stage, _, _ in clock.spans} == {"entropy", "network", "motion", "write"}
    assert all(a[2] <= b[1] for a, b in pairwise(sorted(clock.spans, key=lambda span: span[1:])))  # one thread


def test_speed_sees_the_network_in_both_directions() -> None:
    flat, out = flat_model(), io.BytesIO()
    loaded = speed.Timed(flat.model, flat.identity, flat.device, flat.dtype)
    encode = speed.timed(lambda: dfc.encode(moving_square(4), out, model=loaded, budget="2"))
    decode = speed.timed(lambda: list(Decoder(io.BytesIO(out.getvalue()), lambda _: loaded)))
    assert all(0 < found["network"] < found["file"] for found in (encode, decode))
