"""Fill policy `direct`: as `blend`, with a filter, and in the inter coding with direct motion (SPEC.md 7.8.4)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, PAST
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.predict.order import direct_motion as predicted_motion
from dfccodec.container.records import Clip, Coding, Header, MotionFilter
from dfccodec.entropy.inter.coding import decode_mvs
from dfccodec.entropy.inter.motion_compensation import PATCH, SUBPEL
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.entropy.motion_tools import has_direct_motion, motion_filter

Bools = npt.NDArray[np.bool_]
Shorts = npt.NDArray[np.int16]


def direct_motion(clip: Clip, header: Header) -> DirectMotion | None:
    """The direct motion of a clip; None if it has none.

    Raises:
        DamagedError: the latents or the motion are invalid.
    """
    if clip.coding == Coding.PREDICTED or not has_direct_motion(clip):
        return predicted_motion(clip, header)
    mvs = decode_mvs(clip.latents, int(clip.kept.sum()), header.grid, header.channels)
    return motion_of_cells(mvs, clip.kept, header, motion_filter(clip))


def motion_of_cells(mvs: Shorts, kept: Bools, header: Header, units: MotionFilter) -> DirectMotion:
    """Direct motion from the vectors of the inter coding.

    Args:
        mvs: (K, cells, 2) of each cell of each kept frame into the previous one, in 1 / SUBPEL pixel.
        kept: (T,) the kept frames.
        header: header of a file without tiles.
        units: filter whose units of a pixel the result has.
    """
    out = DirectMotion()
    rows, columns = (-(-side // BLOCK) for side in (header.height, header.width))
    for (past, frame), field in zip(pairwise(np.flatnonzero(kept).tolist()), mvs[1:], strict=True):
        scaled = (field.astype(np.int32) * units.subpel + SUBPEL // 2) // SUBPEL
        cells = scaled.reshape(*header.grid[1:], 2).astype(np.int16)
        blocks = np.zeros((rows, columns, 5), np.int16)
        blocks[..., 0] = PAST
        blocks[..., 1:3] = np.repeat(np.repeat(cells, PATCH // BLOCK, 0), PATCH // BLOCK, 1)[:rows, :columns]
        out.add(frame, past, -1, blocks)  # its median changes nothing: the four blocks of a cell are alike
    return out


def remaining_mvs(clip: Clip, header: Header, kept: Bools, first: int, values: Shorts) -> Shorts:
    """Vectors (K', cells, 2) for a part of a clip in the inter coding.

    A kept frame whose previous kept frame stays keeps its vectors, so that direct motion between both stays. Those of
    the others are estimated.

    Args:
        clip: the clip.
        header: header of its file.
        kept: (T',) the kept frames of the part.
        first: number of the first frame of the part in the clip.
        values: (K', tiles, rows, columns, 96) int16, integers of the part.

    Raises:
        DamagedError: the latents are invalid.
    """
    old = decode_mvs(clip.latents, int(clip.kept.sum()), header.grid, header.channels)
    before, after = np.flatnonzero(clip.kept).tolist(), (np.flatnonzero(kept) + first).tolist()
    place = {frame: k for k, frame in enumerate(before)}
    pairs = set(pairwise(before))
    if all(pair in pairs for pair in pairwise(after)):
        out = np.zeros((len(after), *old.shape[1:]), np.int16)
    else:
        out = estimate_motion(values)
    for k, pair in enumerate(pairwise(after), start=1):
        if pair in pairs:
            out[k] = old[place[pair[1]]]
    return out
