"""The picture that stands for a file: which frame it is, its size and its orientation."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import av
import numpy as np
import pytest
from command import run
from support import DATA, encode_bytes, flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_header
from dfccodec.container.reader import StreamReader
from dfccodec.container.records import Ratio
from dfccodec.media.output.png import encode_png
from dfccodec.report.thumbnail import fit_box, make_thumbnail


@pytest.fixture(scope="module")
def flat() -> LoadedModel:
    return flat_model()


def test_it_is_the_most_important_kept_frame_of_an_early_clip(flat: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(encode_bytes(moving_square(70), flat, budget="4", fill="hold"))
    with dfc.open(path) as file:
        clip = file[0]
        number = clip.kept_indices[np.argmax(clip.record.importance[clip.kept])]
    frames = [picture.rgb for picture in dfc.decode(path, model=flat)]
    np.testing.assert_array_equal(make_thumbnail(path, 256, flat), frames[number])


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((1920, 1080), 256, (256, 144)), ((108, 192), 96, (54, 96)), ((64, 48), 256, (64, 48)), ((400, 1), 64, (64, 1))],
)
def test_the_size_fits_a_square(size: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    assert fit_box(size, side) == expected


def test_it_is_upright_with_square_pixels(flat: LoadedModel, tmp_path: Path) -> None:
    data = encode_bytes(moving_square(3), flat)
    header = StreamReader(io.BytesIO(data)).preamble.header
    turned = dataclasses.replace(header, rotation=1, pixel_aspect=Ratio(2, 1))
    old, new = (pack_chunk(b"HEAD", pack_header(record)) for record in (header, turned))
    assert old in data
    path = tmp_path / "a.dfc"
    path.write_bytes(data.replace(old, new))
    assert make_thumbnail(path, 64, flat).shape == (64, 24, 3)  # 64×48 are shown as 128×48


def test_png_is_what_other_programs_read() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with av.open(io.BytesIO(encode_png(picture))) as container:
        (frame,) = container.decode(video=0)
    np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), picture)


def test_the_command_of_the_thumbnailer(tmp_path: Path) -> None:
    quick = ("--fill", "token", "--refine", "0", "--budget", "1")
    assert run("encode", DATA / "flower_96x64.mp4", "-o", tmp_path / "a.dfc", *quick).returncode == 0
    thumb = (tmp_path / "thumb.XYZ").open("w+b")  # services make the file, without a suffix, and read what they opened
    entry = (Path(__file__).parents[2] / "formats" / "desktop" / "dfc.thumbnailer").read_text()
    command = next(line for line in entry.splitlines() if line.startswith("Exec=dfc ")).removeprefix("Exec=dfc ")
    words = {"%i": tmp_path / "a.dfc", "%o": tmp_path / "thumb.XYZ", "%s": 48}
    result = run(*(words.get(word, word) for word in command.split()))
    assert (result.returncode, result.stderr) == (0, b"")
    with thumb, av.open(thumb) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (48, 32)
    assert run("thumbnail", "-", "-o", tmp_path / "x.png").returncode == 2
    assert run("thumbnail", DATA / "flower_96x64.mp4", "-o", tmp_path / "x.png").returncode == 3


def test_a_name_of_another_format_is_refused_and_a_video_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    for arguments, words in (
        (("a.mp4", "-o", "a.jpg"), "a thumbnail is a PNG, not a .jpg file: name it .png"),
        (("a.mp4", "-o", "a.png"), "error: a.mp4 is not a .dfc file"),
    ):
        result = run("thumbnail", *arguments, cwd=tmp_path)
        assert result.returncode in (2, 3)
        assert words in result.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
