"""Generation with the tiny random weights of the reference implementation: the result is an ordinary `.dfc` file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from support import DATA, moving_square

import dfccodec as dfc
from dfccodec.codec.api import load_model
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.generate import generate
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import ModelError
from dfccodec.media.input.source import VideoSource
from dfccodec.models import registry
from dfccodec.models.config import DiTConfig, VAEConfig
from dfccodec.models.dit import VideoDiT, positions_from_gaps
from dfccodec.models.vae import VideoVAE
from dfccodec.models.weights import read_weights, save_safetensors

REFERENCE = DATA / "reference"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return weight files of a tiny codec and of the reference's tiny generator; both contain their configuration."""
    configs = json.loads((REFERENCE / "configs.json").read_text())
    folder = tmp_path_factory.mktemp("weights")
    dit = DiTConfig(**configs["dit_tiny"])
    tensors = read_weights(REFERENCE / "dit_tiny.pt").tensors
    save_safetensors(folder / "dit.safetensors", tensors, dit.to_json(), "tiny-dit")
    # The reference's tiny codec has 24 channels, but its generator has 96. Use a random codec with 96.
    vae = VAEConfig(**{**configs["vae_tiny"], "patch_size": 16, "height": 64, "width": 64})
    torch.manual_seed(0)
    save_safetensors(folder / "vae.safetensors", VideoVAE(vae).state_dict(), vae.to_json(), "tiny-vae")
    return folder / "vae.safetensors", folder / "dit.safetensors"


@pytest.fixture(scope="module")
def pair(weights: tuple[Path, Path]) -> tuple[LoadedModel, VideoDiT]:
    return load_model(str(weights[0]), "cpu", "float32"), registry.load_dit(str(weights[1]))[0]


def generate_file(pair: tuple[LoadedModel, VideoDiT], **options: int) -> bytes:
    out = io.BytesIO()
    generate(pair[1], pair[0], out, **{"latent_frames": 4, "steps": 7, "seed": 256, **options})
    return out.getvalue()


def test_file_stores_the_sampled_latents(pair: tuple[LoadedModel, VideoDiT], tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(generate_file(pair, qp=0))
    noise = torch.randn(1, 4, 16, 96, generator=torch.Generator().manual_seed(256))
    flow = pair[1].sample(noise, 7)
    positions, totals = positions_from_gaps(flow.gaps)
    with dfc.open(tmp_path / "a.dfc") as file:
        assert file.frames == int(totals[0])
        assert file[0].kept_indices.tolist() == positions[0].tolist()
        assert file.model.name == "tiny-vae"
        error = np.abs(file[0].dequantized().reshape(4, 16, 96) - flow.latents[0].numpy())
        assert (error <= file.steps / 2 * 1.001).all()


def test_generated_files_can_be_verified_trimmed_and_decoded(pair: tuple[LoadedModel, VideoDiT]) -> None:
    data = generate_file(pair)
    assert not dfc.verify(io.BytesIO(data)).faults
    trimmed = io.BytesIO()
    frames, kept = dfc.trim(io.BytesIO(data), trimmed, Budget("share", 0.01))
    assert kept == 1
    pictures = [p.rgb for p in Decoder(io.BytesIO(trimmed.getvalue()), lambda _: pair[0])]
    assert len(pictures) == frames
    assert pictures[0].shape == (64, 64, 3)


def test_the_seed_determines_the_bytes(pair: tuple[LoadedModel, VideoDiT]) -> None:
    assert generate_file(pair) == generate_file(pair)
    assert generate_file(pair) != generate_file(pair, seed=257)


def test_a_codec_with_another_token_grid_is_rejected(pair: tuple[LoadedModel, VideoDiT], mini: LoadedModel) -> None:
    with pytest.raises(ModelError, match="dfc-170m"):
        generate(pair[1], mini, io.BytesIO())


@pytest.mark.parametrize("name", ["clip.dfc", "clip.mp4"])
def test_generate_on_the_command_line(name: str, weights: tuple[Path, Path], tmp_path: Path) -> None:
    options = ["--latent-frames", "4", "--steps", "3", "--generator", str(weights[1]), "--model", str(weights[0])]
    result = run("generate", *options, "-o", tmp_path / name)
    assert result.returncode == 0, result.stderr
    if name.endswith(".dfc"):
        with (tmp_path / name).open("rb") as stream:
            assert not dfc.verify(stream).faults
    else:
        with VideoSource(tmp_path / name) as video:
            assert sum(1 for _ in video) >= 4


def test_the_tiny_codec_encodes_any_picture_size(pair: tuple[LoadedModel, VideoDiT]) -> None:
    frames = moving_square(9, 80, 100)
    out = io.BytesIO()
    dfc.encode(frames, out, budget="3", model=pair[0])
    assert np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: pair[0])]).shape == frames.shape
