"""`dfc generate`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfccodec.cli import common

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


def generate(
    output: common.Output,
    latent_frames: Annotated[int, typer.Option(min=1, max=64, help="Kept frames to generate.")] = 8,
    steps: Annotated[int, typer.Option(min=1, max=10000, help="Euler steps from noise to latents.")] = 100,
    seed: common.Seed = 256,
    qp: Annotated[int, typer.Option(min=0, max=63, help="Quantizer index of the stored latents.")] = 16,
    generator: Annotated[str, typer.Option(help="Model that generates the latents.")] = "dfc-dit-504m",
    model: common.Model = "dfc-170m",
    device: common.Device = "auto",
    dtype: common.Dtype = "float32",
    json: common.Json = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Generate a clip from noise: a .dfc file, or a video if the output's name is that of one."""
    common.check_output(output, yes, "-", json, any_name=True)
    from dfccodec.codec import api
    from dfccodec.codec.generate import generate as sample
    from dfccodec.models import registry

    common.limit_torch_threads()
    registry.resolve(generator)  # report a missing model before loading a large one
    loaded = api.load_model(model, device, dtype)
    dit, _ = registry.load_dit(generator, device=loaded.device)
    coded = io.BytesIO()
    report = sample(dit, loaded, coded, latent_frames, steps, seed, qp)
    if output == "-" or Path(output).suffix == ".dfc":
        with common.writing(output) as out:
            out.write(coded.getvalue())
    else:
        _to_video(coded, output, loaded)
    common.print_stderr(
        f"{common.count(report.frames, 'frame')}, {report.kept} kept, {common.format_bytes(report.size)}", quiet
    )
    if json:
        common.result({"frames": report.frames, "kept": report.kept, "bytes": report.size, "seed": seed})


def _to_video(coded: io.BytesIO, output: str, loaded: LoadedModel) -> None:
    from dfccodec.codec.decoder import Decoder
    from dfccodec.media.output.format import container_for_path
    from dfccodec.media.output.sink import VideoSink
    from dfccodec.runtime.atomic_output import replacing_path

    kind = container_for_path(Path(output))
    coded.seek(0)
    decoder = Decoder(coded, lambda _: loaded)
    with replacing_path(Path(output)) as path, VideoSink(path, decoder.preamble.header, kind) as sink:
        for picture in decoder:
            sink.write(picture.rgb, picture.pts, picture.duration)
