"""The dataset card that `dfc pack` writes; a packed folder is uploaded through the real huggingface_hub client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import TOKEN, hub_environment, serve_hub
from latent_files import write_latent_file

from dfccodec.data.dataset_card import CARD_NAME, MARK, card_text
from dfccodec.data.pack import pack_folder

UPLOAD = """
import sys
from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
HfApi().create_repo("me/clips", repo_type="dataset")
HfApi().upload_folder(repo_id="me/clips", repo_type="dataset", folder_path=sys.argv[1])
"""


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_latent_file(tmp_path / "in" / f"{name}.dfc")
    pack_folder(tmp_path / "in", tmp_path / "shards", shard_bytes=3000)
    return tmp_path / "shards"


def test_a_packed_folder_has_a_card(shards: Path) -> None:
    text = (shards / CARD_NAME).read_text()
    assert "# shards" in text
    assert "| files | 3 in " in text
    assert "| frames | 120 in 6 clips, 30 of them kept |" in text
    assert "QP 8" in text
    assert text.startswith("---\ntags:\n")


def test_a_card_is_replaced_unless_its_mark_is_gone(shards: Path) -> None:
    card = shards / CARD_NAME
    card.write_text(f"old\n{MARK}\n")
    pack_folder(shards.parent / "in", shards, shard_bytes=3000)
    assert "| files | 3 in " in card.read_text()
    card.write_text("mine")
    pack_folder(shards.parent / "in", shards, shard_bytes=3000)
    assert card.read_text() == "mine"


def test_the_front_matter_is_that_of_a_dataset_card(shards: Path) -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard((shards / CARD_NAME).read_text())
    assert card.data.configs == [{"config_name": "default", "data_files": "*.tar"}]
    assert card.data.size_categories == ["n<1K"]
    assert "webdataset" in card.data.tags


def test_untrusted_names_stay_in_their_cells() -> None:
    latents = {"model": "a|b\n<script>", "fingerprint": "00", "channels": 3, "qp": [8, 24], "files": 12345, "clips": 1}
    text = card_text("x", latents | {"frames": 32, "kept": 8}, [{"filesize": 5}])
    assert r"| model | a\|b\n&lt;script>, fingerprint" in text
    assert "- 10K<n<100K" in text


def test_a_packed_folder_is_uploaded_by_the_tools_of_the_hub(shards: Path, tmp_path: Path) -> None:
    with serve_hub({}) as hub:
        environment = hub_environment(tmp_path, hub.url, HF_TOKEN=TOKEN)
        subprocess.run([sys.executable, "-c", UPLOAD, str(shards)], env=environment, check=True, timeout=120)
        stored = hub.created["datasets/me/clips"]
        assert stored == {path.name: path.read_bytes() for path in shards.iterdir()}
        assert {"README.md", "index.json", "shard-000000.tar"} <= stored.keys()
