"""Write latents from another source, such as a generator, as a `.dfc` file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from dfccodec.codec import fill as fills
from dfccodec.codec.api import check_model_argument, load_model
from dfccodec.codec.clip.quantizer import estimate_base_steps, quantize
from dfccodec.codec.encoder import EncodeReport, make_header
from dfccodec.codec.frame_source import parse_frame_rate
from dfccodec.codec.latent_space import LatentSpace
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.settings import DEFAULT_QP, Settings
from dfccodec.container.records import Clip, Coding, Fill, Header, Ratio
from dfccodec.container.streams import open_output
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import check_recoding, default_coding, encode_latents, parse_coding
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_FRAMES, MAX_CLIP_VALUES, MAX_SIDE
from dfccodec.media.picture import SourceInfo
from dfccodec.runtime.renamed import accept_old_names
from dfccodec.version import __version__

Latents = Iterable[tuple[np.ndarray | Tensor, np.ndarray | Tensor]]
"""One pair per clip: latents of the kept frames, and a mask of the kept frames."""


@accept_old_names(rate="frame_rate")
def write_latents(
    out: str | Path | BinaryIO,
    clips: Latents,
    *,
    size: tuple[int, int],
    model: str | Path | LoadedModel | LatentSpace = "mini",
    qp: int = DEFAULT_QP,
    fill: str = "token",
    coding: str | None = None,
    frame_rate: Fraction | float = 25,
    device: str = "auto",
    dtype: str = "auto",
) -> EncodeReport:
    """Write latents as a `.dfc` file.

    Kept frames get importance 255 and dropped frames 0, so that `trim` prefers them.

    Args:
        out: a path (written to a temporary file, which is renamed when complete) or a binary stream.
        clips: for each clip the latents (K, N, C) or (K, tiles, rows, columns, C) in the model's units, as
            `ClipView.dequantized` gives them, and a mask (T,) bool with K True; T is 1 to 32, or to 64 with a
            `LatentSpace`, whose `kept` makes masks. Arrays, or tensors on any device.
        size: (width, height) of the picture in pixels; N is its number of patches.
        model: model of the latents; a `LatentSpace` for a network that dfc does not contain, such as another VAE.
        qp: quantizer index, 0 … 63; at 0 the loss is negligible. Without steps of the model, the step of a channel is
            1/32 of its standard deviation in the first clip, times 2^(QP/8).
        fill: fill policy: `token`, `hold`, `lerp` or `blend`.
        coding: `zstd` (fastest to read), `range`, or `inter` (for `mini`); None takes the smallest, which is `zstd`
            with a `LatentSpace`.
        frame_rate: frames per second.
        device, dtype: see :func:`load_model`.

    Returns:
        counts of frames, kept frames and clips, and the size in bytes.

    Raises:
        UsageError: there is no clip, the latents have another shape or are not finite, or size, QP or fill policy is
            invalid.
        ModelError: the model is missing.
    """
    policy = fills.parse(fill)
    if policy in (Fill.MOTION, Fill.GENERATE):
        raise UsageError(f"fill {policy.name.lower()} needs the frames themselves: give token, hold, lerp or blend")
    code = None if coding is None else parse_coding(coding)
    width, height = _check_size(size)
    every = parse_frame_rate(frame_rate)
    info = SourceInfo(width, height, every, 1 / every)
    loaded: LoadedModel | LatentSpace
    if isinstance(model, LatentSpace):
        loaded, header = model, _external_header(info, model)
    else:
        found = check_model_argument(model) or "mini"
        loaded = found if isinstance(found, LoadedModel) else load_model(found, device, dtype)
        header = make_header(info, loaded)
    if code is not None:
        check_recoding(code, header)
    with open_output(out) as stream:
        return write_clips(stream, clips, header, loaded, Settings(qp=qp, fill=policy, coding=code), "write_latents")


def _external_header(info: SourceInfo, space: LatentSpace) -> Header:
    rate, tick = (Ratio(value.numerator, value.denominator) for value in (info.rate, info.time_base))
    header = Header(info.width, info.height, rate, tick, space.patch, space.channels, MAX_CLIP_FRAMES)
    if header.frame_values > MAX_CLIP_VALUES:
        raise UsageError(f"latents of {info.width}×{info.height} pixels exceed {MAX_CLIP_VALUES} numbers per frame")
    return header


def write_clips(
    stream: BinaryIO,
    clips: Latents,
    header: Header,
    loaded: LoadedModel | LatentSpace,
    settings: Settings,
    tool: str,
    tags: Sequence[tuple[str, str]] = (),
) -> EncodeReport:
    """As :func:`write_latents`, with a given header.

    Args:
        stream: to write to.
        clips: see :func:`write_latents`.
        header: header of the file.
        loaded: the model.
        settings: QP, fill policy and coding.
        tool: name of the writing function, for the tool chunk.
        tags: metadata.

    Raises:
        UsageError: as :func:`write_latents`.
    """
    writer: Writer | None = None
    frames = total = count = 0
    if isinstance(loaded, LatentSpace):
        default, steps = Coding.ZSTD, None  # the contexts of the range coder fit mini; elsewhere its files are larger
    else:
        default, steps = default_coding(loaded.model), loaded.model.steps
    coding = default if settings.coding is None else settings.coding
    for pair in clips:
        latents, kept = _check_clip(pair, header, f"clip {count}")
        if writer is None:
            steps = estimate_base_steps(latents) if steps is None else steps
            made_by = [("encoder", f"dfc {__version__}"), ("settings", tool)]
            writer = Writer(stream, header, loaded.identity, steps, made_by, tags)
        assert steps is not None
        values = quantize(latents, steps, settings.qp)
        data, planes = encode_latents(values, coding)
        importance = np.where(kept, 255, 0).astype(np.uint8)
        clip = Clip(
            frames, kept, importance, settings.qp, frames, (1,), data, planes, fill=settings.fill, coding=coding
        )
        writer.write_clip(clip, values)
        frames, total, count = frames + len(kept), total + len(latents), count + 1
    if writer is None:
        raise UsageError("there is no clip: nothing to write")
    writer.finish()
    return EncodeReport(frames, total, count, writer.offset)


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    good = isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(s, int | np.integer) for s in size)
    if not good or not 1 <= min(size) <= max(size) <= MAX_SIDE:
        raise UsageError(f"size {size!r} is invalid: give (width, height) in pixels, each 1 to {MAX_SIDE}")
    return int(size[0]), int(size[1])


def _check_clip(pair: object, header: Header, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Latents (K, tiles, rows, columns, C) float32 and kept (T,) bool."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise UsageError(f"{what} is a {type(pair).__name__}: give a pair, its latents and which frames are kept")
    latents, kept = (_array(part, what) for part in pair)
    if kept.ndim != 1 or kept.dtype != bool or not 1 <= len(kept) <= header.clip_frames:
        raise UsageError(
            f"{what}: kept is {kept.shape} {kept.dtype}; give (T,) bool with T from 1 to {header.clip_frames}"
        )
    if latents.dtype.kind not in "fiu":
        raise UsageError(f"{what}: latents are {latents.dtype}; give real numbers")
    shape = (int(kept.sum()), *header.grid, header.channels)
    flat = (shape[0], int(np.prod(header.grid)), header.channels)
    if latents.shape not in (shape, flat):
        other = latents.ndim > 1 and latents.shape[-1] != header.channels
        raise UsageError(
            f"{what}: latents are {latents.shape}; for {shape[0]} kept frames of {header.width}×{header.height} "
            f"give {flat} or {shape}" + ("; for those of another network, model=dfc.LatentSpace(…)" if other else "")
        )
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are rejected
        latents = latents.astype(np.float32)
    if not np.isfinite(latents).all():
        raise UsageError(f"{what}: latents hold numbers that are not finite")
    return latents.reshape(shape), kept


def _array(part: object, what: str) -> np.ndarray:
    """Convert numbers to an array. Tensors may have a gradient, be on a GPU or be bfloat16."""
    if isinstance(part, Tensor):
        part = part.detach().cpu()
        part = part.float() if part.is_floating_point() else part
    try:
        return np.asarray(part)
    except (TypeError, ValueError):
        raise UsageError(f"{what}: a {type(part).__name__} of unequal parts is no array of numbers") from None
