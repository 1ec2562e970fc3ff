"""Trial encodes: measure operating points of a clip by encoding and decoding it."""

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
"""Kept frames (of 32) and QP of the initial points of a clip; five of them need motion search."""
INITIAL_QPS = (16, 24, 32, 40)
"""QPs of the initial points if the number of kept frames is fixed."""

_ENTRY_BYTES = len(pack.pack_index(Index((IndexEntry(0, 0, 0, 0, 0, 0),), bytes(32)))) - len(
    pack.pack_index(Index((), bytes(32)))
)


def clip_bytes(clip: Clip, coder: ClipCoder) -> int:
    """Bytes that a clip adds to a file: its chunk and its entry in the index."""
    return chunks.CHUNK_OVERHEAD + len(pack.pack_clip(clip, coder.header)) + _ENTRY_BYTES


class ClipTrials:
    """Trial encodes of one clip.

    Args:
        coder: encodes clips.
        batch: frames of the clip.
        first_frame: number of its first frame.
        budget: the budget if it is fixed.

    Attributes:
        rd_model: model of rate and distortion, fitted to the trial encodes.
        samples: samples of the clip: frames × pixels × 3.
    """

    def __init__(
        self, coder: ClipCoder, batch: Sequence[Picture], first_frame: int, budget: Budget | None = None
    ) -> None:
        self._coder, self.batch, self.first_frame = coder, batch, first_frame
        count = len(batch)
        fixed = _fixed_count(budget, count, coder.header.clip_frames)
        self.rd_model = RDModel(count, None if fixed is None else [fixed])
        self.samples = count * batch[0].rgb.size
        self.coded: dict[OperatingPoint, Clip] = {}

    def probe(self) -> None:
        """Measure the initial points."""
        count = len(self.batch)
        if len(self.rd_model.kept) == 1:
            points = [OperatingPoint(int(self.rd_model.kept[0]), qp) for qp in INITIAL_QPS]
        else:
            points = [OperatingPoint(max(1, kept * count // 32), qp) for kept, qp in INITIAL_POINTS]
        for choice in points:
            self.measure(choice)
        self.coded.clear()  # these are seldom the points chosen in the end

    def measure(self, choice: OperatingPoint) -> RDCost:
        """Measure a point by a trial encode."""
        if choice in self.rd_model.measured:
            return self.rd_model.measured[choice]
        coded = self._coder.code_with_reconstruction(self.batch, self.first_frame, self._budget(choice), choice.qp)
        error = sse([p.rgb for p in self.batch], self._coder.reconstruct_clip(coded))
        cost = RDCost(clip_bytes(coded.clip, self._coder), error)
        self.rd_model.add(choice, cost)
        self.coded[choice] = coded.clip
        return cost

    def clip(self, choice: OperatingPoint) -> Clip:
        """The clip encoded at a point."""
        if choice not in self.coded:
            self.coded[choice], _ = self._coder.code(self.batch, self.first_frame, self._budget(choice), choice.qp)
        return self.coded[choice]

    def _budget(self, choice: OperatingPoint) -> Budget:
        return Budget("share", choice.kept / len(self.batch))


def _fixed_count(budget: Budget | None, frames: int, clip_frames: int) -> int | None:
    if budget is None:
        return None
    return frames if budget.kind == "all" else budget.count(frames, clip_frames)
