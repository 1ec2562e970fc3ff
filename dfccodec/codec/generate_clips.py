"""Generate clips with `mini-dit`: from noise, after a file (`--continue`), or between its kept frames (`--between`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from dfccodec.codec.clip.quantizer import dequantize, quantize
from dfccodec.codec.damage.concealment import nominal_duration
from dfccodec.codec.encoder import EncodeReport, make_header
from dfccodec.codec.generate import RATE
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_latents, default_coding, encode_latents
from dfccodec.errors import ModelError, UsageError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE
from dfccodec.media.picture import SourceInfo
from dfccodec.models.flow_sampling import Conditions, Segment, place_segments, sample
from dfccodec.models.identity import check_identity
from dfccodec.models.latent_dit import KnownGaps, LatentDiT
from dfccodec.version import __version__

MAX_TOKENS = 1 << 16
"""Maximum kept frames × patches of one sampling, which takes about 2 GB: 8 frames of 1920×1080."""

GIVEN_FRAMES = 16
"""Maximum number of given frames of a continuation, the most important ones of the last clip."""

GENERATED_IMPORTANCE = 127
"""Importance of kept frames added between others, so that `trim` drops them first."""


@dataclass(frozen=True)
class Sampling:
    """Options of a generation.

    Args:
        latent_frames: kept frames to generate; with `between`, kept frames of every clip afterwards.
        steps: steps from noise to latents.
        method: `euler` or `heun`.
        seed: random seed of the noise, which is drawn on the CPU so that every device starts from the same.
        qp: quantizer index of generated latents.
        fill: fill policy of generated clips: `TOKEN`, `HOLD` or `LERP`.
        temperature: standard deviation of the noise, 0…2. Below 1, clips are smoother and vary less.
    """

    latent_frames: int = 8
    steps: int = 50
    method: str = "heun"
    seed: int = 256
    qp: int = 16
    fill: Fill = Fill.TOKEN
    temperature: float = 0.95

    def describe(self) -> str:
        """The command-line options, for the tool chunk."""
        return (
            f"--latent-frames {self.latent_frames} --steps {self.steps} --method {self.method} --seed {self.seed} "
            f"--qp {self.qp} --fill {self.fill.name.lower()} --temperature {self.temperature:g}"
        )


def generate_clips(
    dit: LatentDiT, loaded: LoadedModel, out: BinaryIO, size: tuple[int, int], options: Sampling = Sampling()
) -> EncodeReport:
    """Generate a video from noise and write it as a `.dfc` file. Every segment becomes a clip.

    Args:
        dit: the generator.
        loaded: the codec model of its latents.
        out: a binary stream.
        size: (width, height) in pixels.
        options: see `Sampling`.

    Raises:
        ModelError: generator and codec model do not match.
        UsageError: an option is out of range; nothing was allocated.
    """
    check_pair(dit, loaded)
    check_size(size)
    header = make_header(SourceInfo(*size, RATE, 1 / RATE), loaded)
    check_tokens(dit, options.latent_frames, header)
    writing = _Writing(out, header, loaded, options, "generate")
    latents, segments = _sample(dit, loaded, header, options.latent_frames, options, None)
    writing.append(latents, segments)
    return writing.finish()


def continue_clips(
    dit: LatentDiT, loaded: LoadedModel, source: BinaryIO, out: BinaryIO, options: Sampling = Sampling()
) -> EncodeReport:
    """Copy the clips of a file and append generated ones, which continue the kept frames of its last clip.

    Audio and subtitle tracks are not copied. Other arguments and errors are as for `generate_clips`.

    Raises:
        DamagedError: the file is damaged.
        UsageError: it has no kept frame.
    """
    check_pair(dit, loaded)
    reader, clips = _read_clips(source, loaded)
    header = reader.preamble.header
    last = clips[-1]
    given = np.flatnonzero(last.kept)
    if not len(given):
        raise UsageError("the last clip of the file has no kept frame: there is nothing to continue")
    order = np.argsort(-last.importance[given].astype(int), kind="stable")[:GIVEN_FRAMES]
    chosen = np.sort(order)
    check_tokens(dit, len(chosen) + options.latent_frames, header)
    writing = _Writing(out, header, loaded, options, "generate --continue", clips)
    latents = _clip_latents(last, header, loaded)[chosen]
    gaps = np.diff(given[chosen], prepend=0)
    ending = len(last.kept) - 1 - given[chosen[-1]]
    fixed = _continuation(dit, latents, gaps, int(ending), options.latent_frames)
    made, segments = _sample(dit, loaded, header, len(chosen) + options.latent_frames, options, fixed)
    writing.append(made[len(chosen) :], segments)
    return writing.finish()


def generate_between(
    dit: LatentDiT, loaded: LoadedModel, source: BinaryIO, out: BinaryIO, options: Sampling = Sampling()
) -> EncodeReport:
    """Generate kept frames between those of a file, until every clip has `latent_frames` of them.

    The given kept frames stay bit for bit, as do number and time of frames. New ones go into the longest gaps. Audio
    and subtitle tracks are not copied. Other arguments and errors are as for `continue_clips`.
    """
    check_pair(dit, loaded)
    reader, clips = _read_clips(source, loaded)
    header = reader.preamble.header
    check_tokens(dit, options.latent_frames, header)
    writing = _Writing(out, header, loaded, options, "generate --between")
    for number, clip in enumerate(clips):
        wanted = fill_gaps(clip.kept, options.latent_frames)
        if np.array_equal(wanted, clip.kept):
            writing.copy(clip)
            continue
        own = dataclasses.replace(options, seed=options.seed + number)
        fixed = _interpolation(dit, _clip_latents(clip, header, loaded), clip.kept, wanted)
        made, _ = _sample(dit, loaded, header, int(wanted.sum()), own, fixed)
        writing.replace(clip, wanted, made)
    return writing.finish()


def check_pair(dit: LatentDiT, loaded: LoadedModel) -> None:
    """Check that a generator makes latents of a codec model.

    Raises:
        ModelError: it does not.
    """
    if dit.config.channels != loaded.model.channels or loaded.model.tile:
        raise ModelError(
            f"the generator makes latents of {dit.config.channels} channels at any size, model {loaded.identity.name} "
            f"takes {loaded.model.channels}{' in tiles' if loaded.model.tile else ''}: use the pair mini-dit and mini"
        )


def check_size(size: tuple[int, int]) -> None:
    """Check the size of a picture.

    Raises:
        UsageError: it is out of range.
    """
    width, height = size
    if not 1 <= min(size) <= max(size) <= MAX_SIDE or width * height > MAX_PIXELS:
        raise UsageError(f"--size {width}x{height} is out of range: give width and height in pixels, such as 512x288")


def check_tokens(dit: LatentDiT, frames: int, header: Header) -> None:
    """Check that a sampling fits the generator and memory.

    Raises:
        UsageError: it does not.
    """
    if not 1 <= frames <= dit.config.max_frames:
        raise UsageError(
            f"{frames} kept frames at once, given ones included, are too many for this generator: "
            f"lower --latent-frames, at most {dit.config.max_frames} in all"
        )
    tokens = frames * int(np.prod(header.grid))
    if tokens > MAX_TOKENS:
        raise UsageError(
            f"{frames} kept frames of {header.width}x{header.height} are {tokens} patches; the limit is {MAX_TOKENS}: "
            "give a smaller --size, or fewer --latent-frames"
        )


def fill_gaps(kept: np.ndarray, count: int) -> np.ndarray:
    """Return `kept` (T,) with further frames in the middle of the longest gaps, up to `count` of them."""
    wanted = kept.copy()
    while 0 < wanted.sum() < min(count, len(kept)):
        at = np.flatnonzero(wanted)
        edges = np.concatenate([[-1], at, [len(kept)]])
        gap = int(np.argmax(np.diff(edges)))
        if edges[gap + 1] - edges[gap] < 2:
            break
        wanted[(edges[gap] + edges[gap + 1]) // 2] = True
    return wanted


def _read_clips(source: BinaryIO, loaded: LoadedModel) -> tuple[StreamReader, list[Clip]]:
    reader = StreamReader(source)
    model = reader.preamble.model
    check_identity(model, loaded.identity)
    clips = [item.clip for item in reader if isinstance(item, ClipAt)]
    if not clips:
        raise UsageError("the file has no clip: give one with at least one kept frame")
    if any(clip.coding == Coding.PREDICTED and clip.kept.sum() > 1 for clip in clips):
        raise UsageError(
            "the file has residuals of predicted pictures instead of latents: encode it with --coding inter"
        )
    return reader, clips


def _clip_latents(clip: Clip, header: Header, loaded: LoadedModel) -> Tensor:
    """Latents (K, C, h, w) of a clip, in the units of the codec."""
    assert loaded.model.steps is not None
    values = dequantize(decode_latents(clip, header), loaded.model.steps, clip.qp)
    return torch.from_numpy(rearrange(values, "k 1 h w c -> k c h w"))


def _continuation(dit: LatentDiT, latents: Tensor, gaps: np.ndarray, ending: int, count: int) -> Conditions:
    """Conditions of `count` frames after given ones."""
    total = len(latents) + count
    marked = _marked(dit, latents)
    slots = marked.new_zeros(1, total, *marked.shape[1:])
    slots[0, : len(latents)] = marked
    given = (torch.arange(total) < len(latents))[None]
    both = torch.zeros(2, 1, total)
    both[0, 0, : len(latents)] = torch.from_numpy(gaps).float()
    both[1, 0, len(latents) - 1] = ending
    return Conditions(slots, given, KnownGaps(both[0], both[1], given))


def _interpolation(dit: LatentDiT, latents: Tensor, kept: np.ndarray, wanted: np.ndarray) -> Conditions:
    """Conditions of the frames that are `wanted` but not `kept`; all positions are known."""
    at = np.flatnonzero(wanted)
    slots = latents.new_zeros(len(at), *latents.shape[1:])
    given = torch.from_numpy(kept[at])
    slots[given] = dit.normalize(latents)
    starts = torch.arange(len(at)) == 0
    slots = torch.where(given[:, None, None, None], dit.segments.add(slots, starts), slots)
    trailing = torch.zeros(1, len(at))
    trailing[0, -1] = len(wanted) - 1 - at[-1]
    gaps = torch.from_numpy(np.diff(at, prepend=0)).float()[None]
    return Conditions(slots[None].detach(), given[None], KnownGaps(gaps, trailing, torch.ones(1, len(at)).bool()))


def _marked(dit: LatentDiT, latents: Tensor) -> Tensor:
    """Normalized latents of one segment with its embedding."""
    starts = torch.arange(len(latents)) == 0
    return dit.segments.add(dit.normalize(latents), starts).detach()


def _sample(
    dit: LatentDiT, loaded: LoadedModel, header: Header, frames: int, options: Sampling, fixed: Conditions | None
) -> tuple[Tensor, list[Segment]]:
    """Sample `frames` kept frames; return their latents (K, C, h, w) without embedding, and the generated segments.

    Segments of given frames are left out: what follows a given frame begins a segment of its own.
    """
    rows, columns = header.grid[1:]
    below, right = (-side % dit.config.patch for side in (rows, columns))
    generator = torch.Generator().manual_seed(options.seed)
    noise = torch.randn(1, frames, dit.config.channels, rows + below, columns + right, generator=generator)
    noise *= options.temperature
    if fixed is not None:
        fixed = dataclasses.replace(fixed, latents=_padded(fixed.latents, below, right))
    with loaded.precision(), torch.inference_mode():
        flow = sample(dit, noise.to(loaded.device), options.steps, options.method, fixed)
        starts = dit.segments.find(flow.velocity)
        latents = dit.denormalize(dit.segments.remove(flow.velocity, starts))[0, ..., :rows, :columns].cpu()
    gaps, trailing, first = (part[0].float().cpu() for part in (flow.gaps, flow.trailing, starts))
    begin = int(fixed.given[0].sum()) if fixed is not None else 0
    return latents, place_segments(
        first[begin:].bool().tolist(), gaps[begin:].tolist(), trailing[begin:].tolist(), header.clip_frames
    )


def _padded(latents: Tensor, below: int, right: int) -> Tensor:
    """Repeat the last row and column of latents (1, K, C, h, w)."""
    return F.pad(latents[0], (0, right, 0, below), mode="replicate")[None]


class _Writing:
    """Writes generated clips, after copies of given ones."""

    def __init__(
        self,
        out: BinaryIO,
        header: Header,
        loaded: LoadedModel,
        options: Sampling,
        verb: str,
        copies: Sequence[Clip] = (),
    ) -> None:
        steps = loaded.model.steps
        if steps is None:
            raise ModelError(f"model {loaded.identity.name} has no quantizer steps of its own: use mini")
        self.header, self.loaded, self.options, self.steps = header, loaded, options, steps
        made_by = [("encoder", f"dfc {__version__}"), ("settings", f"{verb} {options.describe()}")]
        self.writer = Writer(out, header, loaded.identity, steps, made_by)
        self.frames = self.kept = self.clips = 0
        self.pts, self.duration = 0, nominal_duration(header)
        for clip in copies:
            self.copy(clip)

    def copy(self, clip: Clip) -> None:
        """Write a clip of another file unchanged."""
        self._write(clip, decode_latents(clip, self.header))

    def append(self, latents: Tensor, segments: list[Segment]) -> None:
        """Write each of `segments` of latents (K, C, h, w) as a clip."""
        for segment in segments:
            kept = np.zeros(segment.frames, bool)
            kept[segment.positions] = True
            values, coded = self._code(latents[segment.begin : segment.end], self.options.qp)
            importance = np.where(kept, 255, 0).astype(np.uint8)
            self._write(
                Clip(self.frames, kept, importance, self.options.qp, self.pts, (self.duration,), *coded), values
            )

    def replace(self, clip: Clip, kept: np.ndarray, latents: Tensor) -> None:
        """Write a clip with more kept frames; the integers of its own kept frames stay."""
        values, _ = self._code(latents, clip.qp)
        values[clip.kept[kept]] = decode_latents(clip, self.header)
        data = encode_latents(values, default_coding(self.loaded.model))
        importance = np.where(clip.kept, np.maximum(clip.importance, GENERATED_IMPORTANCE + 1), 0)
        importance = np.where(kept & ~clip.kept, GENERATED_IMPORTANCE, importance).astype(np.uint8)
        changed = dataclasses.replace(
            clip, kept=kept, importance=importance, latents=data[0], planes=data[1], fill=self.options.fill,
            fill_payload=b"", coding=default_coding(self.loaded.model),
        )  # fmt: skip
        self._write(changed, values)

    def finish(self) -> EncodeReport:
        """Write the end of the file."""
        self.writer.finish()
        return EncodeReport(self.frames, self.kept, self.clips, self.writer.offset)

    def _code(self, latents: Tensor, qp: int) -> tuple[np.ndarray, tuple[bytes, int, Fill, bytes, int]]:
        """Integers of latents (K, C, h, w), and the last fields of their clip."""
        values = quantize(rearrange(latents, "k c h w -> k 1 h w c").contiguous().numpy(), self.steps, qp)
        coding = default_coding(self.loaded.model)
        data, planes = encode_latents(values, coding)
        return values, (data, planes, self.options.fill, b"", coding)

    def _write(self, clip: Clip, values: np.ndarray) -> None:
        self.writer.write_clip(dataclasses.replace(clip, first_frame=self.frames), values)
        steps = clip.durations if len(clip.durations) == clip.frames else clip.durations * clip.frames
        self.pts, self.duration = clip.first_pts + sum(steps), steps[-1]
        self.frames, self.kept, self.clips = self.frames + clip.frames, self.kept + len(values), self.clips + 1
