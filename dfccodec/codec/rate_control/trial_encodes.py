"""Measures operating points of a clip: really coded, really decoded, counted as they will stand in the file."""

from __future__ import annotations

from collections.abc import Sequence

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip.distortion import sse
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDCost, RDModel
from dfccodec.container import chunks, pack
from dfccodec.container.records import Clip, Index, IndexEntry
from dfccodec.media.picture import Picture

INITIAL_POINTS = ((8, 24), (8, 40), (2, 32), (32, 32), (16, 16), (4, 24))
"""Kept frames of 32 and QPs of the first points of a clip; five of them need motion."""
INITIAL_QPS = (16, 24, 32, 40)
"""QPs of the first points where the number of frames is fixed."""

_ENTRY_BYTES = len(pack.pack_index(Index((IndexEntry(0, 0, 0, 0, 0, 0),), bytes(32)))) - len(
    pack.pack_index(Index((), bytes(32)))
)


def clip_bytes(clip: Clip, coder: ClipCoder) -> int:
    """What a clip adds to a file: its chunk, and its entry in the index."""
    return chunks.FRAME_BYTES + len(pack.pack_clip(clip, coder.header)) + _ENTRY_BYTES


class ClipTrials:
    """One clip's points.

    Args:
        coder: codes clips.
        batch: the clip's frames.
        first_frame: number of the first of them.
        budget: where the number of frames kept is fixed.

    Attributes:
        surface: what was measured, and what follows for all other points.
        samples: of the clip: frames × pixels × 3.
    """

    def __init__(
        self, coder: ClipCoder, batch: Sequence[Picture], first_frame: int, budget: Budget | None = None
    ) -> None:
        self._coder, self.batch, self.first_frame = coder, batch, first_frame
        count = len(batch)
        fixed = _fixed_count(budget, count, coder.header.clip_frames)
        self.surface = RDModel(count, None if fixed is None else [fixed])
        self.samples = count * batch[0].rgb.size
        self.coded: dict[OperatingPoint, Clip] = {}

    def probe(self) -> None:
        """Measure the first points."""
        count = len(self.batch)
        if len(self.surface.kept) == 1:
            points = [OperatingPoint(int(self.surface.kept[0]), qp) for qp in INITIAL_QPS]
        else:
            points = [OperatingPoint(max(1, kept * count // 32), qp) for kept, qp in INITIAL_POINTS]
        for choice in points:
            self.measure(choice)
        self.coded.clear()  # seldom the points that are chosen in the end

    def measure(self, choice: OperatingPoint) -> RDCost:
        """What a point really costs."""
        if choice in self.surface.measured:
            return self.surface.measured[choice]
        coded = self._coder.code_with_reconstruction(self.batch, self.first_frame, self._budget(choice), choice.qp)
        shown = self._coder.reconstruct_clip(coded)
        error = sse([p.rgb for p in self.batch], shown)
        cost = RDCost(clip_bytes(coded.clip, self._coder), error)
        self.surface.add(choice, cost)
        self.coded[choice] = coded.clip
        return cost

    def clip(self, choice: OperatingPoint) -> Clip:
        """The clip coded at a point, as it was when it was measured."""
        if choice not in self.coded:
            self.coded[choice], _ = self._coder.code(self.batch, self.first_frame, self._budget(choice), choice.qp)
        return self.coded[choice]

    def _budget(self, choice: OperatingPoint) -> Budget:
        return Budget("share", choice.kept / len(self.batch))


def _fixed_count(budget: Budget | None, frames: int, clip_frames: int) -> int | None:
    if budget is None:
        return None
    return frames if budget.kind == "all" else budget.count(frames, clip_frames)
