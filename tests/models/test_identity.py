"""Which model decodes which file: fingerprints, latent spaces, and what is said of a model that does not fit."""

from __future__ import annotations

import pytest

from dfccodec.container.records import ModelId
from dfccodec.errors import ModelError
from dfccodec.models import registry
from dfccodec.models.entries import ENTRIES
from dfccodec.models.identity import (
    DECODERS,
    LATENT_SPACES,
    check_identity,
    latent_space,
    same_latents,
    space_name,
    with_latent_space,
)

SPACE = b"\7" * 32
OTHER = with_latent_space('{"family":"mini"}', SPACE)


def test_every_latent_space_and_decoder_of_a_release_is_still_here() -> None:
    """Nothing may be removed from these tables: files of a release stay decodable for ever."""
    assert LATENT_SPACES["mini-1"].hex() == "bdb9300778d780627d9e809ffbfcb4bfba66bab65ff4df2f6a16957d25079b57"
    assert bytes.fromhex("ccb1493b1290842919211f66f9f93b81f8b017b9855b47a2589c912b3835bf4c") in DECODERS
    inside = [registry.open_checked(registry.resolve(entry.name)).info for entry in ENTRIES if entry.address is None]
    found = {info.fingerprint: info.latent_space for info in inside}
    for fingerprint, name in DECODERS.items():
        assert found[fingerprint] == LATENT_SPACES[name]
    assert {info.fingerprint for info in inside if info.latent_space is not None} == set(DECODERS)


@pytest.mark.parametrize(
    ("needed", "fix"),
    [
        ("dfc-170m", "get it with: dfc models pull dfc-170m and use: --model dfc-170m"),
        ("mini", "use: --model mini"),
        ("hf://o/r/f.pt", "get it with: dfc models pull hf://o/r/f.pt and use: --model hf://o/r/f.pt"),
        ("hf://o/r/a;rm -rf ~.pt", "get it with: dfc models pull 'hf://o/r/a;rm -rf ~.pt'"),
        ("mine", "the weights differ although the name is the same"),
        ("unheard-of", "get the weights from the author of the file"),
        ("\x1b]0;owned\x07\n", "get the weights from the author of the file"),
    ],
)
def test_identity(needed: str, fix: str) -> None:
    own = ModelId("mine", b"\1" * 32)
    assert check_identity(ModelId("whatever", b"\1" * 32), own)
    with pytest.raises(ModelError) as caught:
        check_identity(ModelId(needed, b"\2" * 32), own)
    message = str(caught.value)
    assert fix in message
    assert "0202020202020202…" in message
    assert message.isprintable()


def test_models_of_one_latent_space() -> None:
    old, new = ModelId("old", b"\1" * 32, OTHER), ModelId("new", b"\2" * 32, OTHER)
    assert latent_space(old) == SPACE
    assert same_latents(old, new)
    assert check_identity(old, new) is False
    assert not same_latents(old, ModelId("new", b"\2" * 32, with_latent_space("{}", b"\6" * 32)))
    assert not same_latents(ModelId("a", b"\1" * 32), ModelId("b", b"\2" * 32))


@pytest.mark.parametrize(
    "config",
    ["{}", '{"latent_space":7}', '{"latent_space":"07"}', '{"latent_space":"%s"}' % ("zz" * 32), "[]", "[" * 2000, ""],
)
def test_a_file_without_a_valid_latent_space_names_none(config: str) -> None:
    assert latent_space(ModelId("x", bytes(32), config)) is None


def test_the_package_knows_its_latent_spaces_by_name() -> None:
    mini = registry.open_checked(registry.resolve("mini")).info
    assert latent_space(ModelId("mini", mini.fingerprint)) == mini.latent_space
    assert space_name(LATENT_SPACES["mini-1"]) == "mini-1"
    assert space_name(SPACE) == "07" * 8 + "…"
    assert with_latent_space("{}", None) == "{}"
