"""docs/architecture.md names files and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_path_exists() -> None:
    quoted = re.findall(r"`([\w./-]+(?:\.py|\.md|\.ksy|/))`", TEXT)
    boxed = re.findall(r"\[\"([\w./, ]+?(?:\.py|/))", TEXT)
    paths = {path for text in [*quoted, *boxed] for path in text.split(", ")}
    assert len(paths) > 40
    rooms = {Path(path).parts[0] for path in paths}
    assert {"cli", "codec", "container", "edit", "entropy", "media", "models", "training"} <= rooms
    missing = sorted(path for path in paths if not any((base / path).exists() for base in _bases()))
    assert not missing


def _bases() -> tuple[Path, ...]:
    """Paths are relative to the repository or to the package; a box may name a second file of the same folder."""
    return (
        ROOT,
        ROOT / "dfccodec",
        ROOT / "dfccodec" / "codec",
        ROOT / "dfccodec" / "training",
        ROOT / "dfccodec" / "media",
        ROOT / "benchmarks",
    )


def test_every_room_is_listed() -> None:
    rooms = {path.name for path in (ROOT / "dfccodec").iterdir() if (path / "__init__.py").exists()}
    assert rooms <= set(re.findall(r"^\| `(\w+)/`", TEXT, flags=re.M))
