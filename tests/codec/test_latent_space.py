"""`LatentSpace`: latents of networks that dfc does not contain, in valid files."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

import dfccodec as dfc
from dfccodec.errors import ModelError, UsageError

GOOD: dict[str, Any] = {"name": "owner/vae", "fingerprint": "ab" * 32, "channels": 16}


@pytest.mark.parametrize(
    ("channels", "patch", "stride"), [(1, 1, 1), (4, 8, 1), (16, 8, 4), (128, 32, 8), (1024, 16, 63)]
)
def test_any_latents_are_written(channels: int, patch: int, stride: int) -> None:
    space = dfc.LatentSpace("owner/vae", bytes(range(32)), channels, patch, stride, {"scaling": 0.5})
    count = min(space.clip_latents, 4)
    latents = np.random.default_rng(0).normal(size=(count, 2 * 3, channels)).astype(np.float32)
    out = io.BytesIO()
    report = dfc.write_latents(
        out, [(latents, space.kept(count))] * 2, size=(3 * patch, 2 * patch), model=space, qp=0, frame_rate=16
    )
    assert (report.kept, report.frames) == (2 * count, 2 * (1 + (count - 1) * stride))
    assert not dfc.verify(out.getvalue()).faults
    with dfc.open(out.getvalue()) as file:
        np.testing.assert_allclose(file[1].dequantized().reshape(latents.shape), latents, atol=0.1)
        assert file[0].kept_indices.tolist() == [k * stride for k in range(count)]
        config = json.loads(file.model.config)
    assert config == {"family": "external", "scaling": 0.5, "temporal_stride": stride}
    with pytest.raises(ModelError, match=r"latents of 'owner/vae' \(fingerprint 0001020304"):
        next(dfc.decode(out.getvalue()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "give the repository, such as owner/repo"),
        ({"fingerprint": "abc"}, "fingerprint 'abc': give a SHA-256"),
        ({"fingerprint": None}, "fingerprint None: give a SHA-256"),
        ({"channels": 0}, "channels 0 is out of range: give 1 to 1024"),
        ({"channels": 2.5}, "channels 2.5 is out of range"),
        ({"patch": 12}, "patch 12 is not possible: give one of 1, 2, 4"),
        ({"temporal_stride": 64}, "temporal_stride 64 is out of range: give 1 to 63"),
        ({"config": {"a": float("nan")}}, "config of owner/vae is no JSON"),
        ({"config": {"a": b""}}, "config of owner/vae is no JSON"),
    ],
)
def test_bad_spaces(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        dfc.LatentSpace(**(GOOD | change))


def test_masks_of_clips() -> None:
    space = dfc.LatentSpace(**GOOD, temporal_stride=4)
    assert space.clip_latents == 16
    assert space.kept(3).nonzero()[0].tolist() == [0, 4, 8]
    assert space.kept(3, 7).nonzero()[0].tolist() == [0, 4, 6]
    assert len(space.kept(16)) == 61
    for latents, frames in ((17, None), (0, None), (3, 5), (3, 70)):
        with pytest.raises(UsageError, match="a clip of"):
            space.kept(latents, frames)


def test_impossible_codings_are_refused() -> None:
    space = dfc.LatentSpace(**GOOD)
    for coding, says in (("inter", "the latents have 16"), ("predicted", "needs the pictures"), ("x", "unknown")):
        with pytest.raises(UsageError, match=says):
            dfc.write_latents(io.BytesIO(), [], size=(8, 8), model=space, coding=coding)
    with pytest.raises(UsageError, match=r"for 1 kept frames of 16×8 give \(1, 2, 16\)"):
        dfc.write_latents(io.BytesIO(), [(np.zeros((1, 3, 16)), np.ones(1, bool))], size=(16, 8), model=space)
