"""The public functions on paths, bytes and streams, and their errors for invalid arguments."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import flat_model, moving_square, write_video

import dfccodec as dfc
from dfccodec.errors import UsageError

FLAT = flat_model()


@pytest.fixture(scope="module")
def data() -> bytes:
    out = io.BytesIO()
    dfc.encode(moving_square(40), out, model=FLAT, budget=8)
    return out.getvalue()


def test_paths_bytes_and_streams_give_the_same_result(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    sources: list[Any] = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data)]
    hashes = {dfc.verify(source).latent_hash for source in sources}
    assert len(hashes) == 1
    for source in sources[:-1]:
        with dfc.open(source) as file:
            assert file.frames == 40
    trimmed = []
    sources[-1].seek(0)
    for number, source in enumerate(sources):
        out = tmp_path / f"{number}.dfc"
        assert dfc.trim(source, out, budget="2") == (40, 3)
        trimmed.append(out.read_bytes())
    assert len(set(trimmed)) == 1
    stream = io.BytesIO()
    dfc.trim(data, stream, budget=2)
    assert stream.getvalue() == trimmed[0]
    assert not dfc.recover(str(path), str(tmp_path / "r.dfc")).faults
    assert not dfc.verify(tmp_path / "r.dfc").faults


def test_trim_in_place_keeps_the_file_on_failure(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    with pytest.raises(UsageError):
        dfc.trim(path, path, start=1000)
    assert path.read_bytes() == data
    dfc.trim(path, path, budget=1)
    assert len(path.read_bytes()) < len(data)
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]


def test_budgets_may_be_numbers(data: bytes) -> None:
    for budget in ("8", 8, 8.0, np.int64(8)):
        out = io.BytesIO()
        dfc.encode(moving_square(40), out, model=FLAT, budget=budget)
        assert out.getvalue() == data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 8.5}, r"budget '8\.5' is not understood"),
        ({"qp": 24.5}, "QP 24.5 is out of range: give a whole number"),
        ({"qp": "24"}, "QP '24' is out of range"),
        ({"seed": 1.5}, "seed 1.5 is out of range"),
        ({"deadzone": "x"}, "deadzone 'x' is out of range"),
        ({"size": "48"}, "span, size, crop, fps and video are for files"),
        ({"span": ("1", "2")}, r"give dfc\.Span\.parse"),
        ({"refine": "abc"}, "refine 'abc' is not a number of iterations"),
        ({"refine": 1.7}, "refine 1.7 is not a number of iterations"),
        ({"preset": ["fast"]}, "is unknown; give one of"),
        ({"model": 3}, "model of type int: give a name, a path"),
    ],
)
def test_invalid_arguments_are_reported(options: dict[str, Any], message: str) -> None:
    out = io.BytesIO()
    with pytest.raises(UsageError, match=message):
        dfc.encode(moving_square(2), out, **{"model": FLAT, **options})
    assert not out.getvalue()


def test_invalid_outputs_are_rejected_before_encoding(data: bytes, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_square(3))
    before = video.read_bytes()
    with pytest.raises(UsageError, match="is the input"):
        dfc.encode(video, str(video), model=FLAT)
    assert video.read_bytes() == before
    folder = tmp_path / "folder"
    folder.mkdir()
    for call in (lambda: dfc.encode(moving_square(3), folder, model=FLAT), lambda: dfc.trim(data, folder, budget="1")):
        with pytest.raises(UsageError, match="is a folder: name a file in it"):
            call()
    with pytest.raises(UsageError, match="the stream is a text stream"):
        dfc.encode(moving_square(3), io.StringIO(), model=FLAT)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the stream is a text stream"):
        dfc.verify(io.StringIO("x"))  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "folder"]
    with pytest.raises(UsageError, match="the output is the input stream"):
        dfc.trim(stream := io.BytesIO(data), stream)


@pytest.mark.parametrize("source", [None, 5, [b"x"], np.zeros(3, np.uint8)])
def test_invalid_inputs_are_reported(source: Any) -> None:
    for call in (dfc.open, dfc.decode, dfc.verify, lambda s: dfc.trim(s, io.BytesIO())):
        with pytest.raises(UsageError, match=f"cannot read a value of type {type(source).__name__}"):
            call(source)


@pytest.mark.parametrize("out", [None, b"x", 5])
def test_invalid_outputs_are_reported(out: Any, data: bytes) -> None:
    for call in (lambda: dfc.encode(moving_square(2), out, model=FLAT), lambda: dfc.trim(data, out)):
        with pytest.raises(UsageError, match=f"cannot write a value of type {type(out).__name__}"):
            call()


def test_streams_that_are_closed_or_of_the_wrong_mode_are_reported(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    closed = io.BytesIO(data)
    closed.close()
    with pytest.raises(UsageError, match="the stream to read is closed"):
        dfc.decode(closed)
    with path.open("rb") as stream, pytest.raises(UsageError, match="not open to write"):
        dfc.encode(moving_square(2), stream, model=FLAT)
    with (tmp_path / "b").open("wb") as stream, pytest.raises(UsageError, match="not open to read"):
        dfc.verify(stream)


def test_verify_result_is_true_only_for_an_intact_file(data: bytes) -> None:
    assert dfc.verify(data)
    assert not dfc.verify(data[:-200])


@pytest.mark.parametrize("arguments", [{"start": -5}, {"start": 1.5}, {"end": "3"}])
def test_trim_rejects_invalid_frame_numbers(arguments: dict[str, Any], data: bytes) -> None:
    with pytest.raises(UsageError, match="is not a frame number"):
        dfc.trim(data, io.BytesIO(), **arguments)


def test_decode_rejects_invalid_and_empty_spans(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"give dfc\.Span\.parse"):
        dfc.decode(data, model=FLAT, span="#1")  # type: ignore[arg-type]
    assert len(list(dfc.decode(data, model=FLAT, span=dfc.Span.parse("#10", "#12")))) == 2
    with pytest.raises(UsageError, match="the range contains no frame"):
        list(dfc.decode(data, model=FLAT, span=dfc.Span.parse("#100")))


def test_a_decoder_can_be_closed_early_without_warnings(
    data: bytes, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "a.dfc"
    path.write_bytes(data)
    with dfc.decode(path, model=FLAT) as decoder:
        assert decoder.preamble.header.width > 0
    del decoder
    assert not recwarn.list


def test_encode_accepts_the_bytes_of_a_video_file(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", moving_square(3))
    outs = [io.BytesIO(), io.BytesIO()]
    for source, out in zip((video, video.read_bytes()), outs, strict=True):
        assert dfc.encode(source, out, model=FLAT).frames == 3
    assert dfc.verify(outs[0].getvalue()).latent_hash == dfc.verify(outs[1].getvalue()).latent_hash


def test_sources_may_reuse_one_array_for_all_frames(data: bytes) -> None:
    buffer = np.empty_like(moving_square(40)[0])

    def frames() -> Iterator[np.ndarray]:
        for frame in moving_square(40):
            np.copyto(buffer, frame)
            yield buffer

    class ReiterableSource:
        def __iter__(self) -> Iterator[np.ndarray]:
            return frames()

    for source in (frames(), ReiterableSource()):
        out = io.BytesIO()
        dfc.encode(source, out, model=FLAT, budget=8)
        assert out.getvalue() == data


def test_encode_inside_inference_mode_gives_the_same_bytes() -> None:
    # Evaluation scripts run like this. Refinement needs gradients nevertheless.
    outs = [io.BytesIO(), io.BytesIO(), io.BytesIO()]
    with torch.inference_mode():
        loaded = dfc.load_model("mini", dtype="float32")
        dfc.encode(moving_square(8), outs[0], model=loaded, budget=2)
    dfc.encode(moving_square(8), outs[1], model=loaded, budget=2)
    dfc.encode(moving_square(8), outs[2], model=dfc.load_model("mini", dtype="float32"), budget=2)
    assert len({out.getvalue() for out in outs}) == 1


def test_public_names_are_listed_and_importable() -> None:
    assert set(dir(dfc)) == set(dfc.__all__)
    for name in dfc.__all__:
        assert getattr(dfc, name) is not None


def test_repr_of_files_and_clips(data: bytes) -> None:
    with dfc.open(data) as file:
        assert "40 frames, 10 kept, in 2 clips" in repr(file)
        assert repr(file[1]) == "<clip of frames 32 to 39, 2 kept, QP 24>"


def test_input_streams_need_only_a_read_method(data: bytes) -> None:
    class MinimalStream:
        def __init__(self) -> None:
            self.read = io.BytesIO(data).read

    expected = [p.rgb for p in dfc.decode(data, model=FLAT)]
    assert (np.stack([p.rgb for p in dfc.decode(MinimalStream(), model=FLAT)]) == np.stack(expected)).all()  # type: ignore[arg-type]
    assert dfc.verify(MinimalStream())  # type: ignore[arg-type]
