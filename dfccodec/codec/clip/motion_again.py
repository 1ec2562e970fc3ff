"""Motion of a clip whose kept frames became fewer, searched anew in its decoded frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfccodec.codec import fill
from dfccodec.codec.clip.decode import check_memory, reconstruct_clip
from dfccodec.codec.fill.direct import direct_motion
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blend import ReferenceBlender
from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.motion_encoder import Effort, MotionSearch, dropped_lambda
from dfccodec.container.reader import Preamble
from dfccodec.container.records import Clip
from dfccodec.entropy.motion_tools import dropped_content, motion_filter, with_decisions
from dfccodec.runtime.resources import available_cpus, available_memory

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


class MotionAgain:
    """Searches the motion of dropped frames as an encoder does, with decoded frames in place of the source.

    Args:
        preamble: of the file.
        loaded: its model.

    Raises:
        ModelError: it is not the model of the file.
    """

    def __init__(self, preamble: Preamble, loaded: LoadedModel) -> None:
        self._preamble, self._loaded = preamble, loaded.for_file(preamble.model)

    def __call__(self, before: Clip, values: np.ndarray, after: Clip, first: int) -> Clip:
        """Return `after` with new motion.

        Only fill policy `blend` has motion that needs no pictures of the network; clips of others are returned as they
        are.

        Args:
            before: the clip.
            values: its integers (K, tiles, rows, columns, C).
            after: the clip with fewer kept frames, or a part of it.
            first: number of the first frame of `after` in `before`.

        Raises:
            LimitError: the frames do not fit into memory.
            DamagedError: the motion of the clip is invalid.
        """
        header = self._preamble.header
        if not fill.policy(after.fill).blends or not after.kept.any() or after.kept.all() or header.tile:
            return after
        check_memory(before, header, available_memory())
        decoded = reconstruct_clip(before, values, header, self._preamble.steps, self._loaded)
        frames = decoded[first : first + after.frames]
        with MotionSearch(
            frames, References.of(after.kept), dropped_lambda(after), available_cpus(), Effort.NORMAL, None,
            motion_filter(after), direct_motion(after, header),
        ) as search:  # fmt: skip
            blend = ReferenceBlender(after.kept, search.add_frame, search.add_estimate)
            for number in np.flatnonzero(after.kept).tolist():
                blend(number, frames[number])
            found = payload.write(search.decisions(), dropped_content(after))
        return with_decisions(after, found)
