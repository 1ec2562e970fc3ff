"""Context mixing of motion: blocks come back, the twin writes the same bytes, damage is found."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec import native
from dfccodec.entropy.mixing import motion, motion_twin
from dfccodec.entropy.mixing.motion import References, decode_motion, encode_motion
from dfccodec.entropy.mixing.tables import Content, load_tables

CONTENTS = st.sampled_from([Content.KEPT_MOTION, Content.DROPPED_MOTION])
SEEDS = st.integers(0, 2**32 - 1)


def fields(rows: int, columns: int, seed: int) -> tuple[References, np.ndarray]:
    """Frames with references on one side or both, and blocks that move alike, or not at all alike."""
    rng = np.random.default_rng(seed)
    kept = rng.random(rng.integers(2, 9)) < 0.4
    kept[rng.integers(len(kept))], kept[-1 - rng.integers(len(kept))] = True, False
    if not kept.any() or kept.all():
        kept[0], kept[1] = True, False
    index, dropped = np.flatnonzero(kept), np.flatnonzero(~kept)
    place, bounded = np.searchsorted(index, dropped), np.concatenate([[-1], index, [-1]])
    past, future = bounded[place], bounded[place + 1]
    blocks = np.zeros((len(dropped), rows, columns, 5), np.int16)
    blocks[..., 0] = rng.integers(0, 4, blocks.shape[:3]) & ((past >= 0) + 2 * (future >= 0))[:, None, None]
    vectors = rng.laplace(0, 1, 4) * 10 + rng.laplace(0, 1, (*blocks.shape[:3], 4)) * 10.0 ** rng.uniform(-2, 4.5)
    used = np.repeat([1, 2], 2) & blocks[..., :1] > 0
    blocks[..., 1:] = np.where(used, np.clip(np.rint(vectors), -32768, 32767), 0)
    return SimpleNamespace(dropped=dropped, past=past, future=future), blocks


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), CONTENTS, SEEDS)
def test_blocks_come_back(rows: int, columns: int, content: Content, seed: int) -> None:
    references, blocks = fields(rows, columns, seed)
    data, found = encode_motion(references, blocks, content), np.zeros_like(blocks)
    assert decode_motion(data, references, found, content)
    assert np.array_equal(found, blocks)


@pytest.mark.skipif(native.kernels is None, reason="the extension is not built: there is no C compiler")
@settings(max_examples=25)
@given(st.integers(1, 11), st.integers(1, 11), CONTENTS, SEEDS)
def test_the_twin_gives_the_same_bytes(rows: int, columns: int, content: Content, seed: int) -> None:
    references, blocks = fields(rows, columns, seed)
    data, tables, frames = (
        encode_motion(references, blocks, content),
        load_tables()[content],
        motion._frames(references),
    )
    assert motion_twin.encode(frames, blocks, tables) == data
    found = np.zeros_like(blocks)
    assert motion_twin.decode(data, frames, found, tables)
    assert np.array_equal(found, blocks)


@settings(max_examples=40)
@given(CONTENTS, SEEDS, st.data())
def test_damage_is_found_or_gives_blocks(content: Content, seed: int, data: st.DataObject) -> None:
    references, blocks = fields(5, 5, seed)
    coded = bytearray(encode_motion(references, blocks, content))
    at = data.draw(st.integers(0, len(coded) - 1))
    coded[at] ^= data.draw(st.integers(1, 255))
    cut = 4 * data.draw(st.integers(1, len(coded) // 4))
    for broken in (bytes(coded), bytes(coded[:cut])):
        found = np.zeros_like(blocks)
        if decode_motion(broken, references, found, content):
            assert set(np.unique(found[..., 0])) <= {0, 1, 2, 3}


@pytest.mark.skipif(native.kernels is None, reason="the extension is not built: there is no C compiler")
def test_the_kernel_refuses_a_mode_without_its_reference() -> None:
    references = SimpleNamespace(dropped=np.array([1]), past=np.array([0]), future=np.array([-1]))
    blocks = np.full((1, 1, 1, 5), 2, np.int16)
    with pytest.raises(ValueError, match="mode"):
        encode_motion(references, blocks, Content.KEPT_MOTION)


def test_tables_are_not_trained_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "kernels", None)
    references, blocks = fields(1, 1, 1)
    with pytest.raises(RuntimeError, match="C kernels"):
        motion.learn(references, blocks, load_tables()[Content.KEPT_MOTION])
