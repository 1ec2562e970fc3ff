"""The streaming encoder: pictures in, a `.dfc` file out, one clip at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from dfccodec.codec import tiles
from dfccodec.codec.budgets import Budget
from dfccodec.codec.decoder import model_frames
from dfccodec.codec.integers import DEFAULT_CODING, encode_integers
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.decide import decide, slope_of
from dfccodec.codec.motion.payload import Sides
from dfccodec.codec.quantizer import SNAP, measured_steps, quantize
from dfccodec.codec.runtime import free_threads
from dfccodec.container.records import Clip, Coding, Colour, Fill, Header, Ratio
from dfccodec.container.writer import Writer
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_PIXELS, MAX_CLIP_VALUES, MAX_QP
from dfccodec.media.picture import Picture, SourceInfo
from dfccodec.version import __version__

CLIP_FRAMES = 32
TILE_OVERLAP = 32
_KEPT_TAGS = (
    "title",
    "artist",
    "comment",
    "date",
    "copyright",
    "description",
    "creation_time",
    "genre",
    "language",
)

Progress = Callable[[int], None]
"""Called with the number of frames done so far."""


DEFAULT_BUDGET = Budget("top", 8)


@dataclass(frozen=True)
class Settings:
    """What an encode may choose.

    Args:
        budget: which frames to keep.
        qp: quantizer index, 0 (finest) … 63.
        fill: fill policy of dropped frames.
        seed: of Bernoulli budgets.
        coding: how integers become bytes: `RANGE` is smaller, `ZSTD` needs nothing but zstd to read.
        snap: slack in quantizer steps within which a latent repeats that of the kept frame before, 0…0.5.
    """

    budget: Budget = DEFAULT_BUDGET
    qp: int = 24
    fill: Fill = Fill.MOTION
    seed: int = 256
    coding: Coding = DEFAULT_CODING
    snap: float = SNAP

    def __post_init__(self) -> None:
        if not 0 <= self.qp <= MAX_QP:
            raise UsageError(f"QP {self.qp} is out of range: give 0 (finest) to {MAX_QP} (coarsest)")
        if not 0 <= self.snap <= 0.5:
            raise UsageError(f"snap {self.snap:g} is out of range: give 0 (round every frame alone) to 0.5")

    def describe(self) -> str:
        """The command-line options that mean these settings."""
        seed = f" --seed {self.seed}" if self.budget.kind == "bernoulli" else ""
        snap = "" if self.snap == SNAP else f" --snap {self.snap:g}"
        coding = "" if self.coding == DEFAULT_CODING else f" --coding {self.coding.name.lower()}"
        return f"--budget {self.budget} --qp {self.qp} --fill {self.fill.name.lower()}{coding}{snap}{seed}"


@dataclass(frozen=True)
class Report:
    """What an encode did: counts of frames, kept frames and clips, and bytes written."""

    frames: int = 0
    kept: int = 0
    clips: int = 0
    size: int = 0


def encode_pictures(
    pictures: Iterable[Picture],
    info: SourceInfo,
    out: BinaryIO,
    loaded: Loaded,
    settings: Settings = Settings(),
    progress: Progress | None = None,
) -> Report:
    """Encode a video.

    Args:
        pictures: frames in order of display.
        info: what the source says of itself.
        out: a binary stream; written front to back, never sought.
        loaded: the model.
        settings: budget, QP, fill policy, seed.
        progress: told the number of frames done.

    Raises:
        UsageError: the video has no frame.
    """
    header = make_header(info, loaded)
    writer: Writer | None = None
    report = Report()
    rng = np.random.default_rng(settings.seed)
    for batch in _batches(pictures, header.clip_frames):
        latents, importance = _analyse(batch, header, loaded, settings)
        if writer is None:
            own = loaded.model.steps
            steps = measured_steps(latents) if own is None else own
            writer = Writer(out, header, loaded.identity, steps, _tool(info, settings), _tags(info))
        kept = settings.budget.choose(importance, header.clip_frames, rng)
        values = quantize(latents[kept], steps, settings.qp, settings.snap)
        data, planes = encode_integers(values, settings.coding)
        durations = tuple(p.duration for p in batch)
        clip = Clip(
            report.frames, kept, importance, settings.qp, batch[0].pts,
            durations[:1] if len(set(durations)) == 1 else durations, data, planes, settings.fill,
            coding=settings.coding,
        )  # fmt: skip
        if settings.fill == Fill.MOTION:
            clip = _with_motion(clip, values, batch, header, steps, loaded)
        writer.clip(clip, values)
        report = Report(report.frames + len(batch), report.kept + int(kept.sum()), report.clips + 1, writer.offset)
        if progress:
            progress(report.frames)
    if writer is None:
        raise UsageError("the video has no frame: nothing to encode")
    writer.finish()
    return dataclasses.replace(report, size=writer.offset)


def make_header(info: SourceInfo, loaded: Loaded, clip_frames: int = CLIP_FRAMES) -> Header:
    """Geometry and time of the file for a source and a model, with clips of `clip_frames` where both allow it."""
    model = loaded.model
    header = Header(
        info.width, info.height, _ratio(info.rate), _ratio(info.time_base), model.patch, model.channels,
        min(clip_frames, model.max_frames), model.tile, TILE_OVERLAP if model.tile else 0,
        _ratio(info.pixel_aspect), info.rotation, Colour(*info.colour),
    )  # fmt: skip
    if model.tile and model.tile < 2 * TILE_OVERLAP:
        header = dataclasses.replace(header, overlap=model.tile // 4 // model.patch * model.patch)
    # Very large pictures take shorter clips, so that a clip stays inside the format's limits.
    fits = min(MAX_CLIP_VALUES // header.frame_values, MAX_CLIP_PIXELS // (header.width * header.height))
    return dataclasses.replace(header, clip_frames=max(1, min(header.clip_frames, fits)))


def _with_motion(
    clip: Clip, values: np.ndarray, batch: list[Picture], header: Header, steps: np.ndarray, loaded: Loaded
) -> Clip:
    """The clip with the motion of its dropped frames, searched in what a decoder will have of the kept ones."""
    sides = Sides.of(clip.kept)
    if len(sides.dropped) in (0, clip.frames):
        return clip
    decoded = model_frames(clip, values, header, steps, loaded)
    np.nan_to_num(np.clip(decoded, 0, 1, out=decoded), copy=False)
    frames = np.stack([p.rgb for p in batch])
    decisions = decide(frames, decoded, sides, slope_of(clip.qp), free_threads())
    return dataclasses.replace(clip, fill_payload=payload.write(decisions))


def _ratio(value: Fraction) -> Ratio:
    return Ratio(value.numerator, value.denominator)


def _tool(info: SourceInfo, settings: Settings) -> list[tuple[str, str]]:
    size = [("source_bytes", str(info.size))] if info.size else []
    return [("encoder", f"dfc {__version__}"), ("settings", settings.describe()), *size]


def _tags(info: SourceInfo) -> list[tuple[str, str]]:
    return [(key, value) for key, value in info.tags if key.lower() in _KEPT_TAGS]


def _batches(pictures: Iterable[Picture], count: int) -> Iterator[list[Picture]]:
    batch: list[Picture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def _analyse(batch: list[Picture], header: Header, loaded: Loaded, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Frames -> latents (T, tiles, rows, columns, C) float32 and importance (T,) uint8, the mean over tiles."""
    split = tiles.split(np.stack([p.rgb for p in batch]), header)
    keep = settings.budget.count(len(batch), header.clip_frames)
    coded = [loaded.encode(tile, settings.qp, keep) for tile in split]
    _, rows, columns = header.grid
    latents = np.stack([latents for latents, _ in coded], axis=1)
    latents = latents.reshape(len(batch), len(split), rows, columns, header.channels)
    importance = np.mean([score for _, score in coded], axis=0)
    return latents, np.rint(np.clip(importance, 0, 1) * 255).astype(np.uint8)
