from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.codec.loaded import Loaded
from dfccodec.entropy.latents import encode_latents
from dfccodec.errors import ModelError
from dfccodec.models.contract import LatentModel
from dfccodec.models.mini import Mini, MiniConfig, neighbours


def test_satisfies_the_contract(mini: Loaded) -> None:
    assert isinstance(mini.model, LatentModel)
    assert (mini.model.channels, mini.model.patch, mini.model.tile) == (96, 16, 0)


def test_fits_the_package() -> None:
    from importlib.resources import files

    weights = files("dfccodec") / "weights" / "mini.safetensors"
    assert len(weights.read_bytes()) <= 20_000_000


def test_configuration_survives_json() -> None:
    config = MiniConfig(width=32, decoder_blocks=(1, 1, 1))
    assert MiniConfig.from_json(config.to_json()) == config
    with pytest.raises(ModelError, match="encoder_blocks"):
        MiniConfig(encoder_blocks=(1,))


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=64).filter(any))
def test_neighbours_are_the_nearest_kept(mask: list[bool]) -> None:
    kept = np.array(mask)
    past, future, where = neighbours(kept)
    index = np.flatnonzero(kept)
    for slot, i, j, (fraction, back, ahead) in zip(np.flatnonzero(~kept), past, future, where, strict=True):
        before, after = index[index < slot], index[index > slot]
        assert i == (before[-1] if len(before) else after[0])
        assert j == (after[0] if len(after) else before[-1])
        assert fraction == pytest.approx((slot - i) / (j - i) if i != j else 0)
        assert (back, ahead) == (abs(slot - i) / 8, abs(j - slot) / 8)


def test_branches_that_start_at_zero_leave_the_linear_code() -> None:
    torch.manual_seed(0)
    model = Mini(MiniConfig(width=16, width8=16, width4=16, fill_width=16)).eval()
    basis = torch.linalg.qr(torch.randn(768, 96))[0].T
    model.linear.basis.data.copy_(basis)
    x, qp = torch.rand(1, 3, 32, 32), torch.tensor([20])
    z = model.analyse(x, qp)
    assert torch.allclose(z, model.linear.analyse(x), atol=1e-5)
    assert torch.allclose(model.synthesise(z, qp), model.linear.synthesise(z), atol=1e-5)
    assert torch.allclose(model.linear.analyse(model.linear.synthesise(z)), z, atol=1e-4)


def test_never_below_its_linear_code(mini: Loaded) -> None:
    # The floor: a trained branch that hurts is a broken model (see shared/floor.md, first attempt).
    from support import DATA

    from dfccodec.media.frames import read_scaled

    frame = torch.from_numpy(read_scaled(DATA / "flower_96x64.mp4", 64, most=1)[0]).permute(2, 0, 1)[None].float() / 255
    model = mini.model
    assert isinstance(model, Mini)
    with torch.inference_mode():
        for qp in (8, 16, 24, 32, 40):
            index, step = torch.tensor([qp]), 0.02 * 2 ** (qp / 8)
            ours, floor = (
                torch.round(model.analyse(frame, index) / step),
                torch.round(model.linear.analyse(frame) / step),
            )
            mine = _cost(ours, model.synthesise(ours * step, index) - frame, step)
            assert mine < _cost(floor, model.linear.synthesise(floor * step) - frame, step)


def _cost(values: torch.Tensor, error: torch.Tensor, step: float) -> float:
    """D + λR with the bytes that really go into a file: squared error alone would punish a cheaper code."""
    data, _ = encode_latents(values.permute(0, 2, 3, 1)[:, None].numpy().astype(np.int16))
    return float(error.square().sum()) + np.log(2) / 6 * step**2 * 8 * len(data)


def test_any_size_and_length(mini: Loaded) -> None:
    video = np.random.default_rng(0).integers(0, 256, (3, 32, 80, 3)).astype(np.uint8)
    latents, importance = mini.encode(video, 24)
    assert latents.shape == (3, 10, 96)
    assert importance.shape == (3,)
    kept = np.array([False, True, False])
    assert mini.decode(latents, kept, 32, 80, 24).shape == video.shape
    assert mini.decode(latents, np.zeros(3, bool), 32, 80, 24).shape == video.shape  # readers accept zero kept


def test_what_stands_in_dropped_slots_is_ignored(mini: Loaded) -> None:
    latents = np.random.default_rng(0).normal(size=(4, 4, 96)).astype(np.float32)
    kept = np.array([True, False, False, True])
    other = latents.copy()
    other[~kept] = 1e6
    a, b = (mini.decode(z, kept, 32, 32, 24) for z in (latents, other))
    assert (a == b).all()
