"""Shared test helpers: small generated videos, and a model without a network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import ModelId
from dfccodec.media.output.conversion import OutputConversion
from dfccodec.media.output.sink import VideoSink
from dfccodec.models.interface import DistortionFn, Encoded, FrameCallback, emit_in_decode_order, gradient_whole_clip
from dfccodec.models.latent_dit import LatentDiT, LatentDiTConfig

DATA = Path(__file__).parent / "data"


class FlatModel:
    """A model without a network: a latent is the mean of a patch, and a decoded patch has that constant colour.

    Importance increases with the frame number, so the frames that a budget keeps are known.
    """

    config_json = '{"family":"flat"}'
    channels = 3
    patch = 16
    max_frames = 32
    synthesis_gain = None
    linear_transform = None

    def __init__(self, tile: int = 0, with_steps: bool = True) -> None:
        self.tile = tile
        self.steps = np.full(3, 1 / 1024, np.float32) if with_steps else None
        self.fill_token = torch.full((3,), 0.25)

    def encode(
        self, video: torch.Tensor, qp: int, valid: torch.Tensor | None = None, keep: int | None = None
    ) -> Encoded:
        video = video.float() / 255 if video.dtype == torch.uint8 else video
        b, t, h, w, _ = video.shape
        patches = video.reshape(b, t, h // 16, 16, w // 16, 16, 3).mean(dim=(3, 5))
        importance = (torch.arange(t) + 1.0).expand(b, t) / (t + 1)
        return Encoded(patches.reshape(b, t, -1, 3), importance)

    def decode(self, latents: torch.Tensor, kept: torch.Tensor, height: int, width: int, qp: int) -> torch.Tensor:
        latents = torch.where(kept[:, :, None, None], latents, self.fill_token)
        b, t = kept.shape
        grid = latents.reshape(b, t, height // 16, width // 16, 3)
        return grid.repeat_interleave(16, 2).repeat_interleave(16, 3)

    def decode_frames(
        self,
        latents: torch.Tensor,
        kept: torch.Tensor,
        height: int,
        width: int,
        qp: int,
        on_frame: FrameCallback,
        wanted: torch.Tensor | None = None,
    ) -> None:
        emit_in_decode_order(self.decode(latents[None], kept[None], height, width, qp)[0], kept, on_frame)

    def gradient(
        self, latents: torch.Tensor, kept: torch.Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> torch.Tensor:
        return gradient_whole_clip(self, latents, kept, height, width, qp, distortion)


def flat_model(tile: int = 0, with_steps: bool = True) -> LoadedModel:
    """Return a loaded `FlatModel`."""
    model = FlatModel(tile, with_steps)
    return LoadedModel(model, ModelId("flat", bytes(32), model.config_json), torch.device("cpu"))


class Pipe(io.BytesIO):
    """A stream that cannot seek, like a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation("seek")


def moving_square(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a bright square that moves over a gradient, (T, H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([x * 255 // width, y * 255 // height, (x + y) * 127 // (height + width)], axis=-1)
    out = np.repeat(ground[None].astype(np.uint8), frames, axis=0)
    for t in range(frames):
        left = (t * 2) % max(width - 12, 1)
        out[t, height // 4 : height // 4 + 12, left : left + 12] = 240
    return out


def write_video(path: Path, frames: np.ndarray, rate: Fraction = Fraction(25), codec: str = "libx264") -> Path:
    """Write frames as a video with a constant frame rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "10"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p" if frames.shape[1] % 2 == 0 and frames.shape[2] % 2 == 0 else "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_av(
    path: Path,
    frames: np.ndarray,
    audio: Sequence[str] = (),
    subtitles: str | None = None,
    rate: Fraction = Fraction(25),
    tags: dict[str, str] | None = None,
    chapters: int = 0,
    begin: int = 0,
    last: float = 0,
) -> Path:
    """Write a video with a noise track per audio encoder, two subtitles, tags, and chapters of half a second.

    Video and audio start at `begin` seconds. If `last` is set, the last frame lasts `last` seconds.
    """
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        video: Any = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=rate)
        video.height, video.width = frames.shape[1:3]
        tracks: list[Any] = [container.add_stream(name, rate=48000 if "opus" in name else 44100) for name in audio]
        text = container.add_mux_stream(subtitles) if subtitles == "subrip" else None
        if subtitles and text is None:
            text = container.add_stream_from_template(av.open("", "w", format="null").add_stream(subtitles))
            text.codec_context.extradata = b"[Script Info]\n" if subtitles == "ass" else bytes(48)
        container.set_chapters(
            [
                {"id": n + 1, "start": n * 500, "end": n * 500 + 500, "time_base": Fraction(1, 1000),
                 "metadata": {"title": f"Part {n + 1}"}}
                for n in range(chapters)
            ]
        )  # fmt: skip
        if text is not None:
            text.time_base, text.metadata["language"] = Fraction(1, 1000), "fra"
        for n, track in enumerate(tracks):
            track.layout, track.metadata["language"] = "stereo" if n == 0 else "mono", ("eng", "deu")[n % 2]
        seconds = float(len(frames) / rate)
        if last:
            video.codec_context.flags |= av.codec.context.Flags.frame_duration
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base, picture.duration = round(begin * rate) + number, 1 / rate, 1
            if last and number + 1 == len(frames):
                picture.duration = round(last * rate)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for track in tracks:
            noise = _noise(track.rate, seconds)
            noise.pts = begin * track.rate
            container.mux(track.encode(noise))
            container.mux(track.encode(None))
        for n in range(2 if text is not None else 0):
            data = b"hello %d" % n
            packet = av.Packet(len(data).to_bytes(2, "big") + data if subtitles == "mov_text" else data)
            packet.pts = packet.dts = n * 600 + 100
            packet.duration, packet.time_base, packet.stream = 300, Fraction(1, 1000), text
            packet.is_keyframe = True
            container.mux(packet)
    return path


def decode_to(target: Path, coded: bytes, cfr: Fraction | None = None, **options: Any) -> list[str]:
    """Decode a `.dfc` file of `flat_model` to a video with all tracks; return the warnings of the sink."""
    decoder = Decoder(io.BytesIO(coded), lambda preamble: flat_model())
    conversion = OutputConversion(decoder.preamble, cfr)
    with VideoSink(target, conversion.header, tags=decoder.tags, **options) as sink:
        decoder.tracks = sink
        for picture in conversion.convert(decoder):
            sink.write(picture.rgb, picture.pts, picture.duration)
    return sink.notes


def encode_bytes(frames: np.ndarray, loaded: LoadedModel, **options: Any) -> bytes:
    """Encode frames (T, H, W, 3) uint8; return the bytes of the `.dfc` file."""
    out = io.BytesIO()
    api.encode(frames, out, model=loaded, **options)
    return out.getvalue()


def decode_frames(data: bytes, loaded: LoadedModel) -> np.ndarray:
    """Decode the bytes of a `.dfc` file to frames (T, H, W, 3) uint8."""
    return np.stack([picture.rgb for picture in Decoder(io.BytesIO(data), lambda _: loaded)])


def encode_source(source: Any, **options: Any) -> bytes:
    """Encode a source with `flat_model` and all frames kept; return the bytes of the `.dfc` file."""
    out = io.BytesIO()
    api.encode(source, out, **{"model": flat_model(), "fill": "hold", "budget": "all", **options})
    return out.getvalue()


def _noise(rate: int, seconds: float) -> av.AudioFrame:
    samples = np.random.default_rng(0).normal(0, 3000, (1, 2 * round(rate * seconds))).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def random_latent_dit() -> LatentDiT:
    """Return a random generator whose segments begin where channel 40 is high."""
    torch.manual_seed(0)
    out = LatentDiT(LatentDiTConfig(width=32, depth=1, heads=4, hidden=32))
    for name in ("velocity.weight", "gap.weight"):
        torch.nn.init.normal_(dict(out.named_parameters())[name], std=0.2)
    with torch.no_grad():
        out.segments.embedding[40] = 0.5
        out.segments.predictor.weight[0, 40] = 20.0
        out.segments.predictor.bias.fill_(-5.0)
    out.get_buffer("deviation").fill_(0.5)
    return out.eval()
