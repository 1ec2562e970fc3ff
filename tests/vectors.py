"""Names and contents of the conformance vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FORMATS = ROOT / "formats"
VECTORS = FORMATS / "vectors"
SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")

ALL = sorted(str(p.relative_to(VECTORS).with_suffix("")) for p in VECTORS.glob("*/*.dfc"))
GOOD = [name for name in ALL if name.startswith(("valid/", "uncommon/"))]
FAULTY = [name for name in ALL if name.startswith("faulty/")]


def read_vector(name: str) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a conformance vector and its expected JSON."""
    path = VECTORS / f"{name}.dfc"
    return path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
