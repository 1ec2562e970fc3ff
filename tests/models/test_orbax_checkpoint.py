"""Checkpoints that the real Orbax wrote become models of this package. Needs `pip install 'dfccodec[jax]'`."""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flax_trees import flax_tree, put
from safetensors.torch import load_file
from typer.testing import CliRunner

from dfccodec.cli.models import app
from dfccodec.errors import ModelError
from dfccodec.models import registry
from dfccodec.models.config import DiTConfig, VAEConfig
from dfccodec.models.dit import VideoDiT
from dfccodec.models.flax_names import leaf_of
from dfccodec.models.vae import VideoVAE
from dfccodec.models.weights import fingerprint

ocp: Any = pytest.importorskip("orbax.checkpoint", reason="orbax-checkpoint is not installed: pip install '.[jax]'")
logging.getLogger("absl").setLevel(logging.ERROR)

# After an error, orbax leaves coroutines that complain when they are freed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Tree = dict[str, Any]
SPATIAL = "SpatialMLP"


@pytest.fixture(autouse=True)
def free_coroutines() -> Iterator[None]:
    """Free them in this file, where their complaints are ignored."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def random_vae(vae_config: VAEConfig) -> VideoVAE:
    torch.manual_seed(1)
    return VideoVAE(vae_config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def random_dit(dit_config: DiTConfig) -> VideoDiT:
    torch.manual_seed(2)
    return VideoDiT(dit_config).eval().requires_grad_(False)


def save(folder: Path, tree: Any) -> Path:
    """Write a checkpoint as the published training code does."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.resolve(), tree)
    return folder


def convert(tmp_path: Path, folder: Path, config: VAEConfig | DiTConfig, *more: str) -> Path:
    """Run `dfc models convert`; exceptions are passed on."""
    settings, output = tmp_path / "config.json", tmp_path / "out.safetensors"
    settings.write_text(config.to_json())
    arguments = ["convert", "--from", "orbax", str(folder), "-o", str(output), "--config", str(settings), *more]
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None:
        raise result.exception
    return output


def wrapped(tree: Any) -> Any:
    """Each leaf in a dict of its own, as older versions of nnx write it."""
    return {k: wrapped(v) for k, v in tree.items()} if isinstance(tree, dict) else {"value": tree}


def nnx_state(tree: Tree) -> Any:
    """`nnx.state` of modules with these names; layers are in lists."""
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")

    def module(branch: Tree) -> Any:
        out = nnx.Module()
        for name, child in branch.items():
            if isinstance(child, np.ndarray):
                setattr(out, name, nnx.Param(child))
            elif "0" in child:
                setattr(out, name, nnx.List([module(child[str(number)]) for number in range(len(child))]))
            else:
                setattr(out, name, module(child))
        return out

    return nnx.state(module(tree))


@pytest.mark.parametrize("form", [dict, wrapped, nnx_state])
def test_vae(tmp_path: Path, random_vae: VideoVAE, vae_config: VAEConfig, form: Callable[[Tree], Any]) -> None:
    tree = {"model": form(flax_tree(random_vae)), "optimizer": {"count": np.zeros((), np.int32)}}
    output = convert(tmp_path, save(tmp_path / "step_5", tree), vae_config)
    assert fingerprint(load_file(output)) == fingerprint(random_vae.state_dict())
    checked = registry.open_checked(registry.resolve(str(output)))
    assert checked.info.name == "step_5"
    found = VideoVAE(vae_config).eval()
    found.load_state_dict(checked.tensors)
    video = torch.rand(1, 5, vae_config.height, vae_config.width, 3)
    with torch.inference_mode():
        a, b = random_vae.encode(video), found.encode(video)
        assert torch.equal(a.mean, b.mean)
        assert torch.equal(a.importance, b.importance)
        assert torch.equal(random_vae.decode(a.mean), found.decode(b.mean))


def test_dit_without_a_subtree_in_bfloat16(tmp_path: Path, random_dit: VideoDiT, dit_config: DiTConfig) -> None:
    from ml_dtypes import bfloat16

    def halved(tree: Any) -> Any:
        return {k: halved(v) for k, v in tree.items()} if isinstance(tree, dict) else tree.astype(bfloat16)

    output = convert(tmp_path, save(tmp_path / "x", halved(flax_tree(random_dit))), dit_config, "--name", "dit")
    found, info = registry.load_dit(str(output))
    assert (info.name, info.family) == ("dit", "dfc-dit")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in random_dit.state_dict().items()}
    assert fingerprint(load_file(output)) == fingerprint(half)
    expected = VideoDiT(dit_config).eval()
    expected.load_state_dict(half)
    noise, time = torch.randn(1, 4, dit_config.hw, 96), torch.tensor([0.25])
    with torch.inference_mode():
        assert torch.equal(found(noise, time).latents, expected(noise, time).latents)


def test_every_wrong_leaf_is_named_in_one_line(tmp_path: Path, random_vae: VideoVAE, vae_config: VAEConfig) -> None:
    tree = copy.deepcopy(flax_tree(random_vae))
    del tree["encoder"]["layers"]["0"][SPATIAL]["linear1"]["kernel"]
    put(tree, "encoder.extra.kernel", np.zeros((2, 2), np.float32))
    put(tree, "decoder.unet.final_conv.kernel", np.zeros((1, 1, 1, 3, 16), np.float32))
    with pytest.raises(ModelError) as caught:
        convert(tmp_path, save(tmp_path / "x", {"model": tree}), vae_config)
    message = str(caught.value)
    for part in (
        "1 missing ('encoder.layers.0.SpatialMLP.linear1.kernel')",
        "1 unexpected ('encoder.extra.kernel')",
        "1 misshaped ('decoder.unet.final_conv.kernel [1, 1, 1, 3, 16] for [1, 1, 1, 16, 3]')",
    ):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "out.safetensors").exists()


def test_values_that_are_no_numbers(tmp_path: Path, random_vae: VideoVAE, vae_config: VAEConfig) -> None:
    tree = copy.deepcopy(flax_tree(random_vae))
    put(tree, "fill_token", np.full((1, 1, 1, vae_config.latent_channels), np.nan, np.float32))
    with pytest.raises(ModelError, match=r"1 with NaN or infinite values .'fill_token'"):
        convert(tmp_path, save(tmp_path / "x", tree), vae_config)


def test_folders_that_are_no_checkpoint(tmp_path: Path, random_dit: VideoDiT, dit_config: DiTConfig) -> None:
    with pytest.raises(ModelError, match="no file _METADATA"):
        convert(tmp_path, tmp_path, dit_config)
    (tmp_path / "_METADATA").write_text("{}")
    with pytest.raises(ModelError, match="cannot be read"):
        convert(tmp_path, tmp_path, dit_config)
    folder = save(tmp_path / "x", {"a": np.zeros(2, np.float32)})
    with pytest.raises(ModelError, match="neither the published VAE nor"):
        registry.open_orbax(folder)
    folder = save(tmp_path / "y", flax_tree(random_dit))
    with pytest.raises(ModelError, match=r"missing.*misshaped"):  # the published configuration
        registry.open_orbax(folder)
    for array in (folder / "d").iterdir():
        array.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        convert(tmp_path, folder, dit_config)


def test_layers_of_flax_compute_the_same() -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    rngs, rng = nnx.Rngs(0), np.random.default_rng(4)
    x = rng.normal(size=(1, 3, 4, 6, 8)).astype(np.float32)
    first = torch.from_numpy(x).permute(0, 4, 1, 2, 3)

    def weight(name: str, layer: Any) -> torch.Tensor:
        kernel = np.asarray(layer.kernel[...])
        return leaf_of(name, kernel.ndim).to_tensor(kernel)

    up = nnx.ConvTranspose(8, 5, (1, 2, 2), strides=(1, 2, 2), rngs=rngs)
    made = torch.nn.functional.conv_transpose3d(first, weight("unet.upsample.weight", up), stride=(1, 2, 2))
    np.testing.assert_allclose(made.permute(0, 2, 3, 4, 1), np.asarray(up(x)), atol=1e-5)
    conv = nnx.Conv(8, 5, (3, 3, 3), rngs=rngs)
    made = torch.nn.functional.conv3d(first, weight("unet.conv.weight", conv), padding=1)
    np.testing.assert_allclose(made.permute(0, 2, 3, 4, 1), np.asarray(conv(x)), atol=1e-5)
    linear = nnx.Linear(8, 5, rngs=rngs)
    made = torch.from_numpy(x) @ weight("linear.weight", linear).T
    np.testing.assert_allclose(made, np.asarray(linear(x)), atol=1e-5)
