"""`dfc generate`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from dfccodec.cli import common
from dfccodec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from dfccodec.codec.encoder import EncodeReport
    from dfccodec.codec.loaded_model import LoadedModel

MAX_COUNT = 256
"""Maximum number of clips at once."""

GIVEN = "Given frames"

Write = Callable[[BinaryIO, int], "EncodeReport"]
"""Writes the clip of a seed as a `.dfc` file."""


@dataclass(frozen=True)
class _Request:
    """The options of `mini-dit`."""

    size: str
    count: int
    grid: str
    source: str
    between: bool
    method: str
    fill: str
    temperature: float | None

    def reject(self, generator: str) -> None:
        """Check that no option is given that only `mini-dit` has.

        Raises:
            UsageError: one is.
        """
        given = {
            "--size": self.size, "--count": self.count > 1, "--grid": self.grid, "--method": self.method,
            "--fill": self.fill, "--temperature": self.temperature is not None,
            "--between" if self.between else "--continue": self.source,
        }  # fmt: skip
        for name, value in given.items():
            if value:
                raise UsageError(f"{name} needs the generator mini-dit, not {generator}: leave out {name}")


def generate(
    output: Annotated[str, typer.Option("-o", "--output", help="Where to write; - is standard output.")] = "",
    latent_frames: Annotated[int, typer.Option(min=1, max=64, help="Kept frames to generate.")] = 8,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=10000, help="Steps from noise to latents.", show_default="50; 100 with dfc-dit-504m"),
    ] = None,
    method: Annotated[str, typer.Option(help="Integration: euler or heun.", show_default="heun")] = "",
    size: Annotated[str, typer.Option(help="Size in pixels, as 512x288.", show_default="256x256")] = "",
    seed: common.Seed = 256,
    count: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="Clips, with this and the next seeds.")] = 1,
    grid: Annotated[str, typer.Option(help="Write all clips side by side: a picture or a video.")] = "",
    continued: Annotated[
        str, typer.Option("--continue", help="A .dfc file to continue; - is standard input.", rich_help_panel=GIVEN)
    ] = "",
    between: Annotated[
        str,
        typer.Option(
            "--between", help="A .dfc file to add kept frames to, in the longest gaps.", rich_help_panel=GIVEN
        ),
    ] = "",
    fill: Annotated[str, typer.Option(help="Fill policy: token, hold or lerp.", show_default="token")] = "",
    temperature: Annotated[
        float | None,
        typer.Option(min=0, max=2, help="Deviation of the noise; below 1, clips are smoother.", show_default="0.95"),
    ] = None,
    qp: Annotated[int, typer.Option(min=0, max=63, help="Quantizer index of the stored latents.")] = 16,
    generator: Annotated[str, typer.Option(help="Model that generates the latents.")] = "mini-dit",
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Codec model of the latents, if the generator does not say.", rich_help_panel=common.MODEL
        ),
    ] = "",
    device: common.Device = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            help="auto, float32 or bfloat16.",
            rich_help_panel=common.MODEL,
            show_default="auto; float32 with dfc-dit-504m",
        ),
    ] = "",
    json: common.Json = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Generate a clip from noise, or continue one: a .dfc file, or a video if the output's name is that of one."""
    if continued and between:
        raise UsageError("--continue and --between exclude each other: give one of them")
    request = _Request(size, count, grid, continued or between, bool(between), method, fill, temperature)
    _check_outputs(output, request, yes, json)
    from dfccodec.models import registry

    if (family := registry.family_of(generator)) == "dfc-dit":
        request.reject(generator)
    registry.resolve(generator)  # report a missing model before loading a large one
    write, loaded = _prepare((generator, family), model, request, (latent_frames, steps, qp), device, dtype)
    outputs = _names(output, count)
    reports, clips = [], []
    with common.progress("generate", count, quiet) as advance:
        for number in range(count):
            coded = io.BytesIO()
            reports.append(write(coded, seed + number))
            if output:
                _save(coded, outputs[number], loaded)
            if grid:
                clips.append(_decode(coded, loaded))
            advance(number + 1)
    if grid:
        from dfccodec.codec.generate import RATE
        from dfccodec.report.grid import write_grid

        write_grid(clips, Path(grid), RATE)
    _tell(reports, seed, json, quiet, _is_dfc(output))


def _check_outputs(output: str, request: _Request, yes: bool, json: bool) -> None:
    """Check all outputs before any work.

    Raises:
        UsageError: there is none, or one is invalid.
        OutputExistsError: one exists and `-y` was not given.
    """
    if not output and not request.grid:
        raise UsageError("there is no output: name a file with -o, or a picture or video of all clips with --grid")
    source = request.source or "-"
    if output == "-" and request.count > 1:
        raise UsageError(f"standard output takes one clip, not {request.count}: name a file with -o, or use --grid")
    if output:
        for name in _names(output, request.count):
            common.check_output(name, yes, source, json, any_name=True)
            if not _is_dfc(name):
                _check_video(name)
    if request.grid:
        if request.grid == "-":
            raise UsageError("--grid - is no file: name a picture or a video, as grid.png or grid.mp4")
        if request.grid in _names(output, request.count):
            raise UsageError(f"-o and --grid both name {request.grid}: name two files")
        common.check_output(request.grid, yes, source, json, any_name=True)
        from dfccodec.report.picture_writer import container_of

        container_of(Path(request.grid))


def _check_video(name: str) -> None:
    from dfccodec.media.output.format import container_for_path

    if container_for_path(Path(name)) == "image2":
        raise UsageError(f"a clip has many pictures: name a video instead of {name}, or a picture with --grid")


def _names(output: str, count: int) -> list[str]:
    """Names of `count` clips: `clip.dfc`, or `clip-1.dfc`, `clip-2.dfc` and so on."""
    if count == 1 or not output:
        return [output] * count
    path = Path(output)
    return [str(path.with_name(f"{path.stem}-{number + 1}{path.suffix}")) for number in range(count)]


def _prepare(
    generator: tuple[str, str], model: str, request: _Request, numbers: tuple[int, int | None, int], device: str,
    dtype: str,
) -> tuple[Write, LoadedModel]:  # fmt: skip
    """Check the options, load both models and return the function that writes a clip.

    `generator` is its name and its family; `numbers` are latent frames, steps (None for the default) and QP.
    """
    from dfccodec.codec import api
    from dfccodec.codec.generate import generate as sample_published
    from dfccodec.models import registry
    from dfccodec.models.dit import VideoDiT

    common.limit_torch_threads()
    name, family = generator
    latent_frames, steps, qp = numbers
    if family == "dfc-dit":
        loaded = api.load_model(model or "dfc-170m", device, dtype or "float32")
        published, _ = registry.load_generator(name, device=loaded.device)
        assert isinstance(published, VideoDiT)
        return lambda out, seed: sample_published(published, loaded, out, latent_frames, steps or 100, seed, qp), loaded
    loaded = api.load_model(model or "mini", device, dtype or "auto")
    return _prepare_latent_dit(name, request, (latent_frames, steps or 50, qp), loaded), loaded


def _prepare_latent_dit(generator: str, request: _Request, numbers: tuple[int, int, int], loaded: LoadedModel) -> Write:
    from dfccodec.codec import fill as fills
    from dfccodec.codec import generate_clips as clips
    from dfccodec.container.records import Fill
    from dfccodec.container.streams import with_source_name
    from dfccodec.media.scale import parse_size
    from dfccodec.models import registry
    from dfccodec.models.flow_sampling import METHODS
    from dfccodec.models.latent_dit import LatentDiT

    if request.method not in ("", *METHODS):
        raise UsageError(f"--method {request.method!r} is unknown: give one of {', '.join(METHODS)}")
    policy = fills.parse(request.fill or "token")
    if policy in (Fill.MOTION, Fill.BLEND, Fill.GENERATE):
        raise UsageError(f"--fill {request.fill} needs the frames themselves: give token, hold or lerp")
    if request.size and request.source:
        raise UsageError(f"--size {request.size} is that of the given file: leave out --size")
    width, height = parse_size(request.size) if request.size else (256, 256)
    if not height:
        raise UsageError(f"--size {request.size} is no width and height: give both, as 512x288")
    clips.check_size((width, height))
    dit: Any = registry.load_generator(generator, device=loaded.device)[0]
    assert isinstance(dit, LatentDiT)
    given = _read(request.source) if request.source else b""
    latent_frames, steps, qp = numbers
    temperature = clips.Sampling.temperature if request.temperature is None else request.temperature

    def write(out: BinaryIO, seed: int) -> EncodeReport:
        options = clips.Sampling(latent_frames, steps, request.method or "heun", seed, qp, policy, temperature)
        if not request.source:
            return clips.generate_clips(dit, loaded, out, (width, height), options)
        make = clips.generate_between if request.between else clips.continue_clips
        with with_source_name("standard input" if request.source == "-" else request.source):
            return make(dit, loaded, io.BytesIO(given), out, options)

    return write


def _read(source: str) -> bytes:
    with common.reading(source) as stream:
        return stream.read()


def _save(coded: io.BytesIO, output: str, loaded: LoadedModel) -> None:
    """Write a clip as a .dfc file, or decode it into a video."""
    if _is_dfc(output):
        with common.writing(output) as out:
            out.write(coded.getvalue())
        return
    from dfccodec.codec.decoder import Decoder
    from dfccodec.media.output.format import container_for_path
    from dfccodec.media.output.sink import VideoSink
    from dfccodec.runtime.atomic_output import replacing_path

    kind = container_for_path(Path(output))
    decoder = Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)
    with replacing_path(Path(output)) as path, VideoSink(path, decoder.preamble.header, kind, name=output) as sink:
        for picture in decoder:
            sink.write(picture.rgb, picture.pts, picture.duration)


def _decode(coded: io.BytesIO, loaded: LoadedModel) -> np.ndarray:
    """Frames of a clip, (T, H, W, 3) uint8."""
    import numpy as np

    from dfccodec.codec.decoder import Decoder

    return np.stack([picture.rgb for picture in Decoder(io.BytesIO(coded.getvalue()), lambda _: loaded)])


def _is_dfc(output: str) -> bool:
    """Whether an output is a `.dfc` file, not a video."""
    return output == "-" or Path(output).suffix.lower() == ".dfc"


def _tell(reports: list[EncodeReport], seed: int, json: bool, quiet: bool, sized: bool) -> None:
    """Print what was made; `sized` if the size of a `.dfc` file is that of an output."""
    rows = [
        {"frames": report.frames, "kept": report.kept, "bytes": report.size, "seed": seed + number}
        for number, report in enumerate(reports)
    ]
    for report in reports:
        size = f", {common.format_bytes(report.size)}" if sized else ""
        common.print_stderr(f"{common.count(report.frames, 'frame')}, {report.kept} kept{size}", quiet)
    if json:
        common.result(rows[0] if len(rows) == 1 else rows)
