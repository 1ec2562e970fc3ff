"""The tables of context mixing are those of the specification, and of the size that the kernels expect."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import zstandard

from dfccodec.entropy.mixing import tables
from dfccodec.entropy.mixing.tables import Content, dump_tables, keys_of, load_tables, squash_and_stretch

ROOT = Path(__file__).resolve().parents[3]
SPEC = (ROOT / "SPEC.md").read_text()


def test_the_file_is_that_of_the_specification() -> None:
    data = (ROOT / "formats" / "mixing.tables").read_bytes()
    assert data == tables._FILE.read_bytes()
    assert f"`{hashlib.sha256(data).hexdigest()}`" in SPEC
    content = zstandard.ZstdDecompressor().decompress(data)
    assert zstandard.ZstdDecompressor().decompress(dump_tables(load_tables())) == content


def test_the_numbers_of_the_specification() -> None:
    (row,) = re.findall(r"^K = (.*\n.*)$", SPEC, flags=re.M)
    assert tuple(int(n) for n in re.findall(r"\d+", row)) == tables.KNOTS
    contexts = [sum(kind.contexts for kind in keys_of(content)) for content in Content]
    assert f"There are {contexts[0]:,} contexts".replace(",", " ") in SPEC
    assert f"{contexts[2]:,} for contents 2 and 3 each".replace(",", " ") in SPEC
    assert f"{contexts[4]:,} for content 4".replace(",", " ") in SPEC
    for kind in (*tables.LATENT_KEYS, *tables.DETAIL_KEYS, *tables.MOTION_KEYS):
        assert f"| {', '.join(map(str, kind.keys))} | {kind.nodes} |" in SPEC


def test_squash_and_stretch() -> None:
    squash, stretch = squash_and_stretch()
    wide = squash.view(np.uint16).astype(int)
    assert wide.min() == 32
    assert wide.max() <= 65504
    assert (np.diff(wide) >= 0).all()
    assert (np.diff(stretch.astype(int)) >= 0).all()
    assert stretch.min() >= -2047
    assert stretch.max() == 2047
    middle = np.arange(-1500, 1500)
    exact = 65536 / (1 + np.exp(-middle / 256))
    assert np.abs(wide[middle + 2048] - exact).max() < 200
    assert (
        tuple(min(max(round(65536 / (1 + math.exp(-x / 256))), 32), 65504) for x in range(-2048, 2049, 128))
        == tables.KNOTS
    )


def test_sums_fit_their_integers() -> None:
    for content in (Content.INTRA, Content.RESIDUAL, Content.DETAIL):
        linear = np.abs(load_tables()[content].linear.astype(np.int64)).sum(axis=1).max()
        assert linear * 32768 < 2**31
        assert (load_tables()[content].partners[1:, 0] < np.arange(1, content.groups[-1])).all()
    assert max(int(np.abs(t.weights).max()) for t in load_tables()) <= tables.MAX_WEIGHT
