"""Encode one clip: frames to a clip record and its integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.codec.choose import frame_selection
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.decode import reconstruct_clip, run_decoder_network
from dfccodec.codec.clip.distortion import sse
from dfccodec.codec.clip.frame_buffer import ClipFrameBuffer
from dfccodec.codec.clip.quantizer import estimate_base_steps, quantize, quantize_inter, step_sizes
from dfccodec.codec.clip.refine import RefinementTarget, default_iterations, refine
from dfccodec.codec.fill.direct import motion_of_cells
from dfccodec.codec.fill.generate.encoder import check_model, choose_kept, motion_payload
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blend import ReferenceBlender, clamp
from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.motion.motion_encoder import Effort, MotionSearch, dropped_lambda, lambda_for_qp
from dfccodec.codec.motion.pyramid import Pyramid
from dfccodec.codec.predict.encoder import (
    INTER_ERROR,
    PredictedClip,
    PredictedEncoder,
    frame_importance,
    inter_qp,
    rd_lambda,
)
from dfccodec.codec.predict.order import bisecting_order
from dfccodec.codec.predict.pictures import transform
from dfccodec.codec.settings import Settings
from dfccodec.container.records import Clip, Coding, Fill, Header, MotionFilter
from dfccodec.entropy.latent_coding import encode_latents, resolve_clip_coding
from dfccodec.entropy.mixing.latents import encode_mixed
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import direct_payload, dropped_content, encoder_filter, motion_filter, with_decisions
from dfccodec.errors import DfcError
from dfccodec.media.picture import Picture
from dfccodec.models.importance import gap_costs
from dfccodec.runtime.resources import available_cpus, malloc_trim

LINEAR_MARGIN = 1.12
"""Ratio between D + λR in inter coding, estimated with the linear transform, and that of a predicted clip, from which
on inter coding is not considered. On 60 training clips at QP 20 to 32 the linear transform needs 9 % more bits than the
network, and this margin changed the decision for one clip in 120, at a loss of 1 %."""


@dataclass(frozen=True)
class Coded:
    """A coded clip.

    Args:
        clip: the record.
        values: integers (K, tiles, rows, columns, C) int16.
        frames: output of the decoder network (T, H, W, 3) float32 in 0…1, before the fill policy; None if not stored.
    """

    clip: Clip
    values: np.ndarray
    frames: np.ndarray | None = None


class ClipCoder:
    """Encodes clips independently: the same frames and settings give the same clip, whatever was coded before.

    Args:
        header: header of the file.
        loaded: the model.
        settings: settings of the whole file.

    Attributes:
        steps: base steps (C,) float32, those of the model; if it has none, measured on the first clip.

    Raises:
        UsageError: the fill policy does not work with the model.
    """

    def __init__(self, header: Header, loaded: LoadedModel, settings: Settings) -> None:
        if settings.fill == Fill.GENERATE:
            check_model(header)
        self.header, self.loaded, self.settings = header, loaded, settings
        self._steps = loaded.model.steps
        self._costs = np.zeros(2)
        self._cancelled = False
        self._coding = resolve_clip_coding(settings.coding, loaded.model, settings.fill)

    @property
    def rd_cost_saved(self) -> float:
        """Share of D + λR that refinement has saved so far, 0…1."""
        before, after = self._costs.tolist()
        return 1 - after / before if before else 0.0

    def set_base_steps(self, steps: np.ndarray | None) -> None:
        """Use the quantizer steps of QP 0, (C,) float32, of the file that is resumed; None keeps those of the model."""
        self._steps = self._steps if steps is None else steps

    @property
    def has_steps(self) -> bool:
        """Whether the base steps are known."""
        return self._steps is not None

    def cancel(self) -> None:
        """Let encodes in other threads end early, with an error."""
        self._cancelled = True

    @property
    def steps(self) -> np.ndarray:
        """Base steps (C,) float32; known once a clip has been coded."""
        assert self._steps is not None
        return self._steps

    def code(
        self, batch: Sequence[Picture], first_frame: int, budget: Budget | None = None, qp: int | None = None
    ) -> tuple[Clip, np.ndarray]:
        """Encode one clip.

        Args:
            batch: its frames. Those of a list are replaced by equal ones that share the memory of this encode.
            first_frame: number of its first frame in the video.
            budget, qp: override the settings.

        Returns:
            the clip record and the integers (K, tiles, rows, columns, C) int16.
        """
        coded = self._trial(batch, first_frame, budget, qp, hold=False)
        return coded.clip, coded.values

    def code_with_reconstruction(
        self, batch: Sequence[Picture], first_frame: int, budget: Budget | None = None, qp: int | None = None
    ) -> Coded:
        """As :meth:`code`, with the output of the decoder network if the motion search needed it."""
        return self._trial(batch, first_frame, budget, qp, hold=True)

    def _trial(
        self, batch: Sequence[Picture], first_frame: int, budget: Budget | None, qp: int | None, hold: bool
    ) -> Coded:
        settings = self.settings
        budget, qp = budget or settings.budget, settings.qp if qp is None else qp
        padded = tiles.pad([p.rgb for p in batch], self.header)
        frames = padded[:, : self.header.height, : self.header.width]
        if isinstance(batch, list):  # its pictures become views, so that no frame is in memory twice
            batch[:] = [dataclasses.replace(p, rgb=frame) for p, frame in zip(batch, frames, strict=True)]
        latents, importance = self._analyse(padded, budget, qp)
        if self._steps is None:
            self._steps = estimate_base_steps(latents)

        def coded(kept: np.ndarray, refining: int = 0, hold: bool = True) -> Coded:
            if self._coding == Coding.PREDICTED:
                return self._code_predicted(batch, first_frame, frames, importance, kept, qp, refining)
            return self._code(
                batch, first_frame, frames, latents[kept], importance, kept, qp, refining, hold, self._coding
            )

        if settings.frame_selection != "importance":
            importance = self._selected(frames, latents, importance, budget, qp, coded)
        # Seeded per clip, so that the choice does not depend on earlier clips.
        kept = budget.choose(importance, self.header.clip_frames, np.random.default_rng([settings.seed, first_frame]))
        if self._fill_chooses and budget.count(len(frames), self.header.clip_frames) is not None:
            kept = choose_kept(frames, int(kept.sum()), importance)
        return coded(kept, default_iterations(self.loaded) if settings.refine is None else settings.refine, hold)

    def _code(
        self, batch: Sequence[Picture], first_frame: int, frames: np.ndarray, latents: np.ndarray,
        importance: np.ndarray, kept: np.ndarray, qp: int, refining: int, hold: bool, coding: Coding,
    ) -> Coded:  # fmt: skip
        """Quantize, refine and encode the kept frames of a clip.

        Args:
            latents: (K, …, C) float32, those of the kept frames only.
            refining: number of gradient iterations; 0 for none.
            hold: True to keep the output of the decoder network in the result, if the motion search has computed it.
        """
        target = RefinementTarget(frames, kept, qp, coding == Coding.INTER)
        now = quantize_inter(latents, self.steps, qp, self.settings.deadzone, target.inter)
        open_loop, pictures = self._is_open_loop(refining), dict[int, np.ndarray]()
        if refining:

            def on_picture(number: int, picture: np.ndarray) -> None:
                self._check()
                if open_loop:
                    pictures[number] = picture.astype(np.float16)  # all are held during the gradient

            found = refine(
                latents, now, target, self.header, self.steps, self.loaded, refining, self.settings.deadzone,
                None if self.header.tile else on_picture,
            )  # fmt: skip
            now = found.now
            self._costs += found.before, found.after
            malloc_trim()  # the gradient and the motion search need the most memory
        data, planes = encode_latents(now.values, coding, now.vectors)
        clip = _record(batch, first_frame, kept, importance, qp, data, planes, self.settings.fill, coding)
        if self.settings.fill not in (Fill.MOTION, Fill.BLEND, Fill.GENERATE) or kept.all() or not kept.any():
            return Coded(clip, now.values)
        if self.settings.fill == Fill.GENERATE:
            return Coded(dataclasses.replace(clip, fill_payload=motion_payload(frames, kept)), now.values)
        direct = None
        if now.vectors is not None and self.settings.fill == Fill.BLEND and not self.header.tile:
            moved = encoder_filter(qp) if self.settings.effort == Effort.NORMAL else MotionFilter.EIGHT_TAP
            clip = dataclasses.replace(clip, fill=Fill.DIRECT, fill_payload=direct_payload(moved, direct=True))
            direct = motion_of_cells(now.vectors, kept, self.header, moved)
        if not open_loop:
            return self._with_motion(clip, now.values, frames, hold, direct=direct)
        numbers = np.flatnonzero(kept).tolist()
        known = ((n, pictures.pop(n).astype(np.float32) if refining else frames[n]) for n in numbers)
        return self._with_motion(clip, now.values, frames, False, known, direct=direct)

    def _code_predicted(
        self, batch: Sequence[Picture], first_frame: int, frames: np.ndarray, importance: np.ndarray, kept: np.ndarray,
        qp: int, refining: int,
    ) -> Coded:  # fmt: skip
        """As :meth:`_code`, with predicted kept frames. If the estimated D + λR of inter coding is smaller, with intra
        frames alone or in inter coding."""
        settings, header = self.settings, self.header
        encoder = PredictedEncoder(
            frames, header, self.loaded, self.steps, settings.effort, refining, settings.deadzone, self._check
        )
        done = encoder.encode(kept, importance, qp)
        latents = self._inter_latents(frames[kept], done) if kept.any() else None
        if latents is not None and self._inter_is_smaller(latents, qp):
            # Importance of predicted frames: a trim then leaves frames all over the clip.
            return self._code(
                batch, first_frame, frames, latents, done.importance, kept, inter_qp(qp), refining, False, Coding.INTER
            )
        if latents is not None:
            done = encoder.encode(kept, importance, qp, intra_only=True)
        self._costs += encoder.refined
        clip = _record(batch, first_frame, kept, done.importance, qp, done.latents, 1, settings.fill, self._coding)
        if kept.all() or not kept.any():
            return Coded(clip, done.values)
        pyramids, direct = encoder.pyramids, encoder.direct
        del encoder  # it holds all pictures, of which the motion search needs few at a time
        malloc_trim()
        known = ((frame, done.pictures.pop(frame)) for frame in np.flatnonzero(kept).tolist())
        return self._with_motion(clip, done.values, frames, False, known, pyramids, direct)

    def _check(self) -> None:
        """End this encode if it was cancelled."""
        if self._cancelled:
            raise DfcError("the encode was cancelled")

    def _inter_latents(self, frames: np.ndarray, done: PredictedClip) -> np.ndarray | None:
        """Latents (K, …, C) of the kept frames if inter coding of them has the smaller D + λR; else None.

        D + λR is estimated with the linear transform first: in three of four clips that is enough.
        """
        header, padded, most = self.header, tiles.pad(list(frames), self.header), done.rd_cost
        grid = -1, *header.grid, header.channels
        linear = np.stack([transform(picture.astype(np.float32) / 255 - np.float32(0.5)) for picture in padded])
        if self._inter_cost(linear.reshape(grid), done) >= LINEAR_MARGIN * most:
            return None
        latents = self.loaded.encode(padded, inter_qp(done.qp))[0].reshape(grid)
        return latents if self._inter_cost(latents, done) < most else None

    def _inter_cost(self, latents: np.ndarray, done: PredictedClip) -> float:
        """Estimated D + λR of kept frames in inter coding: their bits, and the error of the first frame for each."""
        now = quantize_inter(latents, self.steps, inter_qp(done.qp), self.settings.deadzone, True)
        bits = 8 * len(encode_latents(now.values, Coding.INTER, now.vectors)[0])
        return INTER_ERROR * done.undetailed_error * len(latents) + rd_lambda(done.qp) * bits

    def _inter_is_smaller(self, latents: np.ndarray, qp: int) -> bool:
        """Whether inter coding of latents (K, …, C) takes fewer bits than context mixing of them as intra frames."""
        now = quantize_inter(latents, self.steps, inter_qp(qp), self.settings.deadzone, True)
        alone = quantize(latents, self.steps, inter_qp(qp), self.settings.deadzone)
        order = bisecting_order(np.ones(len(alone), bool))
        inter = encode_latents(now.values, Coding.INTER, now.vectors)[0]
        return len(inter) < len(encode_mixed(alone[order], Content.INTRA))

    def _rd_cost(self, coded: Coded, frames: np.ndarray, rd_lambda: float) -> float:
        """D + λR of a coded clip."""
        bits = 8 * (len(coded.clip.latents) + len(coded.clip.fill_payload))
        return sse(frames, self.reconstruct_clip(coded)) + rd_lambda * bits

    @property
    def _fill_chooses(self) -> bool:
        """Whether the fill policy chooses the kept frames: the generator needs near ones."""
        return self.settings.fill == Fill.GENERATE and self.settings.frame_selection == "importance"

    def _is_open_loop(self, refining: int) -> bool:
        """Whether the motion search uses source frames, or the pictures of the only iteration of the refinement, as
        references. To decode the kept frames for it would take a fifth of the time and save 0.3 % of the bits.

        Other policies need the network's pictures of dropped frames, and the pictures of other models may be far from
        the source.
        """
        near = refining <= 1 == default_iterations(self.loaded)
        return near and self.settings.fill == Fill.BLEND and not self.header.tile

    def reconstruct_clip(self, coded: Coded) -> np.ndarray:
        """The decoded frames of a clip, (T, H, W, 3) uint8."""
        if coded.frames is None:
            return reconstruct_clip(coded.clip, coded.values, self.header, self.steps, self.loaded)
        with ClipFrameBuffer(coded.clip, self.header, available_cpus()) as buffer:
            buffer.add_all(coded.frames)
        return buffer.frames

    def _analyse(self, frames: np.ndarray, budget: Budget, qp: int) -> tuple[np.ndarray, np.ndarray]:
        """Encode padded frames to latents (T, tiles, rows, columns, C) float32 and importance (T,) uint8, the mean over
        tiles."""
        header = self.header
        if self._coding == Coding.PREDICTED:
            step = float(np.mean(step_sizes(self.steps, qp)))
            keep = budget.count(len(frames), header.clip_frames)
            return np.zeros((len(frames), 0), np.float32), frame_importance(frames, step, keep)
        split = tiles.split(frames, header)
        # Frame selection other than by importance needs the latents of all frames.
        known = self.settings.frame_selection == "importance" and not self._fill_chooses
        keep = budget.count(len(frames), header.clip_frames) if known else None
        coded = [self.loaded.encode(tile, qp, keep) for tile in split]
        _, rows, columns = header.grid
        latents = coded[0][0][:, None] if len(coded) == 1 else np.stack([latents for latents, _ in coded], axis=1)
        latents = latents.reshape(len(frames), len(split), rows, columns, header.channels)
        importance = np.mean([score for _, score in coded], axis=0)
        return latents, np.rint(np.clip(importance, 0, 1) * 255).astype(np.uint8)

    def _selected(
        self, frames: np.ndarray, latents: np.ndarray, importance: np.ndarray, budget: Budget, qp: int,
        coded: Callable[[np.ndarray], Coded],
    ) -> np.ndarray:  # fmt: skip
        """Importance (T,) uint8, reordered by the frame selection of the settings."""
        motion = self.settings.fill in (Fill.MOTION, Fill.BLEND)
        costs = frame_selection.motion_costs(frames) if motion else gap_costs(latents.reshape(len(frames), -1))
        keep = budget.count(len(frames), self.header.clip_frames)
        planned = frame_selection.reorder_importance(importance, costs, keep)
        if self.settings.frame_selection == "dp" or keep is None:
            return planned

        def rd_cost(kept: np.ndarray) -> float:
            return self._rd_cost(coded(kept), frames, lambda_for_qp(qp))

        return frame_selection.greedy([importance, planned], costs, keep, rd_cost)

    def _with_motion(
        self, clip: Clip, values: np.ndarray, frames: np.ndarray, hold: bool,
        pictures: Iterable[tuple[int, np.ndarray]] | None = None, pyramids: dict[int, Pyramid] | None = None,
        direct: DirectMotion | None = None,
    ) -> Coded:  # fmt: skip
        """Add the motion of the dropped frames.

        Args:
            pictures: number and picture (H, W, 3) of each kept frame, the references of the search; None for the
                decoded ones.
            pyramids: those of kept frames, as far as they are known.
            direct: direct motion of the kept frames, if the clip has any.
        """
        references, rd_lambda = References.of(clip.kept), dropped_lambda(clip)
        held = np.empty(frames.shape, np.float32) if hold else None
        with MotionSearch(
            frames, references, rd_lambda, available_cpus(), self.settings.effort, pyramids, motion_filter(clip), direct
        ) as search:

            def add(number: int, picture: np.ndarray) -> None:
                self._check()
                picture = clamp(picture)
                search.add_frame(number, picture)
                if held is not None:
                    held[number] = picture

            if pictures is None:
                run_decoder_network(clip, values, self.header, self.steps, self.loaded, add)
            else:
                blend = ReferenceBlender(clip.kept, search.add_frame, search.add_estimate)
                for number, picture in pictures:
                    self._check()
                    blend(number, picture)
            found = payload.write(search.decisions(), dropped_content(clip))
        return Coded(with_decisions(clip, found), values, held)


def _record(
    batch: Sequence[Picture], first_frame: int, kept: np.ndarray, importance: np.ndarray, qp: int, latents: bytes,
    planes: int, fill: int, coding: int,
) -> Clip:  # fmt: skip
    """The record of a clip without fill payload."""
    durations = tuple(p.duration for p in batch)
    return Clip(
        first_frame, kept, importance, qp, batch[0].pts, durations[:1] if len(set(durations)) == 1 else durations,
        latents, planes, fill, coding=coding,
    )  # fmt: skip
