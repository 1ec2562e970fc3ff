"""Metrics of looks.py: flicker independent of sharpness, and bits compared with x264."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import moving_square

from benchmarks.clips import FRAMES, RESULTS
from dfccodec.errors import DfcError
from dfccodec.metrics.lpips import load_lpips

pytest.importorskip("PIL")
looks = pytest.importorskip("benchmarks.quality.looks", reason="benchmarks need more packages")


def test_flicker_measures_changes_between_frames() -> None:
    try:
        networks = {"lpips": load_lpips(), "vgg": load_lpips(net="vgg")}
    except DfcError as error:
        pytest.skip(str(error))
    frames = moving_square(FRAMES, height=48, width=64)
    grain = np.random.default_rng(1).integers(-9, 10, (2, *frames.shape[1:]))
    still, changing = (
        np.clip(frames.astype(int) + grain[np.arange(FRAMES) % kinds], 0, 255).astype(np.uint8) for kinds in (1, 2)
    )
    measure = looks.Yardstick(frames, networks)
    same, steady, restless = (measure(video) for video in (frames, still, changing))
    assert same["lpips"] == same["vgg"] == same["flicker"] == 0
    assert steady["flicker"] < 0.1 * restless["flicker"]
    assert steady["lpips"] > 0.3 * restless["lpips"]
    assert steady["vgg"] > 0.3 * restless["vgg"]


def test_half_the_bytes_of_x264_give_a_bd_rate_of_minus_50_percent() -> None:
    anchors = json.loads((RESULTS / "rd_anchors.json").read_text())["x264"]["rows"]
    clips = {
        clip: {f"8@{point}": {"bytes": row["bytes"] / 2, "lpips": row["lpips"]} for point, row in rows.items()}
        for clip, rows in list(anchors.items())[:3]
    }
    found = looks.against_x264(clips)
    assert found["mean_over_clips"] == found["of_mean_curves"] == -50
    assert list(found["clips"].values()) == [-50] * 3
    first = next(iter(clips))
    alone = {first: {"8@24": clips[first]["8@24"]}}
    assert looks.against_x264(alone)["of_mean_curves"] is None
