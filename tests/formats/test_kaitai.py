"""The Kaitai Struct definition and the magic for file(1)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vectors import ALL, FORMATS, GOOD, ROOT, VECTORS, read_vector

from dfccodec.container.chunks import KNOWN


def ksy() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    loaded: dict[str, Any] = yaml.safe_load((FORMATS / "dfc.ksy").read_text(encoding="utf-8"))
    return loaded


def test_the_kaitai_definition_names_every_chunk() -> None:
    cases = ksy()["types"]["chunk"]["seq"][2]["type"]["cases"]
    assert {key.strip('"').encode() for key in cases} == set(KNOWN)
    assert set(cases.values()) <= set(ksy()["types"])


def test_the_kaitai_definition_parses_the_vectors() -> None:
    """Needs node with kaitai-struct-compiler and kaitai-struct; DFC_KAITAI names the folder they were installed in."""
    modules = Path(os.environ.get("DFC_KAITAI", ROOT)) / "node_modules"
    if not shutil.which("node") or not all((modules / n).exists() for n in ("kaitai-struct-compiler", "kaitai-struct")):
        pytest.skip(f"node, or kaitai-struct-compiler and kaitai-struct in {modules}, are missing (set DFC_KAITAI)")
    script = ["node", str(Path(__file__).with_name("parse_ksy.js"))]
    request = json.dumps({"ksy": ksy(), "files": [str(VECTORS / f"{name}.dfc") for name in ALL]})
    env = {**os.environ, "NODE_PATH": str(modules)}
    done = subprocess.run(script, input=request, capture_output=True, text=True, check=True, env=env)
    parsed = dict(zip(ALL, json.loads(done.stdout), strict=True))
    for name in GOOD:
        compare_kaitai(parsed[name], read_vector(name)[1])
    for fault in ("head-channels-0", "clip-qp-64", "not-png", "head-patch-3", "truncated-in-clip", "packets-key-2"):
        assert "error" in parsed[f"faulty/{fault}"], fault


def compare_kaitai(parsed: Any, expected: dict[str, Any]) -> None:
    assert isinstance(parsed, list), parsed
    head, h = parsed[0], expected["header"]
    assert (head["size"], head["grid"], head["rate"]) == ([h["width"], h["height"]], h["grid"], h["rate"])
    by_type = {kind: [c for c in parsed if c["type"] == kind] for kind in ("STEP", "CLIP", "strm", "indx", "foot")}
    assert by_type["STEP"][0]["steps"] in (expected["steps"], expected["steps"][:1])
    names = ("first_frame", "frames", "qp", "importance", "planes")
    want = [{name: clip[name] for name in names} for clip in expected["clips"]]
    assert [{name: clip[name] for name in names} for clip in by_type["CLIP"]] == want
    assert [s["codec"] for s in by_type["strm"]] == [s["codec"] for s in expected["streams"]]
    assert by_type["indx"][0]["hash"] == expected["totals"]["latent_hash"]
    assert by_type["indx"][0]["offsets"] == [clip["offset"] for clip in expected["clips"]]


@pytest.mark.skipif(not shutil.which("file"), reason="file(1) is not installed")
def test_file_knows_the_magic() -> None:
    def ask(*options: str) -> str:
        magic = ["file", "-b", *options, "-m", str(FORMATS / "dfc.magic")]
        path = str(VECTORS / "valid/colour-and-shape.dfc")
        return subprocess.run([*magic, path], capture_output=True, text=True, check=True).stdout.strip()

    assert ask() == "DFC learned video, version 1, 16 x 16, 30000/1001 fps, 1 channels per 16-pixel patch"
    assert ask("--mime-type") == "video/x-dfc"
