"""Clips with predicted kept frames: encoded, decoded and trimmed with the embedded model."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from support import decode_frames, encode_bytes, moving_square
from vectors import read_vector

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip import encode
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.motion_encoder import Effort
from dfccodec.codec.predict.encoder import PredictedEncoder, inter_qp, rd_lambda
from dfccodec.codec.predict.order import direct_motion, read_motion
from dfccodec.codec.predict.pictures import add_residual, transform_residual
from dfccodec.container.records import Clip, Coding, Header, MotionFilter, Ratio
from dfccodec.edit.trim import trim
from dfccodec.edit.verify import verify
from dfccodec.entropy.motion_tools import has_direct_motion, motion_filter
from dfccodec.entropy.predicted import divide
from dfccodec.errors import UsageError

HEADER = Header(44, 28, Ratio(25, 1), Ratio(1, 25), patch=16, clip_frames=32, channels=96)


@pytest.fixture(scope="module")
def mini() -> LoadedModel:
    return dfc.load_model("mini", dtype="float32")


def clip_of(data: bytes) -> Clip:
    with dfc.open(data) as file:
        return file[0].read()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(((a.astype(float) - b) / 255) ** 2)))


def panning(frames: int, height: int = 60, width: int = 100, step: int = 2) -> np.ndarray:
    """A textured picture that moves to the right."""
    y, x = np.mgrid[:height, : width + frames * step] / 9
    waves = [np.sin(x + 0.3 * c) * np.cos(y * (1 + 0.2 * c)) + np.sin(0.37 * x * y / 9 + c) for c in range(3)]
    wide = np.clip(128 + 55 * np.stack(waves, axis=-1), 0, 255).astype(np.uint8)
    return np.stack([wide[:, t * step : t * step + width] for t in range(frames)])


def test_the_transform_is_inverted_by_the_residual() -> None:
    rng = np.random.default_rng(1)
    sizes = np.full(96, 1 / 64)
    values = rng.integers(-9, 9, (2, 3, 96)).astype(np.int16)
    base = np.full((28, 44, 3), 0.5, np.float32)
    values[1:] = values[:, 2:] = 0  # cells that reach beyond the picture lose a part
    made = add_residual(base, values, sizes)
    inside = (made > 0).all(axis=-1) & (made < 1).all(axis=-1)
    assert inside.mean() > 0.99
    found = transform_residual(made - base, HEADER) / sizes
    assert np.abs(found - values)[0, :2].max() < 0.5


def test_no_residual_is_the_prediction() -> None:
    base = np.random.default_rng(1).random((28, 44, 3), np.float32)
    assert np.array_equal(add_residual(base, np.zeros((2, 3, 96), np.int16), np.ones(96)), base)


def test_a_pan_is_predicted_and_smaller_than_in_inter_coding(mini: LoadedModel) -> None:
    frames = panning(12)
    data, other = (encode_bytes(frames, mini, budget="33%", qp=30, coding=coding) for coding in (None, "inter"))
    clip = clip_of(data)
    assert clip.coding == Coding.PREDICTED
    assert divide(clip).types.intra.tolist() == [True, False, False, False]
    assert len(data) < len(other)
    header = dataclasses.replace(HEADER, width=100, height=60)
    assert read_motion(clip, header).references.dropped.size == 3
    assert psnr(frames, decode_frames(data, mini)) > psnr(frames, decode_frames(other, mini)) - 2


def test_the_decoder_sees_the_pictures_of_the_encoder(mini: LoadedModel) -> None:
    """At a fine QP every kept frame is right, so no error of a prediction grows from frame to frame."""
    frames = panning(9)
    data = encode_bytes(frames, mini, budget="all", qp=4)
    assert psnr(frames, decode_frames(data, mini)) > 38


def test_details_reach_what_the_channels_of_the_model_cannot(mini: LoadedModel) -> None:
    """Noise is in no basis of 96 vectors: without details its PSNR stays below 20 dB, whatever the QP."""
    noise = np.random.default_rng(3).integers(0, 256, (1, 40, 56, 3)).astype(np.uint8).repeat(4, 0)
    clips = [clip_of(encode_bytes(noise, mini, budget="all", qp=qp)) for qp in (4, 48)]
    fine, coarse = (divide(clip) for clip in clips)
    assert fine.details[0] is not None
    assert fine.details[1] is None  # the frame is predicted, noise included
    assert coarse.details == [None] * 4
    quality = [psnr(noise, decode_frames(encode_bytes(noise, mini, budget="all", qp=qp), mini)) for qp in (4, 12)]
    assert quality[0] > quality[1] > 28


def test_details_stay_with_their_frame_when_a_clip_is_trimmed(mini: LoadedModel) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (1, 40, 56, 3)).astype(np.uint8).repeat(12, 0)
    data, out = encode_bytes(frames, mini, budget="50%", qp=4), io.BytesIO()
    trim(io.BytesIO(data), out, Budget.of("25%"))
    before, after = (divide(clip_of(each)).details for each in (data, out.getvalue()))
    assert before[0] is not None
    assert after == before[: len(after)]
    assert verify(io.BytesIO(out.getvalue()))


def test_a_cut_within_a_clip_is_coded_with_intra_frames_or_in_inter_coding(mini: LoadedModel) -> None:
    rng = np.random.default_rng(2)
    shots = rng.integers(0, 256, (6, 12, 20, 3)).repeat(6, 1).repeat(6, 2).repeat(2, 0)
    clip = clip_of(encode_bytes(shots.astype(np.uint8), mini, budget="50%", qp=30))
    assert clip.coding == Coding.INTER or divide(clip).types.intra.sum() > 1


def test_every_smaller_budget_is_a_prefix(mini: LoadedModel) -> None:
    frames = panning(12)
    data = encode_bytes(frames, mini, budget="50%", qp=28)
    before = clip_of(data)
    sizes = []
    for budget in (5, 3, 2, 1):
        out = io.BytesIO()
        trim(io.BytesIO(data), out, Budget.of(f"{budget / 12:.0%}"))
        trimmed = out.getvalue()
        assert verify(io.BytesIO(trimmed))
        after = clip_of(trimmed)
        assert after.coding_order.tolist() == before.coding_order[:budget].tolist()
        assert psnr(frames, decode_frames(trimmed, mini)) > 15
        sizes.append(len(after.latents))
    assert sizes == sorted(sizes, reverse=True)


def test_samples_between_pixels_are_filtered_before_and_after_a_trim(mini: LoadedModel) -> None:
    for coding in ("predicted", "inter"):
        for qp, expected in ((20, MotionFilter.QUARTER), (28, MotionFilter.EIGHT_TAP)):
            data, out = encode_bytes(panning(8), mini, budget="50%", qp=qp, coding=coding), io.BytesIO()
            trim(io.BytesIO(data), out, Budget.of("25%"))
            assert motion_filter(clip_of(data)) == motion_filter(clip_of(out.getvalue())) == expected
    other = encode_bytes(panning(8), mini, budget="50%", coding="range")
    assert motion_filter(clip_of(other)) == MotionFilter.LINEAR


def test_dropped_frames_move_with_the_frames_around_them(mini: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without their payload they look nearly as good; with and without kernels they are the same."""
    frames = panning(12)
    data = encode_bytes(frames, mini, budget="33%", qp=24)
    clip = clip_of(data)
    assert has_direct_motion(clip)
    header = dataclasses.replace(HEADER, width=100, height=60)
    direct, references = direct_motion(clip, header), References.of(clip.kept)
    assert direct is not None
    inner = np.flatnonzero((references.past >= 0) & (references.future >= 0))
    frame, past, future = (int(side[inner[0]]) for side in (references.dropped, references.past, references.future))
    found = direct.vectors(frame, past, future)
    assert found is not None
    step = 2 * 4 * (frame - past)  # quarter pixels
    assert np.median(found[..., 0, 1]) == pytest.approx(step, abs=1)
    fused = decode_frames(data, mini)
    for module in ("obmc", "payload"):
        monkeypatch.setattr(f"dfccodec.codec.motion.{module}.kernels", None)
    monkeypatch.setattr("dfccodec.codec.clip.frame_buffer.kernels", None)
    assert np.abs(decode_frames(data, mini).astype(int) - fused).max() <= 1


@pytest.mark.parametrize("coding", ["predicted", "inter"])
def test_motion_searched_anew_is_nearly_that_of_an_encode(mini: LoadedModel, coding: str) -> None:
    frames, trimmed = panning(16, step=5), []
    data = encode_bytes(frames, mini, budget="50%", qp=26, coding=coding)
    for search in (None, mini):
        out = io.BytesIO()
        dfc.trim(data, out, "12%", search=search)
        assert verify(io.BytesIO(out.getvalue()))
        trimmed.append(out.getvalue())
    encoded = encode_bytes(frames, mini, budget="12%", qp=26, coding=coding)
    chained, searched, best = (psnr(frames, decode_frames(each, mini)) for each in (*trimmed, encoded))
    assert searched > chained + 1
    assert searched > best - 2.5
    before, after = (clip_of(each) for each in trimmed)
    assert np.array_equal(before.kept, after.kept)
    assert before.latents == after.latents


def test_only_clips_that_lose_kept_frames_are_searched(mini: LoadedModel) -> None:
    data, plain, searched = encode_bytes(panning(8), mini, budget="50%", fill="token"), io.BytesIO(), io.BytesIO()
    dfc.trim(data, plain, 0.25)
    dfc.trim(data, searched, 0.25, search=mini)
    with dfc.open(plain.getvalue()) as a, dfc.open(searched.getvalue()) as b:
        assert a[0].read().fill_payload == b[0].read().fill_payload  # no fill policy with motion
    same = io.BytesIO()
    data = encode_bytes(panning(8), mini, budget="50%")
    dfc.trim(data, same, 0.75, search=mini)
    assert clip_of(same.getvalue()).fill_payload == clip_of(data).fill_payload


def test_trimmed_motion_is_chained(mini: LoadedModel) -> None:
    """In inter coding, frames that lose a reference frame lose their motion."""
    frames, quality = panning(12), []
    for coding in ("predicted", "inter"):
        out = io.BytesIO()
        trim(io.BytesIO(encode_bytes(frames, mini, budget="50%", qp=28, coding=coding)), out, Budget.of("17%"))
        quality.append(psnr(frames, decode_frames(out.getvalue(), mini)))
    assert quality[0] > quality[1] + 3


def test_a_range_that_takes_references_away_keeps_the_whole_clip_and_says_so(mini: LoadedModel) -> None:
    data, notes, out = encode_bytes(panning(12), mini, budget="50%", qp=28), list[str](), io.BytesIO()
    assert trim(io.BytesIO(data), out, start=7, end=9, on_note=notes.append) == (12, 6)
    assert verify(io.BytesIO(out.getvalue()))
    assert notes == [
        "frames 0 to 11 are one clip whose kept frames are predicted from one another: it is kept whole. Files encoded "
        "with --coding inter can be cut anywhere"
    ]


def test_a_range_without_references_of_others_is_cut(mini: LoadedModel) -> None:
    """With two kept frames, the second refers to the first, which can stay alone."""
    data, notes, out = encode_bytes(panning(12), mini, budget="17%", qp=28), list[str](), io.BytesIO()
    first, second = clip_of(data).coding_order.tolist()
    span = {"start": second + 1} if second < first else {"end": second}
    frames, kept = trim(io.BytesIO(data), out, on_note=notes.append, **span)
    assert (frames, kept, notes) == (11 - second if second < first else second, 1, [])
    assert verify(io.BytesIO(out.getvalue()))


def test_a_clip_without_kept_frames_is_trimmed() -> None:
    data, _ = read_vector("uncommon/predicted-few-kept")  # three frames, none of them kept; then three and one
    out = io.BytesIO()
    assert trim(io.BytesIO(data), out, start=1) == (5, 1)
    assert verify(io.BytesIO(out.getvalue()))


def test_a_range_of_whole_clips_is_cut(mini: LoadedModel) -> None:
    data = encode_bytes(np.concatenate([panning(32, 32, 32), panning(8, 32, 32)]), mini, budget="3", qp=28)
    out = io.BytesIO()
    assert trim(io.BytesIO(data), out, start=32) == (8, 1)
    assert verify(io.BytesIO(out.getvalue()))


def test_there_are_integers_but_no_latents(mini: LoadedModel) -> None:
    data = encode_bytes(panning(12), mini, budget="33%", qp=30)
    with dfc.open(data) as file:
        assert file[0].integers.shape == (4, 1, 4, 7, 96)
        with pytest.raises(UsageError, match="--coding inter"):
            _ = file[0].latents


def test_another_fill_policy_is_refused_at_decoding(mini: LoadedModel) -> None:
    data = encode_bytes(panning(12), mini, budget="33%", qp=30)
    with pytest.raises(UsageError, match="--coding inter"):
        list(dfc.decode(data, model=mini, fill="token"))


def test_the_coding_needs_fill_policy_blend(mini: LoadedModel) -> None:
    with pytest.raises(UsageError, match="--coding predicted needs"):
        encode_bytes(moving_square(3), mini, budget="2", coding="predicted", fill="token")


def test_verify_finds_damaged_motion(mini: LoadedModel, tmp_path: Path) -> None:
    clip = clip_of(encode_bytes(panning(12), mini, budget="33%", qp=30))
    data = bytearray(clip.latents)
    assert divide(clip).motion
    data[13:17] = bytes(4)
    broken = dataclasses.replace(clip, latents=bytes(data))
    with pytest.raises(dfc.DfcError):
        read_motion(broken, dataclasses.replace(HEADER, width=100, height=60))


def test_the_same_input_gives_the_same_bytes(mini: LoadedModel) -> None:
    frames = panning(10)
    assert encode_bytes(frames, mini, budget="50%", qp=26) == encode_bytes(frames, mini, budget="50%", qp=26)


def test_refinement_of_intra_frames_is_reported(mini: LoadedModel) -> None:
    report = dfc.encode(panning(4), io.BytesIO(), model=mini, budget="50%", qp=28, refine=2)
    assert 0 < report.rd_cost_saved < 1


def unrelated(frames: int, height: int = 60, width: int = 100) -> np.ndarray:
    """Pictures of which none predicts another: soft blobs in other places each time."""
    rng, (y, x) = np.random.default_rng(5), np.mgrid[:height, :width]
    out = np.full((frames, height, width, 3), 128.0)
    for picture in out:
        for _ in range(12):
            size, middle = rng.uniform(4, 12), rng.uniform((0, 0), (height, width))
            away = ((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / size**2
            picture += np.exp(-away)[..., None] * rng.uniform(-90, 90, 3)
    made: np.ndarray = np.clip(out, 0, 255).astype(np.uint8)
    return made


def test_what_inter_coding_does_not_predict_is_intra_frames_alone(
    mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "INTER_ERROR", 0.0)  # the estimate always is for inter coding
    monkeypatch.setattr(encode, "rd_lambda", lambda qp: 1e-9 * rd_lambda(qp))
    clip, other = (clip_of(encode_bytes(frames, mini, budget="100%", qp=20)) for frames in (unrelated(8), panning(8)))
    assert clip.coding == Coding.PREDICTED
    assert divide(clip).types.intra.all()
    assert set(divide(clip).types.qp.tolist()) == {inter_qp(20)}
    assert other.coding == Coding.INTER


def test_an_encoder_of_a_clip_can_start_again(mini: LoadedModel) -> None:
    frames, kept = panning(6), np.ones(6, bool)
    header = dataclasses.replace(HEADER, width=100, height=60)
    importance, steps = np.arange(6, dtype=np.uint8), mini.model.steps
    assert steps is not None

    def encoder() -> PredictedEncoder:
        return PredictedEncoder(frames, header, mini, steps, Effort.NORMAL, 0, 0.15)

    used = encoder()
    used.encode(kept, importance, 30)
    again, fresh = used.encode(kept, importance, 24, intra_only=True), encoder().encode(kept, importance, 24, True)
    assert again.latents == fresh.latents
    assert set(used.pyramids) <= set(fresh.pictures)
