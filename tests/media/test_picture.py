"""Conversion of frames: fields, bit depths, ranges, matrices, alpha, sizes, rotation, image sequences."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import flat_model, moving_square, write_video

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.conversion import OutputConversion
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.scale import fit_size, parse_size, scaled_pixel_aspect

RAMP = np.repeat(np.linspace(0, 255, 16).round().astype(np.uint8), 16)[None, :, None].repeat(64, 0).repeat(3, 2)
BARS = np.zeros((64, 256, 3), np.uint8)
for _i, _c in enumerate([(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0)]):
    BARS[:, 32 * _i : 32 * _i + 32] = _c
FULL, LIMITED = 2, 1


def write(path: Path, frames: np.ndarray, codec: str, pixels: str, **context: Any) -> Path:
    """Write frames (T, H, W, 3), converted by swscale with explicit matrix and range."""
    matrix, level = context.pop("matrix", 2), context.pop("level", LIMITED)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=context.pop("options", {}))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.color_range, stream.codec_context.colorspace = level, matrix
        for frame in frames:
            plain = av.VideoFrame.from_ndarray(frame, format="rgb24")
            to = {"dst_colorspace": matrix} if matrix != 2 else {}
            container.mux(stream.encode(plain.reformat(format=pixels, dst_color_range=level, **to)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("picture", [RAMP, BARS], ids=["ramp", "bars"])
@pytest.mark.parametrize("level", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 6, 9], ids=["709", "601", "2020"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le"])
def test_colours_survive_roundtrip(pixels: str, matrix: int, level: int, picture: np.ndarray, tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", np.stack([picture] * 2), "ffv1", pixels, matrix=matrix, level=level)
    with VideoSource(source) as video:
        assert video.info.colour[0] == level
        assert video.info.colour[3] == matrix
        assert video.info.colour[4] == (10 if "10" in pixels else 8)
        (one, _) = video
        header = Header(256, 64, Ratio(25, 1), Ratio(1, 25), colour=api_colour(video))
    centres = one.rgb[8::16, 8::16].astype(int)
    assert abs(centres - picture[8::16, 8::16]).max() <= 3
    with VideoSink(tmp_path / "out.mkv", header, codec="ffv1") as sink:
        sink.write(one.rgb, 0, 1)
    with VideoSource(tmp_path / "out.mkv") as back:
        assert back.info.colour[3] == matrix
        assert abs(next(iter(back)).rgb[8::16, 8::16].astype(int) - centres).max() <= 3


def api_colour(video: VideoSource) -> Any:
    from dfccodec.container.records import Colour

    return Colour(*video.info.colour)


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    whole = moving_square(20)
    woven = whole.copy()
    woven[:-1, 1::2] = whole[1:, 1::2]  # odd lines come from the next frame
    options = {"x264-params": "tff=1", "crf": "8"}
    source = write(tmp_path / "in.mkv", woven, "libx264", "yuv420p", options=options)
    with VideoSource(source) as video:
        pictures = list(video)
        assert video.notes == ["the video is interlaced: deinterlaced with bwdif, one frame for two fields"]
        assert [p.pts * video.info.time_base * 25 for p in pictures] == list(range(20))
    combs = [abs(np.diff(p.astype(int), axis=0)).mean() for p in (woven[9], pictures[9].rgb, whole[9])]
    assert combs[1] < (combs[0] + combs[2]) / 2


@pytest.mark.parametrize(("opacity", "notes"), [(255, []), (0, ["the transparency of the picture is discarded"])])
def test_gif_is_transparent_if_first_frame_is(opacity: int, notes: list[str], tmp_path: Path) -> None:
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255  # alpha is the first component
    palette[0, 0] = opacity
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream: Any = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "pal8"
        indices = np.eye(8, dtype=np.uint8)
        for frame in (av.VideoFrame.from_ndarray((indices, palette), format="pal8"), None):  # type: ignore[arg-type]
            container.mux(stream.encode(frame))
    with VideoSource(tmp_path / "a.gif") as video:
        assert video.notes == notes


def test_transparency_is_discarded_with_note(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream: Any = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba"
        pixels = np.full((8, 8, 4), 128, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
    with VideoSource(tmp_path / "a.png") as video:
        assert video.notes == ["the transparency of the picture is discarded"]
        (picture,) = video
        assert (picture.rgb == 128).all()


def test_image_sequence(tmp_path: Path) -> None:
    frames = moving_square(3)
    with av.open(str(tmp_path / "p%04d.png"), "w", format="image2") as container:
        stream: Any = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    for name in ("p%04d.png", "p*.png"):
        with VideoSource(tmp_path / name) as video:
            assert [(p.rgb == f).all() for p, f in zip(video, frames, strict=True)] == [True] * 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_phone_videos_keep_orientation(turns: int, suffix: str, tmp_path: Path) -> None:
    frames = moving_square(2)
    header = Header(64, 48, Ratio(25, 1), Ratio(1, 25), rotation=turns, pixel_aspect=Ratio(4, 3))
    with VideoSink(tmp_path / f"a{suffix}", header) as sink:
        sink.write(frames[0], 0, 1)
    with VideoSource(tmp_path / f"a{suffix}") as video:
        tagged = suffix != ".mkv"
        assert video.info.rotation == (turns if tagged else 0)
        assert video.info.pixel_aspect == (Fraction(3, 4) if turns % 2 and not tagged else Fraction(4, 3))
        back = np.rot90(next(iter(video)).rgb, -video.info.rotation)
    assert abs(back.astype(int) - np.rot90(frames[0], -turns)).mean() < 4


def test_size_parsing_and_fitting() -> None:
    assert parse_size("480") == (480, 0)
    assert parse_size("640x360") == (640, 360)
    assert fit_size((1920, 1080), (480, 0)) == (854, 480)
    assert fit_size((1080, 1920), (480, 0)) == (480, 854)
    assert fit_size((101, 55), (55, 0)) == (101, 55)
    assert fit_size((1920, 1080), (90, 160), rotation=1) == (160, 90)
    assert scaled_pixel_aspect(Fraction(1), (1920, 1080), (854, 480)) == 1
    assert scaled_pixel_aspect(Fraction(1), (1920, 1080), (960, 1080)) == 2
    for text in ("", "0", "x", "480p", "1x0", "99999", "source"):
        with pytest.raises(UsageError, match="not understood"):
            parse_size(text)


def test_scaling_at_encode_and_decode(tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "in.mp4", moving_square(3, 96, 128)), io.BytesIO()
    api.encode(source, out, model=flat_model(), budget="all", size="48x48")
    out.seek(0)
    decoder = Decoder(out, lambda p: flat_model())
    assert dict(decoder.preamble.tool)["source_size"] == "128x96"
    assert decoder.preamble.header.pixel_aspect == Ratio(4, 3)
    shape = OutputConversion(decoder.preamble, size="source")
    assert (shape.header.width, shape.header.height, shape.header.pixel_aspect) == (128, 96, Ratio(1, 1))
    assert [p.rgb.shape for p in shape.convert(decoder)] == [(96, 128, 3)] * 3
