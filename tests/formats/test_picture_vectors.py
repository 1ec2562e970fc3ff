"""What dfccodec computes from the numbers of `formats/vectors/pictures/` (SPEC.md 6.5, 6.6, 7.8.2)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from vectors import VECTORS

from dfccodec.codec import fill
from dfccodec.codec.clip.tiles import join
from dfccodec.codec.motion.blend import ReferenceBlender
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.obmc import Composer, blend_weight, compensate_frame, pad_edges
from dfccodec.container.records import Fill, Header, MotionFilter, Ratio

PICTURES = VECTORS / "pictures"


def vector(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PICTURES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def to_bytes(samples: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(samples, 0, 1) * 255 + 0.5).astype(int)


@pytest.mark.parametrize("policy", [Fill.HOLD, Fill.LERP])
def test_slots(policy: Fill) -> None:
    v = vector("fill")
    latents = np.array(v["latents"], np.float32)[:, None]
    slots, known = fill.policy(policy).fill(latents, np.isin(np.arange(v["frames"]), v["kept"]), b"")
    assert known.all()
    np.testing.assert_allclose(slots[:, 0], v["slots"][policy.name.lower()], atol=1e-4)


def test_tiles() -> None:
    v = vector("tiles")
    header = Header(**v["header"], channels=1, rate=Ratio(25, 1), time_base=Ratio(1, 25))
    count, side = len(header.tile_starts(header.height)) * len(header.tile_starts(header.width)), header.tile
    samples = np.array(v["samples"], np.float32).reshape(count, 1, side, side, 3) / 256
    picture = to_bytes(join(list(samples), header)[0]).ravel()
    assert np.abs(picture - v["picture"]).max() <= 1


FILTERS = {
    "six-tap": MotionFilter.SIX_TAP,
    "eight-tap": MotionFilter.EIGHT_TAP,
    "quarter": MotionFilter.QUARTER,
}


def test_direct_motion(without_kernels: bool) -> None:
    v = vector("direct")
    samples = np.array(v["samples"], np.float32).reshape(v["frames"], v["height"], v["width"], 3).clip(0, 256) / 256
    references = References.of(np.isin(np.arange(v["frames"]), v["kept"]))
    blocks = np.array(v["decisions"], np.int16).reshape(-1, 2, 3, 5)
    made = []
    for number, (frame, *ends) in enumerate(zip(references.dropped, references.past, references.future, strict=True)):
        sides = [pad_edges(samples[end]) if end >= 0 else None for end in ends]
        made.append(
            compensate_frame(samples[0], *sides, blocks[number], MotionFilter.QUARTER, blend_weight(frame, *ends))
        )
    assert np.abs(to_bytes(np.stack(made)).ravel() - v["pictures"]).max() <= 1


@pytest.fixture(params=[False, True], ids=["kernels", "twins"])
def without_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        monkeypatch.setattr("dfccodec.codec.motion.obmc.kernels", None)
    return bool(request.param)


@pytest.mark.parametrize("name", ["motion", "blend", *FILTERS])
def test_motion(name: str) -> None:
    v = vector(name)
    samples = np.array(v["samples"], np.float32).reshape(v["frames"], v["height"], v["width"], 3).clip(0, 256) / 256
    kept = np.isin(np.arange(v["frames"]), v["kept"])
    blocks = np.array(v["decisions"], np.int16).reshape(v["frames"] - len(v["kept"]), 2, 3, 5)
    composer = Composer(MotionField(References.of(kept), blocks), FILTERS.get(name, MotionFilter.LINEAR))
    estimates = dict(enumerate(samples))
    if name != "motion":
        estimates = {}
        blender = ReferenceBlender(kept, estimates.__setitem__)
        for frame in v["kept"]:
            blender(frame, samples[frame])
    for frame in v["kept"]:
        composer.add_reference(frame, samples[frame])
    made = [composer.reconstruct(int(frame), estimates[int(frame)]) for frame in np.flatnonzero(~kept)]
    assert np.abs(to_bytes(np.stack(made)).ravel() - v["pictures"]).max() <= 1
