"""`dfc models list | info | pull | convert`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dfccodec.cli.models import app
from dfccodec.errors import DfcError, ModelError, OutputExistsError, UsageError
from dfccodec.models import hub
from dfccodec.models.config import VAEConfig
from dfccodec.models.entries import ENTRIES
from dfccodec.models.weights import fingerprint, read_weights


def run(*arguments: object) -> tuple[str, str]:
    """Run the verb. Returns stdout and stderr; exceptions of the verb are passed on."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


@pytest.fixture
def config_file(tmp_path: Path, vae_config: VAEConfig) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(vae_config.to_json())
    return path


def test_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "cached_file", lambda address: None)
    out, _ = run("list")
    assert all(entry.name in out for entry in ENTRIES)
    records = json.loads(run("list", "--json")[0])
    assert [record["name"] for record in records] == [entry.name for entry in ENTRIES]
    assert [record["source"] for record in records[:4]] == [None] * 4
    assert records[4]["source"] == "hf://floatingtrees2/dynamic-frame-compression/vae_pytorch.pt"
    assert records[4]["path"] is None


def test_info(reference: Path, config_file: Path, vae_config: VAEConfig) -> None:
    path = reference / "vae_tiny.pt"
    expected = fingerprint(read_weights(path).tensors).hex()
    record = json.loads(run("info", path, "--config", config_file, "--json")[0])
    assert record["fingerprint"] == expected
    assert (record["name"], record["family"], record["tensors"]) == ("vae_tiny", "dfc-vae", 199)
    assert record["config"] == json.loads(vae_config.to_json())
    out, err = run("info", path, "--config", config_file)
    assert expected in out
    assert err == ""


def test_convert(tmp_path: Path, reference: Path, config_file: Path) -> None:
    source, target = reference / "vae_tiny.pt", tmp_path / "tiny.safetensors"
    out, err = run("convert", source, "-o", target, "--config", config_file, "--name", "tiny")
    assert out == ""
    assert "wrote" in err
    before, after = read_weights(source), read_weights(target)
    assert fingerprint(after.tensors) == fingerprint(before.tensors)
    assert after.name == "tiny"
    assert json.loads(run("info", target, "--json")[0])["name"] == "tiny"  # no --config: it is in the file


def test_convert_does_not_overwrite(tmp_path: Path, reference: Path, config_file: Path) -> None:
    target = tmp_path / "tiny.safetensors"
    target.write_bytes(b"precious")
    arguments = ("convert", reference / "vae_tiny.pt", "-o", target, "--config", config_file)
    with pytest.raises(OutputExistsError, match="use -y"):
        run(*arguments)
    assert target.read_bytes() == b"precious"
    run(*arguments, "-y")
    with pytest.raises(UsageError, match="is the input"):
        run("convert", target, "-o", target, "-y")
    with pytest.raises(UsageError, match=r"must end in \.safetensors"):
        run("convert", target, "-o", tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("info", "nothing"), ModelError, "no model 'nothing'"),
        (("info", "absent.pt"), ModelError, "does not exist"),
        (("pull", "mini"), UsageError, "part of the package"),
        (("pull", "mini-dit"), UsageError, "part of the package"),
    ],
)
def test_errors_reach_the_caller(arguments: tuple[str, ...], error: type[DfcError], message: str) -> None:
    with pytest.raises(error, match=message):
        run(*arguments)


def test_convert_from_orbax_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orbax", None)  # as if it was not installed
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(UsageError, match=r"pip install 'dfccodec\[jax\]'"):
        run("convert", "--from", "orbax", tmp_path, "-o", tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"is a folder; .* give --from orbax"):
        run("convert", tmp_path)
    with pytest.raises(UsageError, match="--from 'msgpack' is unknown"):
        run("convert", "--from", "msgpack", tmp_path)


@pytest.mark.parametrize("content", [b"{}", b"\xff", b"[1]"])
def test_faulty_config_files(tmp_path: Path, reference: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(DfcError) as caught:
        run("info", reference / "vae_tiny.pt", "--config", tmp_path / "bad.json")
    assert "\n" not in str(caught.value)
