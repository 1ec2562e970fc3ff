"""Public `encode`, `decode` and `load_model`, on paths, bytes, streams and arrays."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.choose.target import Target
from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.encoder import EncodeReport, Progress, encode_pictures
from dfccodec.codec.fill import parse as parse_fill
from dfccodec.codec.frame_source import (
    FrameShape,
    Source,
    is_repeatable,
    open_frames,
    open_tracks,
    parse_frame_rate,
    reopen_frames,
)
from dfccodec.codec.latent_space import is_external
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.look import PictureLook, load_look
from dfccodec.codec.look_strength import FAITHFUL, strength_of
from dfccodec.codec.presets import WITHOUT_TRACKS
from dfccodec.codec.resume import open_output
from dfccodec.codec.settings import make_settings
from dfccodec.container.reader import Preamble
from dfccodec.container.records import ModelId
from dfccodec.container.streams import Readable, open_source, require_binary, with_source_name
from dfccodec.errors import ModelError, UsageError
from dfccodec.media.cfr import FrameRate
from dfccodec.media.picture import PacketSink
from dfccodec.media.scale import Size
from dfccodec.media.time_range import Span
from dfccodec.models import entries, hub, registry
from dfccodec.models.identity import with_latent_space
from dfccodec.runtime.atomic_output import extension_error
from dfccodec.runtime.device import pick_device, pick_dtype
from dfccodec.runtime.renamed import accept_old_names


def load_model(spec: str = "mini", device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load a model.

    Args:
        spec: `mini`, `dfc-170m`, a path, or `hf://owner/repo[@rev]/file`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: `auto`, `float32` or `bfloat16`: precision of convolutions and attention.

    Raises:
        ModelError: the model is not on this machine or does not load; the message names the command that gets it.
    """
    where = pick_device(device)
    model, info = registry.load(spec, device=where)
    return LoadedModel(model, _identity(spec, info), where, pick_dtype(dtype, where))


def _identity(spec: str, info: registry.ModelInfo) -> ModelId:
    """What a file says about a model."""
    entry = entries.find_entry(spec)
    inside = entry is not None and entry.address is None
    # The configuration of a model inside the package is there too; in a file it would cost 109 bytes for nothing.
    config = "{}" if inside else with_latent_space(info.config_json, info.latent_space)
    return ModelId(info.name, info.fingerprint, config)


def check_model_argument(model: str | Path | LoadedModel | None) -> str | LoadedModel | None:
    """Check the type of a `model` argument, and turn a path into text.

    Raises:
        UsageError: it has another type.
    """
    if isinstance(model, Path):
        return str(model)
    if model is None or isinstance(model, str | LoadedModel):
        return model
    raise UsageError(f"model of type {type(model).__name__}: give a name, a path, or what dfc.load_model returned")


def model_for(
    preamble: Preamble, spec: str | Path | LoadedModel | None, device: str = "auto", dtype: str = "auto"
) -> LoadedModel:
    """Load the model that a file needs, or another one of its latent space.

    Args:
        preamble: of the file.
        spec: the model, or its location if its name is not enough; None to look up the name.
        device, dtype: see :func:`load_model`.

    Raises:
        ModelError: the model is missing, or has another latent space than the file.
    """
    wanted = preamble.model
    spec = check_model_argument(spec)
    if is_external(wanted):
        raise ModelError(
            f"the file has latents of {wanted.name[:200]!a} (fingerprint {wanted.fingerprint.hex()[:16]}…), which "
            "dfc does not contain: decode them with that network, as dfccodec.data.DiffusersVAE does (docs/latents.md)"
        )
    if isinstance(spec, LoadedModel):
        return spec.for_file(wanted)
    if spec is None and entries.find_entry(wanted.name) is None and not wanted.name.startswith(hub.SCHEME):
        # The name comes from an untrusted file: look it up, never open it as a path.
        raise ModelError(
            f"the file needs model {wanted.name[:200]!a} (fingerprint {wanted.fingerprint.hex()[:16]}…), "
            "which dfc does not know by name; give its location with --model FILE"
        )
    return load_model(spec or wanted.name, device, dtype).for_file(wanted)


@accept_old_names(snap="deadzone", price="rd_lambda", rate="frame_rate", select="frame_selection")
def encode(
    source: Source,
    out: str | Path | BinaryIO,
    *,
    budget: str | float | Budget | None = None,
    qp: int | None = None,
    fill: str | None = None,
    model: str | Path | LoadedModel = "mini",
    seed: int = 256,
    coding: str | None = None,
    deadzone: float = DEFAULT_DEADZONE,
    frame_selection: str | None = None,
    effort: str | None = None,
    refine: int | str | None = None,
    look: str | float = FAITHFUL,
    preset: str | None = None,
    target_size: str | int | None = None,
    bitrate: str | float | None = None,
    min_psnr: float | None = None,
    rd_lambda: float | None = None,
    strict: bool = False,
    audio: bool | None = None,
    subtitles: bool | None = None,
    tags: bool = True,
    span: Span = Span(),
    size: Size | None = None,
    crop: Size | None = None,
    fps: FrameRate | None = None,
    video: int | None = None,
    frame_rate: Fraction | float = 25,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress | None = None,
    resume: bool = False,
) -> EncodeReport:
    """Encode a video into a `.dfc` file.

    Args:
        source: a path, bytes or a binary stream of any container that PyAV reads, or an iterable of (H, W, 3) uint8
            arrays or tensors. An iterator may reuse one array for all frames. A seekable stream is read from its first
            byte.
        out: a path (written to a temporary file, which is renamed when complete) or a binary stream (written front to
            back).
        budget: frames kept: `8` of 32 (the default without a target), `25%` or 0.25, `all`, `bernoulli[:rate]`,
            `threshold[:p]`, `auto[:weight[:rates]]` (by content: `codec.rate_control.temporal_rate`).
        qp: quantizer index, 0 (finest) … 63 (coarsest); 24 by default; not allowed with a target.
        fill: fill policy, how dropped frames are reconstructed: `blend` (the default), `motion`,
            `token`, `hold`, `lerp`.
        model: name, path or hub address, or what :func:`load_model` returned.
        seed: random seed of Bernoulli budgets.
        coding: coding of the kept frames: `predicted` from decoded pictures (smallest, the default with `mini` and fill
            policy `blend`), or as latents that other programs can read: `inter` (smallest, the default with `mini` and
            other fill policies), `range` (the default with other models) or `zstd`.
        deadzone: dead zone, 0…0.5 quantizer steps: a latent within 0.5 + `deadzone` of its prediction takes the
            predicted value.
        frame_selection: how the kept frames are chosen: `importance` (the model's, the default), `dp` (by what gaps
            between them cost), `greedy` (`dp`, then by really coding moves; a dozen times slower).
        effort: effort of the motion search: `fast` or `normal` (the default).
        refine: iterations of latent refinement (`codec.clip.refine`), by default 1 with `mini` and 0 with other
            models; more than 8 hardly help.
        look: the look that the file suggests to its readers, see :func:`decode`. It changes nothing else.
        preset: `fast`, `balanced`, `best`, `archive` or `latents`: sets of options (`codec.presets`); other arguments
            take precedence.
        target_size: size of the file in bytes, or as `2MiB`, `300kB`; met within 3 %.
        bitrate: bits per second of video, or as `300k`; met within 3 %.
        min_psnr: RGB-PSNR of the whole video in dB; exceeded by 0.2 dB at most.
        rd_lambda: λ, the rate–distortion slope in squared error (sum over samples in 0…1) per bit, for each clip.
        strict: treat a missed target as an error and write nothing.
        audio, subtitles: copy the tracks of that kind without re-encoding; None does, except with the preset `latents`.
        tags: whether tags are carried, such as title, date, and the place where a phone was; chapters always are.
        span: range of the source to encode, as `Span.parse("1:30", duration="10")`; not for arrays.
        size: scale the frames first: 480 (the short side), `640x360` or (640, 360); not for arrays.
        crop: then take the centre: `256x256`, or 256 for a square; not for arrays.
        fps: convert to this number of frames per second first, by leaving out or repeating frames; not for arrays.
        video: number of the video stream, from 0; None takes the first one that is no cover art.
        frame_rate: frames per second, for arrays only.
        device, dtype: see :func:`load_model`.
        progress: called with the number of frames done.
        resume: resume an interrupted encode of the same source to the same path with the same options; the result has
            the same bytes. If there is nothing to resume, begin at the first frame.

    Returns:
        counts of frames, kept frames and clips, the size in bytes, and notes on what the file does not carry.

    Raises:
        InputError: the source cannot be read.
        ModelError: the model is missing.
        UsageError: an option is invalid, or an array has another shape or type.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    _check_places(source, out, span)
    target = Target.of(target_size, bitrate, min_psnr, rd_lambda, strict)
    settings = make_settings(
        preset=preset, budget=budget, qp=qp, fill=fill, seed=seed, coding=coding, deadzone=deadzone, target=target,
        frame_selection=frame_selection, effort=effort, refine=refine, look=look,
    )  # fmt: skip
    model = check_model_argument(model) or "mini"
    loaded = model if isinstance(model, LoadedModel) else load_model(model, device, dtype)
    with contextlib.ExitStack() as stack:
        per_second = parse_frame_rate(frame_rate)
        carried = [preset not in WITHOUT_TRACKS if given is None else given for given in (audio, subtitles)]
        shape = FrameShape(size, crop, fps)
        pictures, info = open_frames(source, per_second, stack, span, (carried[0], carried[1]), shape, video, tags)
        tracks = open_tracks(pictures, stack)
        if not hasattr(out, "write"):
            stream = stack.enter_context(open_output(Path(cast(str, out)), settings, loaded, resume))
        elif resume:
            raise UsageError("resume needs a path to write to: a stream keeps nothing of an interrupted encode")
        else:
            stream = cast(BinaryIO, out)
        reopen = partial(reopen_frames, source, per_second, span, shape, video) if is_repeatable(source) else None
        return encode_pictures(pictures, info, stream, loaded, settings, progress, reopen, tracks)


def _check_places(source: Source, out: str | Path | BinaryIO, span: Span) -> None:
    """Reject arguments that would fail late or overwrite the source."""
    _check_span(span)
    if hasattr(source, "read"):
        require_binary(cast(BinaryIO, source))
    if not isinstance(out, str | Path):
        require_binary(out, "write")
        if out is source:
            raise UsageError("the output is the stream that is read: give another")
    if isinstance(out, str | Path) and isinstance(source, str | Path):
        with contextlib.suppress(OSError):  # one of them does not exist
            if Path(out).samefile(source):
                raise UsageError(f"output {out} is the input: name another output")
    if isinstance(out, str | Path) and (wrong := extension_error(Path(out), coded=True)):
        raise UsageError(f"{wrong}, or give an open file to insist")


def _check_span(span: Span) -> None:
    if not isinstance(span, Span):
        raise UsageError(f"span {span!r}: give dfc.Span.parse(start, end, duration)")


def decode(
    source: Readable,
    *,
    model: str | Path | LoadedModel | None = None,
    conceal: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    tracks: PacketSink | None = None,
    span: Span = Span(),
    fill: str | None = None,
    frame_rate: Fraction | float | None = None,
    look: str | float | PictureLook | None = None,
) -> Decoder:
    """Decode a `.dfc` file: an iterator over all frames, kept and dropped, as :class:`Picture`.

    Args:
        source: a path, bytes, or a binary stream that need not seek.
        model: location of the file's model if its name is not enough; or the result of :func:`load_model`, which many
            files can share and which has its own device and dtype.
        conceal: continue after damage; see :class:`Decoder`.
        device, dtype: see :func:`load_model`.
        tracks: receives audio and subtitle packets, such as a :class:`dfccodec.media.output.sink.VideoSink`.
        span: range to decode, as `Span.parse("#100", "#200")`; timestamps then count from its first frame.
        fill: fill policy instead of that of the file: `token`, `hold`, `lerp` or `blend`, which need kept frames only;
            `motion` for files with motion. Frames made by `generate` then need no generator.
        frame_rate: pictures per second instead of the frames of the file, for fill policy `generate` only: it makes
            pictures between frames.
        look: `faithful`, which is None too, `sharp`, a number from 0 to 1 between them, `file` for what the writer of
            the file suggests, or the result of :func:`dfccodec.codec.look.load_look`.

    Returns:
        a :class:`Decoder`: iterate over it once; `preamble.header` has sizes and rates.

    Raises:
        InputError: the source cannot be opened.
        DamagedError, ModelError: as :class:`Decoder`, also while iterating.
        UsageError: `fill`, `frame_rate` or `look` is not valid. While iterating, if the range contains no frame, or the
            file does not have what `fill` or `frame_rate` needs.
    """

    _check_span(span)
    policy = parse_fill(fill) if fill is not None else None
    rate = parse_frame_rate(frame_rate) if frame_rate is not None else None
    given = check_model_argument(model)
    if look is not None and not isinstance(look, PictureLook):
        strength_of(look)  # an unknown one is an error before the file is opened

    def with_look(decoder: Decoder) -> Decoder:
        if look is None or isinstance(look, PictureLook):
            decoder.look = look
        else:
            decoder.look = load_look(strength_of(look, decoder.preamble.tool), device=device, dtype=dtype)
        return decoder

    def chosen(preamble: Preamble) -> LoadedModel:
        return model_for(preamble, given, device, dtype)

    stream = open_source(source)
    if not isinstance(source, str | Path):
        return with_look(Decoder(stream, chosen, conceal, False, tracks, span, policy, rate))
    try:
        with with_source_name(source):
            return with_look(Decoder(stream, chosen, conceal, True, tracks, span, policy, rate))
    except BaseException:
        stream.close()
        raise
