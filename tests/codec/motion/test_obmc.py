"""The fill policy `motion` end to end: encode, decode and trim."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from motion_clips import header_for, sliding_texture
from support import flat_model, moving_square

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


def encode_bytes(frames: np.ndarray, loaded: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, **{"budget": "2", "fill": "motion", **options})  # type: ignore[arg-type]
    assert dfc.verify(io.BytesIO(out.getvalue())).faults == []
    return out.getvalue()


def decode_frames(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])


def first_clip(data: bytes) -> Clip:
    return next(item.clip for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt))


@pytest.mark.parametrize("options", [{}, {"budget": "4", "qp": 40}, {"budget": "all"}])
def test_motion_is_at_least_as_good_as_token(options: dict[str, object], mini: LoadedModel) -> None:
    frames = sliding_texture(12)
    token, motion = (decode_frames(encode_bytes(frames, mini, **options, fill=f), mini) for f in ("token", "motion"))
    errors = [((x.astype(float) - frames) ** 2).mean() for x in (token, motion)]
    assert errors[1] <= errors[0]
    if "budget" not in options:
        assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("size", [(48, 64), (37, 21), (5, 3)])
def test_motion_with_any_size_and_tiles(tile: int, size: tuple[int, int]) -> None:
    loaded = flat_model(tile)
    frames = moving_square(5, *size) if min(size) > 20 else sliding_texture(5, *size, step=(0, 1))
    data = encode_bytes(frames, loaded, budget="12")
    assert decode_frames(data, loaded).shape == frames.shape


def test_motion_with_single_frames_and_short_last_clips(mini: LoadedModel) -> None:
    for count in (1, 33):
        frames = moving_square(count, 32, 32)
        assert len(decode_frames(encode_bytes(frames, mini, budget="1"), mini)) == count


def test_trimming_keeps_motion_if_both_references_stay(mini: LoadedModel) -> None:
    frames = sliding_texture(16)
    untrimmed = encode_bytes(frames, mini, budget="all")
    data = io.BytesIO()
    dfc.trim(io.BytesIO(untrimmed), data, Budget.parse("4"))
    assert first_clip(data.getvalue()).fill_payload == b""  # no frame was dropped, so the file has no motion
    data = encode_bytes(frames, mini, budget="8")
    before = first_clip(data)
    trimmed = io.BytesIO()
    dfc.trim(io.BytesIO(data), trimmed, Budget.parse("6"))
    after = first_clip(trimmed.getvalue())
    assert dfc.verify(io.BytesIO(trimmed.getvalue())).faults == []
    old, new = (payload.read(c.fill_payload, c.kept, header_for(frames)).blocks for c in (before, after))
    a, b = References.of(before.kept), References.of(after.kept)
    for number, frame in enumerate(b.dropped.tolist()):
        old_index = np.flatnonzero(a.dropped == frame)
        k = old_index[0] if len(old_index) else None
        unchanged = k is not None and (a.past[k], a.future[k]) == (b.past[number], b.future[number])
        assert (new[number, ..., 0] == (old[k, ..., 0] if unchanged else MODEL)).all()


def test_trimming_to_a_range_keeps_motion(mini: LoadedModel) -> None:
    frames = sliding_texture(16)
    data = encode_bytes(frames, mini, budget="6")
    trimmed = io.BytesIO()
    before = first_clip(data)
    first, last = (int(k) for k in np.flatnonzero(before.kept)[[0, -1]])
    dfc.trim(io.BytesIO(data), trimmed, start=first, end=last + 1)
    assert dfc.verify(io.BytesIO(trimmed.getvalue())).faults == []
    np.testing.assert_array_equal(decode_frames(trimmed.getvalue(), mini).shape, frames[first : last + 1].shape)
    old, new = (
        payload.read(c.fill_payload, c.kept, header_for(frames)).blocks
        for c in (before, first_clip(trimmed.getvalue()))
    )
    in_range = (References.of(before.kept).dropped > first) & (References.of(before.kept).dropped < last)
    assert (old[in_range][..., 0] == new[..., 0]).all()


def test_a_damaged_fill_payload_is_reported(mini: LoadedModel) -> None:
    data = encode_bytes(sliding_texture(40), mini)
    clip = first_clip(data)
    assert clip.fill_payload
    bad = dataclasses.replace(clip, fill_payload=b"\1\2\3\4" + clip.fill_payload)
    with pytest.raises(DamagedError, match="fill payload: "):
        fill.policy(Fill.MOTION).check(bad, header_for(sliding_texture(1)))


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (2, 40)])
def test_pictures_one_pixel_high_or_wide(size: tuple[int, int], mini: LoadedModel) -> None:
    # Regression: such a picture has another memory layout, and interpolation read beyond its end.
    brightness = 127 + 100 * np.sin((np.arange(max(size)) + 2 * np.arange(6)[:, None]) / 7)
    frames = np.repeat(brightness.astype(np.uint8).reshape(6, -1, 1, 1), min(size), axis=2).repeat(3, axis=3)
    frames = frames.reshape(6, *size, 3) if size[1] == 1 else np.ascontiguousarray(frames.swapaxes(1, 2))
    out = io.BytesIO()
    dfc.encode(frames, out, model=mini, budget="2", refine=0)
    one, two = (np.stack([p.rgb for p in Decoder(io.BytesIO(out.getvalue()), lambda _: mini)]) for _ in range(2))
    assert (one == two).all()
    assert np.mean((one.astype(float) - frames) ** 2) < 255**2 / 10**1.8
