"""Fill policy `direct`: what clips in inter coding get, through encode, decode, trim and recoding."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from motion_clips import sliding_texture

import dfccodec as dfc
from dfccodec.codec import fill
from dfccodec.codec.fill.direct import direct_motion, motion_of_cells, remaining_mvs
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip, Fill, Header, MotionFilter, Ratio
from dfccodec.entropy.inter.coding import decode_mvs
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.motion_tools import decisions, has_direct_motion, motion_filter
from dfccodec.errors import UsageError

FRAMES = sliding_texture(24, 64, 80, (1, 3))


def encoded(loaded: LoadedModel, budget: str = "8", **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(FRAMES, out, model=loaded, qp=20, budget=budget, refine=0, **{"coding": "inter", **options})  # type: ignore[arg-type]
    return out.getvalue()


def read_clip(data: bytes) -> tuple[Clip, Header]:
    reader = StreamReader(io.BytesIO(data))
    (clip,) = [item.clip for item in reader if isinstance(item, ClipAt)]
    assert not dfc.verify(io.BytesIO(data)).faults
    return clip, reader.preamble.header


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b) ** 2) / 255**2))


def pictures(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([picture.rgb for picture in dfc.decode(data, model=loaded)])


def test_dropped_frames_of_a_pan_need_few_decisions(mini: LoadedModel) -> None:
    data = encoded(mini)
    clip, header = read_clip(data)
    assert (clip.fill, motion_filter(clip)) == (Fill.DIRECT, MotionFilter.QUARTER)
    direct = direct_motion(clip, header)
    assert direct is not None
    past, future = np.flatnonzero(clip.kept)[2:4].tolist()
    assert future - past > 1
    frame = past + 1
    found = direct.vectors(frame, past, future)
    assert found is not None
    velocity = np.median(found[..., 1, :], axis=(0, 1)) / (future - frame) / 4
    assert np.abs(velocity) == pytest.approx([1, 3], abs=0.3)
    plain, without = encoded(mini, fill="motion"), io.BytesIO()
    assert len(decisions(clip)) < 0.7 * len(read_clip(plain)[0].fill_payload)
    assert psnr(pictures(data, mini), FRAMES) > psnr(pictures(plain, mini), FRAMES) - 0.3
    dfc.trim(data, without, coding="range")  # takes direct motion away, and nothing else
    changed, _ = read_clip(without.getvalue())
    assert (changed.fill, motion_filter(changed)) == (Fill.DIRECT, MotionFilter.QUARTER)
    assert not has_direct_motion(changed)
    assert decisions(changed) == decisions(clip)
    before, after = pictures(data, mini), pictures(without.getvalue(), mini)
    np.testing.assert_array_equal(before[clip.kept], after[clip.kept])
    assert psnr(after, FRAMES) < psnr(before, FRAMES)


def test_only_clips_in_inter_coding_with_dropped_frames_have_policy_direct(mini: LoadedModel) -> None:
    assert read_clip(encoded(mini, "all"))[0].fill == Fill.BLEND
    assert read_clip(encoded(mini, coding="range"))[0].fill == Fill.BLEND
    assert read_clip(encoded(mini, fill="token"))[0].fill == Fill.TOKEN


@pytest.mark.parametrize("first", [0, 5])
def test_frames_between_the_same_kept_frames_stay_as_they_are(first: int, mini: LoadedModel) -> None:
    data, out = encoded(mini), io.BytesIO()
    before = read_clip(data)[0]
    dfc.trim(data, out, 4, start=first)
    after = read_clip(out.getvalue())[0]
    old, new = np.flatnonzero(before.kept).tolist(), (np.flatnonzero(after.kept) + first).tolist()
    was, now = pictures(data, mini), pictures(out.getvalue(), mini)
    same = [pair for pair in pairwise(old) if pair in list(pairwise(new))]
    assert set(new) < set(old)
    for past, future in same:
        a, b = was[past : future + 1], now[past - first : future + 1 - first]
        assert psnr(a, b) > 40  # the network sees other kept frames, too
    assert has_direct_motion(after)
    assert psnr(now, FRAMES[first:]) > 15


def test_vectors_of_pairs_that_stay_are_kept(mini: LoadedModel) -> None:
    clip, header = read_clip(encoded(mini))
    kept = np.flatnonzero(clip.kept)
    mvs = decode_mvs(clip.latents, len(kept), header.grid, header.channels)
    values = decode_latents(clip, header)
    np.testing.assert_array_equal(remaining_mvs(clip, header, clip.kept, 0, values), mvs)
    part = clip.kept.copy()
    part[kept[2]] = False
    found = remaining_mvs(clip, header, part, 0, np.delete(values, 2, axis=0))
    np.testing.assert_array_equal(found[[1, 3, 4]], mvs[[1, 4, 5]])  # frames 1, 4 and 5 keep their predecessors
    assert (found[2] != mvs[3]).any()


def test_units_of_half_and_quarter_pixels() -> None:
    header = Header(32, 16, Ratio(25, 1), Ratio(1, 25))
    mvs = np.zeros((2, 2, 2), np.int16)
    mvs[1] = [[5, -5], [-6, 2]]
    kept = np.array([True, False, True])
    fields = {
        units: motion_of_cells(mvs, kept, header, units) for units in (MotionFilter.EIGHT_TAP, MotionFilter.QUARTER)
    }
    for units, wanted in ((MotionFilter.EIGHT_TAP, [[3, -2], [-3, 1]]), (MotionFilter.QUARTER, [[5, -5], [-6, 2]])):
        found = fields[units].vectors(1, 0, 2)
        assert found is not None
        assert found.shape == (2, 4, 2, 2)
        assert found[0, 0, 1].tolist() == [(2 * -v + 2) // 4 for v in wanted[0]]
        assert found[1, 3, 1].tolist() == [(2 * -v + 2) // 4 for v in wanted[1]]


def test_blend_is_the_name_on_the_command_line() -> None:
    assert fill.parse("blend") == Fill.BLEND
    with pytest.raises(UsageError, match=r"'direct' is unknown; give one of: token, hold, lerp, motion, blend, gen"):
        fill.parse("direct")
