from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.entropy.zstd_coding import encode_zstd
from dfccodec.errors import ModelError
from dfccodec.models.interface import LatentModel, gradient_whole_clip
from dfccodec.models.mini import Mini, MiniConfig
from dfccodec.models.mini_layers import Conv2d, call_straight_through
from dfccodec.models.mini_slots import Slots, neighbours


def test_implements_the_interface(mini: LoadedModel) -> None:
    assert isinstance(mini.model, LatentModel)
    assert (mini.model.channels, mini.model.patch, mini.model.tile) == (96, 16, 0)


def test_fits_the_package() -> None:
    from importlib.resources import files

    weights = files("dfccodec") / "weights" / "mini.safetensors"
    assert len(weights.read_bytes()) <= 20_000_000


def test_configuration_survives_json() -> None:
    config = MiniConfig(width=32, decoder_blocks=(1, 1, 1), heads=4)
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


def small() -> Mini:
    torch.manual_seed(0)
    model = Mini(MiniConfig(width=16, width8=16, width4=16, heads=2)).eval()
    model.linear.basis.data.copy_(torch.linalg.qr(torch.randn(768, 96))[0].T)
    return model


def shaken() -> Mini:
    """A small model with no zero branch."""
    model = small()
    for name, parameter in model.named_parameters():
        if not name.startswith("linear."):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_zero_initialized_branches_give_the_pca_transform() -> None:
    model = small()
    x, qp = torch.rand(4, 3, 32, 32), torch.full((4,), 20)
    z = model.analyse(x, qp)
    assert torch.allclose(z, model.linear.analyse(x), atol=1e-5)
    assert torch.allclose(model.linear.analyse(model.linear.synthesise(z)), z, atol=1e-4)
    tokens = z.permute(0, 2, 3, 1).reshape(1, 4, 4, 96)
    kept = torch.tensor([[True, False, False, True]])
    back = model.decode(tokens, kept, 32, 32, 20)[0].permute(0, 3, 1, 2)
    lerp = torch.stack([z[0], z[0] + (z[3] - z[0]) / 3, z[0] + (z[3] - z[0]) * 2 / 3, z[3]])
    assert torch.allclose(back, model.linear.synthesise(lerp), atol=1e-4)


def test_a_dropped_frame_does_not_depend_on_other_wanted_frames() -> None:
    model, qp = shaken(), torch.tensor([20])
    kept = np.array([True, False, False, True, False])
    z = torch.randn(1, 2, 96, 2, 2)
    with torch.inference_mode():
        every = Slots.from_mask(kept)
        one = Slots.from_mask(kept, wanted=np.array([2]))
        a = model.features(model.fill(z, every), every, qp)[:, every.frame_index == 2]
        b = model.features(model.fill(z, one), one, qp)[:, one.frame_index == 2]
    assert torch.allclose(a, b, atol=1e-5)


def test_time_attention_in_bands_gives_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from dfccodec.models import mini_layers

    torch.manual_seed(0)
    attention = mini_layers.TimeAttention(8, 2)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    x, at = torch.randn(1, 5, 8, 7, 3), torch.tensor([0, 9, 31, 2, 4])
    with torch.inference_mode():
        whole = attention(x, at, 3)
        monkeypatch.setattr(mini_layers, "_ATTENTION_TOKENS", 20)
        assert torch.allclose(attention(x, at, 3), whole, atol=1e-5)
        assert torch.equal(attention(x, at, 0), x)


def test_quality_is_not_below_the_pca_baseline(mini: LoadedModel) -> None:
    # A trained branch must not be worse than the PCA baseline (see shared/floor.md, first attempt).
    from support import DATA

    from dfccodec.media.input.read_frames import read_scaled

    clip = np.stack(read_scaled(DATA / "flower_96x64.mp4", 64, max_frames=12))
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
    model, all_kept = mini.model, torch.ones(1, 12, dtype=torch.bool)
    assert isinstance(model, Mini)
    with torch.inference_mode():
        for qp in (8, 16, 24, 32, 40):
            index, step = torch.full((12,), qp), 0.02 * 2 ** (qp / 8)
            ours = torch.round(model.analyse(frames, index) / step)
            floor = torch.round(model.linear.analyse(frames) / step)
            tokens = (ours * step).permute(0, 2, 3, 1).reshape(1, 12, -1, 96)
            back = model.decode(tokens, all_kept, 64, 96, qp)[0].permute(0, 3, 1, 2)
            mine = _cost(ours, back - frames, step)
            assert mine < _cost(floor, model.linear.synthesise(floor * step) - frames, step)


def _cost(values: torch.Tensor, error: torch.Tensor, step: float) -> float:
    """RD cost with the real file size. Squared error alone would penalize a smaller file."""
    data, _ = encode_zstd(values.permute(0, 2, 3, 1)[:, None].numpy().astype(np.int16))
    return float(error.square().sum()) + np.log(2) / 6 * step**2 * 8 * len(data)


def test_kept_weights_change_no_result() -> None:
    """Convolutions under autocast are those of torch, also after new weights, and with a gradient."""
    torch.manual_seed(0)
    kept, plain, x = Conv2d(5, 6, 3), torch.nn.Conv2d(5, 6, 3), torch.randn(1, 5, 8, 8)
    for _ in range(2):
        plain.load_state_dict(kept.state_dict())
        for training in (False, True):
            kept.requires_grad_(training)
            with torch.autocast("cpu", torch.bfloat16), torch.inference_mode(not training):
                assert torch.equal(kept(x), plain(x))
        with torch.no_grad():
            kept.weight.mul_(2)


def test_any_size_and_length(mini: LoadedModel) -> None:
    video = np.random.default_rng(0).integers(0, 256, (3, 32, 80, 3)).astype(np.uint8)
    latents, importance = mini.encode(video, 24)
    assert latents.shape == (3, 10, 96)
    assert importance.shape == (3,)
    kept = np.array([False, True, False])
    assert mini.decode(latents, kept, 32, 80, 24).shape == video.shape
    assert (
        mini.decode(latents, np.zeros(3, bool), 32, 80, 24).shape == video.shape
    )  # files without kept frames are valid


def test_latents_of_kept_frames_are_complete(mini: LoadedModel) -> None:
    video = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 3)).astype(np.uint8)
    every, _ = mini.encode(video, 24)
    some, importance = mini.encode(video, 24, keep=2)
    kept = np.argsort(-importance)[:2]
    assert np.array_equal(some[kept], every[kept])
    assert not np.allclose(some, every)


def test_latents_of_dropped_frames_are_ignored(mini: LoadedModel) -> None:
    latents = np.random.default_rng(0).normal(size=(4, 4, 96)).astype(np.float32)
    kept = np.array([True, False, False, True])
    other = latents.copy()
    other[~kept] = 1e6
    a, b = (mini.decode(z, kept, 32, 32, 24) for z in (latents, other))
    assert (a == b).all()


def test_the_gradient_frame_by_frame_equals_that_of_the_clip(
    mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients in bands or a few frames at a time equal those of the complete clip; the trunk's is the identity."""
    features = Mini.features
    monkeypatch.setattr(Mini, "features", lambda self, *inputs: features(self, *inputs[:3], call_straight_through))
    monkeypatch.setattr("dfccodec.models.mini_layers._ATTENTION_TOKENS", 9)
    monkeypatch.setattr("dfccodec.models.mini._CHUNK_FRAMES", 2)
    latents = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 6, 96)).astype(np.float32))
    kept = torch.tensor([True, False, True, True])
    shown = []

    def judge(number: int, made: torch.Tensor) -> torch.Tensor:
        shown.append(number)
        return (made - 0.1 * number).square().sum()

    each = mini.model.gradient(latents, kept, 32, 48, 24, judge)
    assert shown == [0, 2, 3]
    assert not latents.requires_grad
    assert torch.equal(each[1], torch.zeros(6, 96))
    assert torch.allclose(gradient_whole_clip(mini.model, latents, kept, 32, 48, 24, judge), each, rtol=1e-4, atol=1e-5)
    # Reference: a plain graph without checkpointing.
    plain = latents.clone().requires_grad_()
    slots, qp = Slots.from_mask(kept.numpy(), np.zeros(0, np.int64)), torch.tensor([24])
    z = plain.reshape(4, 2, 3, 96).permute(0, 3, 1, 2)[None][:, kept]
    features = mini.model.features(z, slots, qp)  # type: ignore[attr-defined]
    made = mini.model.picture(z[0], features[0], qp.expand(3))  # type: ignore[attr-defined]
    sum(judge(n, frame.permute(1, 2, 0)) for n, frame in zip((0, 2, 3), made, strict=True)).backward()
    assert plain.grad is not None
    assert torch.allclose(plain.grad, each, rtol=1e-4, atol=1e-5)


def test_a_refinement_does_not_import_sympy() -> None:
    """`torch.autograd.backward` with gradients does, and half a second of a short encode goes into it."""
    code = (
        "import sys, io, numpy, dfccodec as dfc; "
        "dfc.encode(numpy.zeros((2, 16, 16, 3), numpy.uint8), io.BytesIO(), budget='1', refine=1); "
        "print('sympy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
