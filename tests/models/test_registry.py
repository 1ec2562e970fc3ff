"""Registry: names to files, files to networks, and the check of the model of a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import entries, hub, registry
from dfccodec.models.config import DiTConfig, VAEConfig
from dfccodec.models.interface import LatentModel
from dfccodec.models.registry import load, load_dit, open_checked, resolve
from dfccodec.models.weights import fingerprint, read_weights, save_safetensors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, reference: Path, vae_config: VAEConfig) -> Path:
    """The tiny VAE as `tiny.safetensors`, named `tiny-vae` inside."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_safetensors(path, read_weights(reference / "vae_tiny.pt").tensors, vae_config.to_json(), "tiny-vae")
    return path


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any model."""
    monkeypatch.setattr(hub, "cached_file", lambda address: None)
    monkeypatch.setattr(registry, "locate", lambda entry: None)


@pytest.mark.usefixtures("no_models")
@pytest.mark.parametrize(
    ("spec", "command"),
    [
        ("dfc-170m", "dfc models pull dfc-170m"),
        ("dfc-dit-504m", "dfc models pull dfc-dit-504m"),
        ("hf://o/r/a.safetensors", "dfc models pull hf://o/r/a.safetensors"),
        ("hf://o/r@v1/sub/a.pt", "dfc models pull hf://o/r@v1/sub/a.pt"),
        ("hf://o/r/a b.pt", "dfc models pull 'hf://o/r/a b.pt'"),
        ("mini", "pip install --force-reinstall dfccodec"),
        ("mini-dit", "pip install --force-reinstall dfccodec"),
    ],
)
def test_the_error_for_a_missing_model_contains_the_command(spec: str, command: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(spec)
    assert str(caught.value) == f"model {spec!r} is not on this machine; get it with: {command}"
    assert caught.value.exit_code == 5


def test_the_embedded_model_is_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    entry = entries.find_entry("mini")
    assert entry is not None
    assert registry.locate(entry) is None
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mini.safetensors").write_bytes(b"x")
    assert resolve("mini").path == tmp_path / "weights" / "mini.safetensors"


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no model 'x264'; use mini, mini-dit, mini-regen, mini-sharp, dfc-170m, dfc-dit-504m, a \.pt"
    ):
        resolve("x264")
    with pytest.raises(ModelError, match="does not exist; check the path"):
        resolve(str(tmp_path / "absent.pt"))


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("hf://o/r/f.pt", hub.HubAddress("o/r", "f.pt", "main")),
        ("hf://o/r@3f2a/d/f.safetensors", hub.HubAddress("o/r", "d/f.safetensors", "3f2a")),
        ("hf://o/r@refs%2Fpr%2F1/f.pt", hub.HubAddress("o/r", "f.pt", "refs/pr/1")),
    ],
)
def test_hub_addresses(spec: str, address: hub.HubAddress) -> None:
    assert hub.parse_address(spec) == address
    assert str(address) == spec


@pytest.mark.parametrize(
    "spec",
    [
        "hf://",
        "hf://o",
        "hf://o/r",
        "hf://o/r/",
        "hf://o/r@/f.pt",
        "hf://o/r/../f.pt",
        "hf://o/r//f.pt",
        "hf://o/r/f",
        "hf://../r/f.pt",
        "hf://o/..@x/f.pt",
        "hf://o/r r/f.pt",
        "hf://o/r@a%0Ab/f.pt",
        "hf://o/r/f.bin",
        "hf://-/r/f.pt",
    ],
)
def test_malformed_hub_addresses(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(spec)
    assert "\n" not in str(caught.value)


def test_load_from_safetensors(tiny: Path, reference: Path, vae_io: dict[str, torch.Tensor]) -> None:
    model, info = load(str(tiny))
    assert isinstance(model, LatentModel)
    assert (info.name, info.family, info.tensors) == ("tiny-vae", "dfc-vae", 199)
    assert info.config_json == model.config_json
    assert info.fingerprint == fingerprint(read_weights(reference / "vae_tiny.pt").tensors)
    assert info.parameters == sum(t.numel() for t in read_weights(tiny).tensors.values())
    latents = model.encode(vae_io["video"], qp=20).latents
    assert (latents - vae_io["mean"]).abs().max() < 1e-5 * vae_io["mean"].abs().max()


def test_load_from_pt_with_a_configuration(reference: Path, vae_config: VAEConfig) -> None:
    model, info = load(str(reference / "vae_tiny.pt"), config=vae_config)
    assert info.name == "vae_tiny"
    assert not any(parameter.requires_grad for parameter in model.vae.parameters())  # type: ignore[attr-defined]


def test_load_in_half_precision(tiny: Path, vae_io: dict[str, torch.Tensor]) -> None:
    model, _ = load(str(tiny), dtype=torch.bfloat16)
    assert model.fill_token.dtype == torch.bfloat16
    coded = model.encode(vae_io["video"], qp=20)
    assert coded.latents.dtype == coded.importance.dtype == torch.float32
    assert (coded.latents - vae_io["mean"]).abs().max() < 0.05 * vae_io["mean"].abs().max()
    video = model.decode(coded.latents, torch.ones(1, 12, dtype=torch.bool), 32, 32, 20)
    assert video.dtype == torch.float32


def test_load_dit(reference: Path, dit_config: DiTConfig, dit_io: dict[str, torch.Tensor]) -> None:
    model, info = load_dit(str(reference / "dit_tiny.pt"), config=dit_config)
    assert (info.family, info.tensors) == ("dfc-dit", 94)
    velocity = model(dit_io["noise"], torch.full((2,), 0.25), dit_io["valid"].bool()).latents
    assert (velocity - dit_io["velocity_t025"]).abs().max() < 1e-5 * velocity.abs().max()


def test_codecs_and_generators_are_not_mixed_up(tiny: Path, reference: Path, dit_config: DiTConfig) -> None:
    with pytest.raises(ModelError, match=r"is a generator .* use mini"):
        load(str(reference / "dit_tiny.pt"), config=dit_config)
    with pytest.raises(ModelError, match=r"is a codec .* use dfc-dit-504m"):
        load_dit(str(tiny))


def test_a_device_this_machine_does_not_have(tiny: Path) -> None:
    for device in ("cuda:99", "abacus"):
        with pytest.raises(UsageError, match="use cpu"):
            load(str(tiny), device)


def test_a_file_with_a_configuration_rejects_another_one(
    tiny: Path, vae_config: VAEConfig, dit_config: DiTConfig
) -> None:
    load(str(tiny), config=vae_config)
    with pytest.raises(ModelError, match="leave out --config"):
        load(str(tiny), config=dit_config)


def test_published_networks_are_recognized_by_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in entries.ENTRIES:
        if entry.config is not None:
            with torch.device("meta"):
                module = registry.import_object(registry.FAMILIES[entry.family].module)(entry.config)
            assert registry._recognize_config(module.state_dict()) == entry.config
            assert registry._recognize_config({**module.state_dict(), "more": torch.zeros(1)}) is None


def test_a_known_fingerprint_is_checked(tiny: Path) -> None:
    known = fingerprint(read_weights(tiny).tensors)
    open_checked(registry.ModelFile("dfc-170m", tiny, fingerprint=known))
    with pytest.raises(ModelError, match=r"is not the 'dfc-170m' this dfc knows .* dfc models pull dfc-170m"):
        open_checked(registry.ModelFile("dfc-170m", tiny, fingerprint=bytes(32)))


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from dfccodec.cli import models; from dfccodec.models import entries, registry; "
        "[registry.locate(e) for e in entries.ENTRIES]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
