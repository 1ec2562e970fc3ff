"""Configurations: JSON in both directions, and all faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfccodec.errors import ModelError
from dfccodec.models.config import (
    MAX_JSON_CHARS,
    PUBLISHED_DIT,
    PUBLISHED_VAE,
    DiTConfig,
    VAEConfig,
    config_from_json,
    parse_family,
)


def altered(**changes: object) -> str:
    """The published VAE's JSON with some values changed; None removes the key."""
    values = {**json.loads(PUBLISHED_VAE.to_json()), **changes}
    return json.dumps({key: value for key, value in values.items() if value is not None})


def test_published_configurations_are_those_of_the_reference(reference: Path) -> None:
    configs = json.loads((reference / "configs.json").read_text())
    assert VAEConfig(**configs["vae_full"]) == PUBLISHED_VAE
    assert DiTConfig(**configs["dit_full"]) == PUBLISHED_DIT


@pytest.mark.parametrize("config", [PUBLISHED_VAE, PUBLISHED_DIT])
def test_json_round_trip(config: VAEConfig | DiTConfig) -> None:
    text = config.to_json()
    assert config_from_json(text) == config
    assert type(config).from_json(text) == config
    assert config_from_json(text).to_json() == text
    assert parse_family(text) == config.family


def test_key_order_and_spaces_do_not_matter() -> None:
    values = json.loads(PUBLISHED_DIT.to_json())
    text = json.dumps(dict(reversed(values.items())), indent=3)
    assert config_from_json(text).to_json() == PUBLISHED_DIT.to_json()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (altered(height=None), "key 'height' is missing; add it"),
        (altered(extra=7), "unknown key 'extra' with value 7"),
        (altered(height="256"), "height is '256'; write an integer"),
        (altered(height=256.0), r"height is 256\.0; write an integer"),
        (altered(height=True), "height is True; write an integer"),
        (altered(height=[256]), "height is .*; write an integer"),
        (altered(height=0), "height is 0; use 1 to"),
        (altered(height=250), "height is 250; use a multiple of patch_size 16"),
        (altered(encoder_depth=10**9), "encoder_depth is 1000000000; use 1 to 256"),
        (altered(num_heads=7), "qkv_features is 512; use a multiple of 2 × num_heads = 14"),
        (altered(spatial_compression_rate=7), "spatial_compression_rate is 7; use a divisor"),
        (altered(family="h264"), "family is 'h264'; this dfc knows dfc-vae, dfc-dit, mini"),
        (altered(family=["dfc-vae"]), "family is"),
        (altered(family=None), "key 'family' is missing; add one of"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"family": "dfc-dit", "family": "dfc-vae"}', "duplicate key"),
        ('{"family": NaN}', "NaN is not a JSON number"),
        ("1" * 6000, "not JSON"),
        (" " * (MAX_JSON_CHARS + 1), "characters"),
    ],
)
def test_faults_are_reported_in_one_line(text: str, named: str) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        config_from_json(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_family_is_not_read_as_another() -> None:
    with pytest.raises(ModelError, match="family is 'dfc-vae'; expected 'dfc-dit'"):
        DiTConfig.from_json(PUBLISHED_VAE.to_json())
