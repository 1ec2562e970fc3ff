"""Reference vectors of the published code, and the tiny models of these vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dfccodec.models.config import DiTConfig, VAEConfig
from dfccodec.models.dit import VideoDiT
from dfccodec.models.vae import VideoVAE

REFERENCE = Path(__file__).parent.parent / "data" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    return REFERENCE


@pytest.fixture(scope="session")
def vae_config() -> VAEConfig:
    return VAEConfig(**json.loads((REFERENCE / "configs.json").read_text())["vae_tiny"])


@pytest.fixture(scope="session")
def dit_config() -> DiTConfig:
    return DiTConfig(**json.loads((REFERENCE / "configs.json").read_text())["dit_tiny"])


@pytest.fixture(scope="session")
def vae_io() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "vae_tiny_io.safetensors")


@pytest.fixture(scope="session")
def dit_io() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "dit_tiny_io.safetensors")


@pytest.fixture(scope="session")
def vae(vae_config: VAEConfig) -> VideoVAE:
    model = VideoVAE(vae_config)
    state = torch.load(REFERENCE / "vae_tiny.pt", weights_only=True)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def dit(dit_config: DiTConfig) -> VideoDiT:
    model = VideoDiT(dit_config)
    state = torch.load(REFERENCE / "dit_tiny.pt", weights_only=True)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.eval().requires_grad_(False)
