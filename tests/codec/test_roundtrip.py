"""Encode and decode end to end, with each fault of the published code that ours must not share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import ModelId
from dfccodec.errors import ModelError, UsageError


def coded(frames: np.ndarray, loaded: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, **options)  # type: ignore[arg-type]
    return out.getvalue()


def decoded(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 70])
@pytest.mark.parametrize("size", [(16, 16), (1, 1), (15, 17), (55, 101)])
def test_every_frame_comes_back_in_its_size(count: int, size: tuple[int, int], flat: LoadedModel) -> None:
    # Faults: only the first 32 frames read; any size squashed to 256×256; trailing dropped frames lost.
    frames = moving(count, *size)
    back = decoded(coded(frames, flat, budget="2"), flat)
    assert back.shape == frames.shape


@pytest.mark.parametrize("fill", ["token", "hold", "lerp"])
def test_trailing_dropped_frames_come_back(fill: str, flat: LoadedModel) -> None:
    class First(type(flat.model)):  # type: ignore[misc]
        def encode(self, video, qp, valid=None, keep=None):  # type: ignore[no-untyped-def]
            out = super().encode(video, qp, valid)
            return type(out)(out.latents, out.importance.flip(1))  # the first frame matters most, the last least

    loaded = LoadedModel(First(), flat.identity, flat.device)
    frames = moving(10)
    data = coded(frames, loaded, budget="1", fill=fill)
    assert decoded(data, loaded).shape == frames.shape


def test_mini_is_close_to_the_source(mini: LoadedModel) -> None:
    frames = moving(40)
    back = decoded(coded(frames, mini, budget="all", qp=8), mini)
    error = np.mean((back.astype(float) - frames) ** 2)
    assert -10 * np.log10(error / 255**2) > 30


def test_dropped_frames_of_mini_follow_the_source(mini: LoadedModel) -> None:
    frames = moving(32)
    back = decoded(coded(frames, mini, budget="8", qp=16), mini)
    held = np.repeat(frames[:1], 32, axis=0)
    assert np.mean((back.astype(float) - frames) ** 2) < np.mean((held.astype(float) - frames) ** 2)


def test_the_same_input_gives_the_same_bytes(mini: LoadedModel) -> None:
    frames = moving(35)
    for budget, refine in (("8", None), ("bernoulli", 0), ("threshold", 0)):
        options = {"budget": budget, "refine": refine}
        assert coded(frames, mini, **options) == coded(frames, mini, **options)


def test_size_depends_on_what_is_kept(mini: LoadedModel) -> None:
    frames = moving(32)
    sizes = [len(coded(frames, mini, budget=b, refine=0)) for b in ("2", "8", "all")]
    assert sizes == sorted(sizes)
    assert sizes[0] * 1.5 < sizes[2], "all frames: what has moved is expected, and cheap"


def test_pixels_are_rounded_not_cut(flat: LoadedModel) -> None:
    grey = np.full((1, 16, 16, 3), 200, np.uint8)  # decodes to 803/1024 · 255 = 199.96: truncation would give 199
    assert decoded(coded(grey, flat, budget="all", qp=0), flat).mean() == 200


def test_tiles_join_to_the_picture() -> None:
    loaded = flat_model(tile=64)
    frames = moving(3, 100, 150)
    flat_frames = np.repeat(np.repeat(frames[:, ::16, ::16], 16, 1), 16, 2)[:, :100, :150]
    back = decoded(coded(flat_frames, loaded, budget="all", qp=0), loaded)
    assert back.shape == flat_frames.shape
    # Tiles meet in the middle of overlaps; a flat picture must come back flat everywhere.
    even = np.full((2, 100, 150, 3), 77, np.uint8)
    assert (decoded(coded(even, loaded, budget="all", qp=0), loaded) == 77).all()


def test_a_model_without_steps_gets_measured_ones() -> None:
    loaded = flat_model(with_steps=False)
    frames = moving(8)
    data = coded(frames, loaded, budget="all", qp=0)
    coarse = coded(frames, loaded, budget="all", qp=40)
    assert len(coarse) < len(data)
    assert decoded(data, loaded).shape == frames.shape


def test_rates_are_kept_exactly(flat: LoadedModel) -> None:
    # Fault: rates always 30 frames/s.
    data = coded(moving(3), flat, frame_rate=24000 / 1001)
    decoder = Decoder(io.BytesIO(data), lambda _: flat)
    assert (decoder.preamble.header.rate.num, decoder.preamble.header.rate.den) == (24000, 1001)


def test_a_model_that_is_not_known_is_asked_for_by_name(flat: LoadedModel) -> None:
    with pytest.raises(ModelError, match=r"needs model 'flat'.*--model FILE"):
        list(dfc.decode(coded(moving(2), flat)))


def test_one_loaded_model_decodes_many_files_of_its_own(flat: LoadedModel, mini: LoadedModel) -> None:
    for count in (2, 3):
        assert len(list(dfc.decode(coded(moving(count), flat), model=flat))) == count
    with pytest.raises(ModelError, match=r"needs model 'flat'.*but 'mini'"):
        dfc.decode(coded(moving(2), flat), model=mini)


def test_a_name_in_a_file_is_never_opened_as_a_path(flat: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "evil.pt").write_bytes(b"not a model")
    named = LoadedModel(flat.model, ModelId(str(tmp_path / "evil.pt"), bytes(32)), flat.device)
    with pytest.raises(ModelError, match="does not know by name"):
        dfc.decode(coded(moving(2), named))


def test_another_fingerprint_is_refused(mini: LoadedModel) -> None:
    other = LoadedModel(mini.model, ModelId("mini", bytes(32), mini.identity.config), mini.device)
    with pytest.raises(ModelError, match="the weights differ although the name is the same"):
        dfc.decode(coded(moving(2), other))


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
def test_arrays_of_another_form_are_refused(frames: object, flat: LoadedModel) -> None:
    with pytest.raises(UsageError):
        dfc.encode(frames, io.BytesIO(), model=flat)  # type: ignore[arg-type]


def test_qp_out_of_range_is_refused(flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="63"):
        coded(moving(1), flat, qp=64)


def test_absurd_steps_give_pixels_without_a_warning(flat: LoadedModel, recwarn: pytest.WarningsRecorder) -> None:
    class Absurd(type(flat.model)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.steps = np.full(3, 3e38, np.float32)

        def encode(self, video, qp, valid=None, keep=None):  # type: ignore[no-untyped-def]
            out = super().encode(video, qp, valid)
            return type(out)(out.latents * 3e38, out.importance)

    loaded = LoadedModel(Absurd(), flat.identity, flat.device)
    assert decoded(coded(moving(2), loaded, qp=40), loaded).shape == (2, 48, 64, 3)
    assert not recwarn.list


@pytest.mark.parametrize("rate", [0, -25, float("nan"), float("inf"), 1e-10, 1e12, "fast"])
def test_a_rate_that_is_none_is_refused(rate: float, flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="out of range: give frames per second"):
        coded(moving(2), flat, frame_rate=rate)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros((2, 0, 32, 3), np.uint8), r"frame of shape \(0, 32, 3\)"),
        ([[1, 2], [3, 4]], "frame of type list"),
        ([np.zeros((4, 4, 3), np.uint8), None], "frame of type NoneType"),
        (None, "source of type NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(source: Any, says: str, flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match=says):
        coded(source, flat)


def test_a_decoder_gives_its_frames_once(flat: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "a.dfc").write_bytes(coded(moving(3), flat))
    with (tmp_path / "a.dfc").open("rb") as stream:
        decoder = Decoder(stream, lambda _: flat, close=True)
        assert next(decoder).pts == 0
        assert [p.pts for p in decoder] == [1, 2]  # what is left
        with pytest.raises(UsageError, match="once"):
            next(iter(decoder))
