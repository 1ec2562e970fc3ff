from __future__ import annotations

from pathlib import Path

import pytest

from dfccodec.errors import InputError, UsageError
from dfccodec.training.recipe import list_recipes, load_recipe, parse_recipe

KEYS = (("kept_shown", "moving"), ("loss_kept_frames", "inter"))
STAGE = '[[stage]]\nname = "a"\nshare = 1.0\nframes = 4\ncrop = 32\nbatch = 2\nlearning_rate = 1e-3\n'


def test_package_recipes_are_valid() -> None:
    assert {"mini", "published"} <= set(list_recipes())
    for name in list_recipes():
        assert load_recipe(name).stages


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'task = "mini"\n{STAGE}')
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.stages[0].crop) == ("mine", 32)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("task = ", "not TOML"),
        ('task = "mini"\n', r"no \[\[stage\]\]"),
        (STAGE, "'task' is missing"),
        (f'task = "mini"\ncolour = 1\n{STAGE}', "'colour' is unknown"),
        ('task = "mini"\n' + STAGE.replace("crop = 32", "crop = 30"), "multiple of 16"),
        ('task = "mini"\n' + STAGE.replace("share = 1.0", "share = 0.5"), "sum to 0.5"),
        ('task = "mini"\n' + STAGE.replace("batch = 2", "batch = 0"), "batch is 0"),
        (f'task = "mini"\n{STAGE}refined = 2\n', "refined_share is 2; give 0 to 1"),
        ('task = "mini"\n' + STAGE.replace("batch = 2", 'batch = "2"'), "batch is '2'; give a whole number"),
        ('task = "mini"\n' + STAGE.replace("batch = 2", "batch = 1.5"), "batch is 1.5; give a whole number"),
        ('task = "mini"\n' + STAGE.replace("share = 1.0", 'share = "a"'), "share is 'a'; give a number"),
        (f'task = "mini"\n{STAGE}frozen = "linear"\n', "frozen is 'linear'; give a list of texts"),
        (f'task = "mini"\nclip_norm = "a"\n{STAGE}', "clip_norm is 'a'; give a number"),
        (f'task = "mini"\nema = 1.0\n{STAGE}', "ema is 1.0; give 0 to less than 1"),
        ('task = "mini"\nstage = 3\n', "stage is not a list of tables"),
        (
            'task = "mini"\n' + STAGE.replace("1.0", "0.5") + STAGE.replace("1.0", "0.5"),
            "two stages have the same name",
        ),
    ],
)
def test_invalid_recipe_is_reported(text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        parse_recipe("x", text)


def test_old_key_names_are_accepted() -> None:
    old, new = (f'task = "mini"\n{STAGE}{key} = 3\n[options]\n{option} = true\n' for key, option in KEYS)
    assert parse_recipe("x", old).stages == parse_recipe("x", new).stages
    assert parse_recipe("x", old).options == parse_recipe("x", new).options == {"inter": True}


def test_unknown_names_list_known_names() -> None:
    with pytest.raises(UsageError, match="mini, mini-decoder, mini-gpu, mini-perceptual, published"):
        load_recipe("maxi")
    assert load_recipe("mini-seen") == load_recipe("mini-perceptual")
    with pytest.raises(UsageError, match="frames, time"):
        load_recipe("mini").with_stage("space")
