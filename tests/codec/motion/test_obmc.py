"""Fill policy motion the whole way through a file."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from motion_clips import header_for, sliding_texture
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec import fill
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MODEL, References
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip, Fill
from dfccodec.errors import DamagedError


def coded(frames: np.ndarray, loaded: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, **{"budget": "2", "fill": "motion", **options})  # type: ignore[arg-type]
    assert dfc.verify(io.BytesIO(out.getvalue())).faults == []
    return out.getvalue()


def decoded(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])


def clip_of(data: bytes) -> Clip:
    return next(item.clip for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt))


@pytest.mark.parametrize("options", [{}, {"budget": "4", "qp": 40}, {"budget": "all"}])
def test_motion_is_no_worse_than_the_token(options: dict[str, object], mini: LoadedModel) -> None:
    frames = sliding_texture(12)
    token, motion = (decoded(coded(frames, mini, **options, fill=f), mini) for f in ("token", "motion"))
    errors = [((x.astype(float) - frames) ** 2).mean() for x in (token, motion)]
    assert errors[1] <= errors[0]
    if "budget" not in options:
        assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("size", [(48, 64), (37, 21), (5, 3)])
def test_any_size_and_tiles(tile: int, size: tuple[int, int]) -> None:
    loaded = flat_model(tile)
    frames = moving(5, *size) if min(size) > 20 else sliding_texture(5, *size, step=(0, 1))
    data = coded(frames, loaded, budget="12")
    assert decoded(data, loaded).shape == frames.shape


def test_clips_of_one_frame_and_short_last_clips(mini: LoadedModel) -> None:
    for count in (1, 33):
        frames = moving(count, 32, 32)
        assert len(decoded(coded(frames, mini, budget="1"), mini)) == count


def test_trimming_keeps_the_motion_of_frames_whose_neighbours_stay(mini: LoadedModel) -> None:
    frames = sliding_texture(16)
    whole = coded(frames, mini, budget="all")
    data = io.BytesIO()
    dfc.trim(io.BytesIO(whole), data, Budget.parse("4"))
    assert clip_of(data.getvalue()).fill_payload == b""  # nothing was dropped before, so nothing has motion
    data = coded(frames, mini, budget="8")
    before = clip_of(data)
    small = io.BytesIO()
    dfc.trim(io.BytesIO(data), small, Budget.parse("6"))
    after = clip_of(small.getvalue())
    assert dfc.verify(io.BytesIO(small.getvalue())).faults == []
    old, new = (payload.read(c.fill_payload, c.kept, header_for(frames)).blocks for c in (before, after))
    a, b = References.of(before.kept), References.of(after.kept)
    for number, frame in enumerate(b.dropped.tolist()):
        was = np.flatnonzero(a.dropped == frame)
        same = len(was) and (a.past[was[0]], a.future[was[0]]) == (b.past[number], b.future[number])
        assert (new[number, ..., 0] == (old[was[0], ..., 0] if same else MODEL)).all()


def test_trimming_to_a_range(mini: LoadedModel) -> None:
    frames = sliding_texture(16)
    data = coded(frames, mini, budget="6")
    part = io.BytesIO()
    before = clip_of(data)
    first, last = (int(k) for k in np.flatnonzero(before.kept)[[0, -1]])
    dfc.trim(io.BytesIO(data), part, start=first, end=last + 1)
    assert dfc.verify(io.BytesIO(part.getvalue())).faults == []
    np.testing.assert_array_equal(decoded(part.getvalue(), mini).shape, frames[first : last + 1].shape)
    old, new = (
        payload.read(c.fill_payload, c.kept, header_for(frames)).blocks for c in (before, clip_of(part.getvalue()))
    )
    inside = (References.of(before.kept).dropped > first) & (References.of(before.kept).dropped < last)
    assert (old[inside][..., 0] == new[..., 0]).all()


def test_a_broken_payload_costs_its_clip(mini: LoadedModel) -> None:
    data = coded(sliding_texture(40), mini)
    clip = clip_of(data)
    assert clip.fill_payload
    bad = dataclasses.replace(clip, fill_payload=b"\1\2\3\4" + clip.fill_payload)
    with pytest.raises(DamagedError, match="fill payload: "):
        fill.policy(Fill.MOTION).check(bad, header_for(sliding_texture(1)))


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (2, 40)])
def test_pictures_a_pixel_high_or_wide(size: tuple[int, int], mini: LoadedModel) -> None:
    # Fault: such a picture lies otherwise in memory, and what was fetched of it came from beyond it.
    wave = 127 + 100 * np.sin((np.arange(max(size)) + 2 * np.arange(6)[:, None]) / 7)
    frames = np.repeat(wave.astype(np.uint8).reshape(6, -1, 1, 1), min(size), axis=2).repeat(3, axis=3)
    frames = frames.reshape(6, *size, 3) if size[1] == 1 else np.ascontiguousarray(frames.swapaxes(1, 2))
    out = io.BytesIO()
    dfc.encode(frames, out, model=mini, budget="2", refine=0)
    one, two = (np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: mini)]) for _ in range(2))
    assert (one == two).all()
    assert np.mean((one.astype(float) - frames) ** 2) < 255**2 / 10**1.8
