"""Encode and decode end to end. Comments marked "Fault" name bugs of the published code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import decode_frames, encode_bytes, flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import ModelId
from dfccodec.errors import ModelError, UsageError


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 70])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (15, 17), (55, 101)])
def test_roundtrip_keeps_frame_count_and_size(count: int, size: tuple[int, int], flat: LoadedModel) -> None:
    # Faults: reads only the first 32 frames; scales every picture to 256×256; loses trailing dropped frames.
    frames = moving_square(count, *size)
    decoded = decode_frames(encode_bytes(frames, flat, budget="2"), flat)
    assert decoded.shape == frames.shape


@pytest.mark.parametrize("fill", ["token", "hold", "lerp"])
def test_trailing_dropped_frames_are_decoded(fill: str, flat: LoadedModel) -> None:
    class FirstFrameModel(type(flat.model)):  # type: ignore[misc]
        def encode(self, video, qp, valid=None, keep=None):  # type: ignore[no-untyped-def]
            out = super().encode(video, qp, valid)
            return type(out)(out.latents, out.importance.flip(1))  # importance decreases with the frame number

    loaded = LoadedModel(FirstFrameModel(), flat.identity, flat.device)
    frames = moving_square(10)
    data = encode_bytes(frames, loaded, budget="1", fill=fill)
    assert decode_frames(data, loaded).shape == frames.shape


def test_mini_exceeds_30_db_with_all_frames_kept(mini: LoadedModel) -> None:
    frames = moving_square(40)
    decoded = decode_frames(encode_bytes(frames, mini, budget="all", qp=8), mini)
    error = np.mean((decoded.astype(float) - frames) ** 2)
    assert -10 * np.log10(error / 255**2) > 30


def test_dropped_frames_of_mini_are_better_than_a_repeated_frame(mini: LoadedModel) -> None:
    frames = moving_square(32)
    decoded = decode_frames(encode_bytes(frames, mini, budget="8", qp=16), mini)
    repeated = np.repeat(frames[:1], 32, axis=0)
    assert np.mean((decoded.astype(float) - frames) ** 2) < np.mean((repeated.astype(float) - frames) ** 2)


def test_encoding_is_deterministic(mini: LoadedModel) -> None:
    frames = moving_square(35)
    for budget, refine in (("8", None), ("bernoulli", 0), ("threshold", 0)):
        options = {"budget": budget, "refine": refine}
        assert encode_bytes(frames, mini, **options) == encode_bytes(frames, mini, **options)


def test_file_size_grows_with_the_number_of_kept_frames(mini: LoadedModel) -> None:
    frames = moving_square(32)
    sizes = [len(encode_bytes(frames, mini, budget=b, refine=0, coding="inter")) for b in ("2", "8", "all")]
    assert sizes == sorted(sizes)
    assert sizes[0] * 1.5 < sizes[2], "with all frames kept, inter prediction saves many bits"


def test_pixels_are_rounded_not_truncated(flat: LoadedModel) -> None:
    grey = np.full((1, 16, 16, 3), 200, np.uint8)  # decodes to 803/1024 · 255 = 199.96: truncation would give 199
    assert decode_frames(encode_bytes(grey, flat, budget="all", qp=0), flat).mean() == 200


def test_tiles_join_without_seams() -> None:
    loaded = flat_model(tile=64)
    frames = moving_square(3, 100, 150)
    flat_frames = np.repeat(np.repeat(frames[:, ::16, ::16], 16, 1), 16, 2)[:, :100, :150]
    decoded = decode_frames(encode_bytes(flat_frames, loaded, budget="all", qp=0), loaded)
    assert decoded.shape == flat_frames.shape
    # Tiles blend in the middle of their overlaps: a uniform picture must stay uniform everywhere.
    even = np.full((2, 100, 150, 3), 77, np.uint8)
    assert (decode_frames(encode_bytes(even, loaded, budget="all", qp=0), loaded) == 77).all()


def test_base_steps_are_estimated_for_a_model_without_steps() -> None:
    loaded = flat_model(with_steps=False)
    frames = moving_square(8)
    data = encode_bytes(frames, loaded, budget="all", qp=0)
    coarse = encode_bytes(frames, loaded, budget="all", qp=40)
    assert len(coarse) < len(data)
    assert decode_frames(data, loaded).shape == frames.shape


def test_frame_rates_are_stored_exactly(flat: LoadedModel) -> None:
    # Fault: always writes 30 frames/s.
    data = encode_bytes(moving_square(3), flat, frame_rate=24000 / 1001)
    decoder = Decoder(io.BytesIO(data), lambda _: flat)
    assert (decoder.preamble.header.rate.num, decoder.preamble.header.rate.den) == (24000, 1001)


def test_an_unknown_model_is_requested_by_name(flat: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"needs model 'flat'.*--model FILE"):
        list(dfc.decode(encode_bytes(moving_square(2), flat)))


def test_a_loaded_model_decodes_only_files_of_that_model(flat: LoadedModel, mini: LoadedModel) -> None:
    for count in (2, 3):
        assert len(list(dfc.decode(encode_bytes(moving_square(count), flat), model=flat))) == count
    with pytest.raises(ModelError, match=r"needs model 'flat'.*but 'mini'"):
        dfc.decode(encode_bytes(moving_square(2), flat), model=mini)


def test_the_model_name_in_a_file_is_never_opened_as_a_path(flat: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(b"not a model")
    renamed = LoadedModel(flat.model, ModelId(str(tmp_path / "evil.pt"), bytes(32)), flat.device)
    with pytest.raises(ModelError, match="does not know by name"):
        dfc.decode(encode_bytes(moving_square(2), renamed))


def test_a_different_fingerprint_is_rejected(mini: LoadedModel) -> None:
    other = LoadedModel(mini.model, ModelId("mini", bytes(32), mini.identity.config), mini.device)
    with pytest.raises(ModelError, match="the weights differ although the name is the same"):
        dfc.decode(encode_bytes(moving_square(2), other))


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 1, 70000, 3), np.uint8),
        np.zeros((1, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.float32),
        [],
    ],
)
def test_arrays_of_invalid_shape_or_dtype_are_rejected(frames: object, flat: LoadedModel) -> None:
    with pytest.raises(UsageError):
        dfc.encode(frames, io.BytesIO(), model=flat)  # type: ignore[arg-type]


def test_qp_out_of_range_is_rejected(flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="63"):
        encode_bytes(moving_square(1), flat, qp=64)


def test_huge_steps_decode_without_a_warning(flat: LoadedModel, recwarn: pytest.WarningsRecorder) -> None:
    class HugeStepsModel(type(flat.model)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps = np.full(3, 3e38, np.float32)

        def encode(self, video, qp, valid=None, keep=None):  # type: ignore[no-untyped-def]
            out = super().encode(video, qp, valid)
            return type(out)(out.latents * 3e38, out.importance)

    loaded = LoadedModel(HugeStepsModel(), flat.identity, flat.device)
    assert decode_frames(encode_bytes(moving_square(2), loaded, qp=40), loaded).shape == (2, 48, 64, 3)
    assert not recwarn.list


@pytest.mark.parametrize("rate", [0, -25, float("nan"), float("inf"), 1e-10, 1e12, "fast"])
def test_invalid_frame_rates_are_rejected(rate: float, flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="out of range: give frames per second"):
        encode_bytes(moving_square(2), flat, frame_rate=rate)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 0, 32, 3), np.uint8), r"frame of shape \(0, 32, 3\)"),
        ([[1, 2], [3, 4]], "frame of type list"),
        ([np.zeros((4, 4, 3), np.uint8), None], "frame of type NoneType"),
        (None, "source of type NoneType"),
    ],
)
def test_invalid_sources_are_rejected(source: Any, message: str, flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match=message):
        encode_bytes(source, flat)


def test_tensors_and_pictures_are_frames(flat: LoadedModel) -> None:
    video = moving_square(3)
    expected = encode_bytes(video, flat)
    tensor = torch.from_numpy(np.stack(video))
    assert encode_bytes(tensor, flat) == expected
    assert encode_bytes(list(tensor), flat) == expected
    assert encode_bytes(iter(tensor), flat) == expected
    with pytest.raises(UsageError, match=r"frame of shape \(3, 48, 64\) and type float32: give \(H, W, 3\) uint8"):
        encode_bytes([torch.zeros(3, 48, 64)], flat)
    with pytest.raises(UsageError, match=r"frame of type Tensor: .*give \(H, W, 3\) uint8"):
        encode_bytes([torch.zeros(48, 64, 3, dtype=torch.bfloat16)], flat)
    image = pytest.importorskip("PIL.Image")
    assert encode_bytes([image.fromarray(frame) for frame in video], flat) == expected


def test_a_decoder_can_be_iterated_once(flat: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(encode_bytes(moving_square(3), flat))
    with (tmp_path / "a.dfc").open("rb") as stream:
        decoder = Decoder(stream, lambda _: flat, close=True)
        assert next(decoder).pts == 0
        assert [p.pts for p in decoder] == [1, 2]  # the remaining frames
        with pytest.raises(UsageError, match="once"):
            next(iter(decoder))
