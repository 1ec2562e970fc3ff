"""Names and axes of the Flax networks, without JAX."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flax_trees import flax_tree
from torch import nn

from dfccodec.models.dit import VideoDiT
from dfccodec.models.flax_names import flatten, leaf_of, leaves_of
from dfccodec.models.vae import VideoVAE
from dfccodec.models.weights import expected_shapes


@pytest.mark.parametrize("network", ["vae", "dit"])
def test_every_tensor_comes_back(network: str, request: pytest.FixtureRequest) -> None:
    module: nn.Module = request.getfixturevalue(network)
    leaves = flatten(flax_tree(module))
    shapes = expected_shapes(module)
    places = leaves_of(shapes)
    assert {place.path for place in places.values()} == leaves.keys()
    for name, tensor in module.state_dict().items():
        leaf = leaves[places[name].path]
        assert leaf.shape == places[name].shape(shapes[name])
        assert torch.equal(places[name].to_tensor(leaf), tensor)


def test_names(vae: VideoVAE, dit: VideoDiT) -> None:
    names = {place.path for place in leaves_of(expected_shapes(vae)).values()}
    assert {
        "fill_token",
        "encoder.patch_embedding.norm.scale",
        "encoder.layers.1.TemporalAttention.qkv_projection.kernel",
        "encoder.layers.0.SpatialAttention.k_norm.scale",
        "decoder.unet.encoders.2.conv1.norm.bias",
        "decoder.unet.decoders.0.upsample.kernel",
    } <= names
    assert "timestep_proj.kernel" in {place.path for place in leaves_of(expected_shapes(dit)).values()}


def test_a_linear_layer_computes_the_same() -> None:
    kernel, x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    made = torch.from_numpy(x[:, :3]) @ leaf_of("a.weight", 2).to_tensor(kernel[:3].copy()).T
    np.testing.assert_allclose(made, x[:, :3] @ kernel[:3], rtol=1e-6)


def test_a_convolution_computes_the_same() -> None:
    rng = np.random.default_rng(2)
    kernel, x = rng.normal(size=(2, 3, 2, 4, 5)), rng.normal(size=(2, 3, 2, 4))  # one output pixel
    weight = leaf_of("a.conv.weight", 5).to_tensor(kernel)
    made = nn.functional.conv3d(torch.from_numpy(x).permute(3, 0, 1, 2)[None], weight)
    np.testing.assert_allclose(made.flatten(), np.einsum("thwc,thwco->o", x, kernel))


def test_a_transposed_convolution_computes_the_same() -> None:
    """Flax correlates the kernel with the input, which has zeros between its values (`lax.conv_transpose`)."""
    rng = np.random.default_rng(3)
    kernel, x = rng.normal(size=(1, 2, 2, 4, 5)), rng.normal(size=(3, 4))  # a row of 3 pixels
    spread = np.zeros((7, 4))
    spread[1::2] = x
    bottom = [sum(spread[j + a] @ kernel[0, 0, a] for a in range(2)) for j in range(6)]
    weight = leaf_of("decoder.unet.decoders.0.upsample.weight", 5).to_tensor(kernel)
    made = nn.functional.conv_transpose3d(torch.from_numpy(x.T)[None, :, None, None], weight, stride=(1, 2, 2))
    np.testing.assert_allclose(made[0, :, 0, 1], np.stack(bottom, axis=1))


def test_flatten() -> None:
    tree = {"layers": [{"a": {"value": 1}}, {"a": {"raw_value": 2}}], "b": {"value": 3, "bias": None}, "c": {1: 4}}
    assert flatten(tree) == {"layers.0.a": 1, "layers.1.a": 2, "b.value": 3, "c.1": 4}
    assert flatten({"x": {"ROPE": {"cos_cached": {"value": 1}, "sin_cached": 2, "other": 3}}}) == {"x.ROPE.other": 3}


def test_bfloat16_is_kept() -> None:
    try:
        from ml_dtypes import bfloat16  # comes with jax
    except ImportError:
        pytest.skip("ml_dtypes is not installed")
    tensor = leaf_of("a.weight", 2).to_tensor(np.array([[1.5, -2], [3, 0.1]], bfloat16))
    assert tensor.dtype == torch.bfloat16
    assert torch.equal(tensor, torch.tensor([[1.5, 3], [-2, 0.1]], dtype=torch.bfloat16))
