"""A folder of small `.dfc` files."""

from __future__ import annotations

from pathlib import Path

import pytest
from latent_files import LENGTHS, write_latent_file


@pytest.fixture(scope="session")
def _latent_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    for name, frames in LENGTHS.items():
        write_latent_file(folder / f"{name}.dfc", frames)
    (folder / "a.txt").write_text("a bright square\n")
    (folder / "deep" / "d.json").write_text('{"caption": "from json", "fps": 25}')
    return folder


@pytest.fixture
def latent_files(_latent_files: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    for path in _latent_files.rglob("*"):
        if path.is_file():
            target = tmp_path / "latents" / path.relative_to(_latent_files)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "latents"
