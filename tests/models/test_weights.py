"""Weight files: the same tensors from each kind of file, and all faults rejected."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, safe_open
from torch import Tensor

from dfccodec.cli.main import main
from dfccodec.errors import DfcError, ModelError
from dfccodec.models import registry
from dfccodec.models.config import VAEConfig
from dfccodec.models.registry import ModelFile, open_checked
from dfccodec.models.weights import fingerprint, read_weights, save_safetensors

SOME: dict[str, Tensor] = {
    "b.weight": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "a": torch.tensor(1.5),
    "é": torch.tensor([1, -2], dtype=torch.int64),
    "empty": torch.zeros(0, 4),
    "c": torch.tensor([0.5, -1.0], dtype=torch.bfloat16),
}


class Trap:
    """Unpickling this creates a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def refused(path: Path) -> str:
    """The one-line message with which `read_weights` rejects `path`."""
    with pytest.raises(ModelError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_fingerprint_matches_its_docstring() -> None:
    tensors = {"b": torch.tensor([[1, 2]], dtype=torch.uint8), "a": torch.tensor(1.0)}
    canonical = (
        struct.pack("<I", 1) + b"a" + struct.pack("<I", 3) + b"F32" + struct.pack("<I", 0) + struct.pack("<f", 1)
    ) + (struct.pack("<I", 1) + b"b" + struct.pack("<I", 2) + b"U8" + struct.pack("<I2Q", 2, 1, 2) + b"\1\2")
    assert fingerprint(tensors) == hashlib.sha256(canonical).digest()


def test_fingerprint_depends_on_names_dtypes_shapes_and_values() -> None:
    one = torch.zeros(2, 3)
    variants = [{"a": one}, {"b": one}, {"a": one.half()}, {"a": one.reshape(3, 2)}, {"a": one + 1}, {}]
    assert len({fingerprint(tensors) for tensors in variants}) == len(variants)


def test_fingerprint_ignores_order_and_strides() -> None:
    turned = {name: SOME[name] for name in reversed(SOME)}
    turned["b.weight"] = SOME["b.weight"].t().contiguous().t()
    assert not turned["b.weight"].is_contiguous()
    assert fingerprint(turned) == fingerprint(SOME)


def test_fingerprint_is_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    torch.save(SOME, tmp_path / "zip.pt")
    torch.save(SOME, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_safetensors(tmp_path / "ours.safetensors", SOME, "{}", "some")
    for path in tmp_path.iterdir():
        assert fingerprint(read_weights(path).tensors) == fingerprint(SOME), path.name


def test_saved_file_is_read_by_the_library_and_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("1.safetensors", "2.safetensors"):
        save_safetensors(tmp_path / name, SOME, '{"family":"x"}', "naïve")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file left
    loaded = load_file(tmp_path / "1.safetensors")
    assert loaded.keys() == SOME.keys()
    assert all(torch.equal(loaded[name], SOME[name]) and loaded[name].dtype == SOME[name].dtype for name in SOME)
    with safe_open(tmp_path / "1.safetensors", "pt") as file:
        assert file.metadata() == {"dfc.config": '{"family":"x"}', "dfc.name": "naïve", "format": "pt"}
    read = read_weights(tmp_path / "1.safetensors")
    assert (read.config_json, read.name) == ('{"family":"x"}', "naïve")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.write_bytes(b"old")
    with pytest.raises(ModelError, match="complex64"):
        save_safetensors(target, {"z": torch.zeros(1, dtype=torch.complex64)}, "{}", "x")
    with pytest.raises(ModelError, match="printable"):
        save_safetensors(target, SOME, "{}", "x\x1b[31m")
    assert target.read_bytes() == b"old"
    with pytest.raises(DfcError, match="cannot write"):
        save_safetensors(tmp_path / "nowhere" / "model.safetensors", SOME, "{}", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("protocol", ["zip", "old", "bare"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, protocol: str) -> None:
    witness, path = tmp_path / "witness", tmp_path / "evil.pt"
    content = {"a": torch.zeros(1), "trap": Trap(witness)}
    if protocol == "bare":
        path.write_bytes(pickle.dumps(content["trap"], protocol=4))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=protocol == "zip")
    message = refused(path)
    assert "which was not run" in message
    assert protocol == "bare" or "posix.system" in message  # protocol 4 is rejected before the name is known
    assert not witness.exists()


def test_code_in_a_model_file_is_one_line_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    witness, path = tmp_path / "witness", tmp_path / "evil.pt"
    torch.save({"a": torch.zeros(1), "trap": Trap(witness)}, path)
    for verb in ("info", "convert"):
        assert main(["models", verb, str(path)]) == 5
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("contains code (posix.system), which was not run; use a file with only tensors")
    assert not witness.exists()


def test_pickles_of_other_objects_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in ([torch.zeros(1)], {"model": {"a": torch.zeros(1)}}, {1: torch.zeros(1)}, {"epoch": 3}, 7):
        torch.save(content, path)
        assert "flat dict of tensors" in refused(path)


def test_pickled_tensors_larger_than_the_file_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"bomb": torch.zeros(1).expand(1 << 20, 1 << 20)}, path)
    assert "declares 4398046511104 bytes" in refused(path)
    torch.save({"sparse": torch.eye(3).to_sparse()}, path)
    assert "plain dense" in refused(path)


@pytest.mark.parametrize("keep", [0, 1, 4, 100, 1000, -1])
def test_truncated_pickle(tmp_path: Path, reference: Path, keep: int) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes((reference / "dit_tiny.pt").read_bytes()[:keep])
    assert "damaged" in refused(path)


def test_files_that_are_not_weights(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert "reads .pt and .safetensors" in refused(tmp_path / "model.onnx")
    assert "cannot be read" in refused(tmp_path / "absent.pt")
    (tmp_path / "folder.pt").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.pt")


def safetensors_bytes(header: object, body: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        safetensors_bytes({}, size=(1 << 64) - 1),
        safetensors_bytes({}, size=1 << 40),
        safetensors_bytes({}, size=100),
        safetensors_bytes(b"{" * 5000),
        safetensors_bytes(b'{"a":' * 5000),
        safetensors_bytes(b"\xff\xfe"),
        safetensors_bytes([]),
        safetensors_bytes({"a": entry(0, 4, [2])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 8, [2])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1])}, b"\0" * 8),
        safetensors_bytes({"a": entry(4, 0, [1])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1 << 32, 1 << 32])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [-1])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1], "F31")}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1]), "b": entry(2, 6, [1])}, b"\0" * 6),
        safetensors_bytes({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, b"\0" * 12),
        safetensors_bytes({"a": entry(0, 4, [1])} | {"b": entry(4, 2**64 - 4, [2**62])}, b"\0" * 8),
        safetensors_bytes({"a": entry(-4, 0, [1])}, b"\0" * 4),
        safetensors_bytes({"a": entry(0, 4, [1.0])}, b"\0" * 4),  # type: ignore[list-item]
        safetensors_bytes({"a": entry(0, 4, [1], 3)}, b"\0" * 4),  # type: ignore[arg-type]
        safetensors_bytes({"a": entry(0, 8, [1], "F32")}, b"\0" * 8),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [1]}}, b"\0" * 4),
        safetensors_bytes({"__metadata__": {"dfc.name": 3}}),
        safetensors_bytes({"__metadata__": "x"}),
    ],
)
def test_hostile_safetensors_headers(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_a_duplicate_tensor_name_is_rejected(tmp_path: Path) -> None:
    """JSON allows duplicates, but readers handle them differently."""
    path, one = tmp_path / "model.safetensors", json.dumps(entry(0, 4, [1]))
    path.write_bytes(safetensors_bytes(f'{{"a":{one},"a":{one}}}'.encode(), b"\0" * 4))
    assert "duplicate key 'a'" in refused(path)


def test_hostile_model_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for name in ("", "x" * 201, "a\nb", "\x1b]0;owned\x07"):
        path.write_bytes(safetensors_bytes({"__metadata__": {"dfc.name": name}}))
        with pytest.raises(ModelError, match="printable characters"):
            read_weights(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_a_model_error_or_tensors(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(path, SOME, '{"family":"mini"}', "some")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for tensor in read_weights(path).tensors.values():
            assert isinstance(tensor, Tensor)
    except ModelError as error:
        assert "\n" not in str(error)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), value=st.integers(0, 255), keep=st.floats(0.01, 1))
def test_any_damage_to_a_pickle_gives_a_model_error_or_tensors(
    tmp_path: Path, place: float, value: int, keep: float
) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}, path)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] = value
    path.write_bytes(content[: int(keep * len(content))])
    try:
        for tensor in read_weights(path).tensors.values():
            assert isinstance(tensor, Tensor)
    except ModelError as error:
        assert "\n" not in str(error)


class TestStrictLoading:
    """A state dict must match the network exactly."""

    @pytest.fixture
    def state(self, reference: Path) -> dict[str, Tensor]:
        content = torch.load(reference / "vae_tiny.pt", weights_only=True)
        return {name: tensor.detach() for name, tensor in content.items()}

    def check(self, path: Path, state: dict[str, Tensor], config: VAEConfig) -> None:
        torch.save(state, path)
        open_checked(ModelFile("tiny", path), config)

    def test_exact(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig) -> None:
        self.check(tmp_path / "tiny.pt", state, vae_config)

    def test_missing(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig) -> None:
        for name in list(state)[:5]:
            del state[name]
        with pytest.raises(ModelError, match=r"5 missing \('encoder.patch_embedding.*', …\)"):
            self.check(tmp_path / "tiny.pt", state, vae_config)

    def test_unexpected(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig) -> None:
        state["rotary\x1b[2J"] = torch.zeros(2)
        with pytest.raises(ModelError, match=r"1 unexpected \('rotary\\x1b\[2J'\)"):
            self.check(tmp_path / "tiny.pt", state, vae_config)

    def test_misshaped(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig) -> None:
        state["fill_token"] = state["fill_token"].reshape(1, 24)
        with pytest.raises(ModelError, match=r"1 misshaped \('fill_token \[1, 24\] for \[1, 1, 1, 24\]'\)"):
            self.check(tmp_path / "tiny.pt", state, vae_config)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig, value: float) -> None:
        state["decoder.unet.final_conv.bias"][1] = value
        with pytest.raises(ModelError, match="1 with NaN or infinite values"):
            self.check(tmp_path / "tiny.pt", state, vae_config)

    def test_complex(self, tmp_path: Path, state: dict[str, Tensor], vae_config: VAEConfig) -> None:
        state["fill_token"] = state["fill_token"].to(torch.complex64)
        with pytest.raises(ModelError, match="of unknown type"):
            self.check(tmp_path / "tiny.pt", state, vae_config)

    def test_no_configuration(self, reference: Path) -> None:
        with pytest.raises(ModelError, match=r"convert it once with: dfc models convert .*--config"):
            registry.load(str(reference / "vae_tiny.pt"))


def test_a_checkpoint_of_training_names_the_weights(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(3)}, "log": {}, "recipe": "x"}, tmp_path / "best.pt")
    with pytest.raises(ModelError, match=r"is a checkpoint of dfc train; its weights are in model\.safetensors"):
        read_weights(tmp_path / "best.pt")
