"""Generation with a tiny random `mini-dit`: files from noise, after a file, and between its kept frames."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
import torch
from support import encode_source, moving_square, random_latent_dit

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.generate_clips import (
    Sampling,
    continue_clips,
    fill_gaps,
    generate_between,
    generate_clips,
)
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Fill
from dfccodec.errors import ModelError, UsageError
from dfccodec.models.latent_dit import LatentDiT

QUICK = Sampling(latent_frames=4, steps=2)


@pytest.fixture(scope="module")
def dit() -> LatentDiT:
    return random_latent_dit()


def noise_file(dit: LatentDiT, mini: LoadedModel, size: tuple[int, int] = (64, 48), **changes: Any) -> bytes:
    out = io.BytesIO()
    generate_clips(dit, mini, out, size, dataclasses.replace(QUICK, **changes))
    return out.getvalue()


def from_file(function: Any, dit: LatentDiT, mini: LoadedModel, source: bytes, **changes: Any) -> bytes:
    out = io.BytesIO()
    function(dit, mini, io.BytesIO(source), out, dataclasses.replace(QUICK, **changes))
    return out.getvalue()


def coded_video(mini: LoadedModel, frames: int, budget: str, **options: Any) -> bytes:
    return encode_source(moving_square(frames), model=mini, budget=budget, refine=0, **options)


def pictures(data: bytes, mini: LoadedModel) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: mini)])


@pytest.mark.parametrize("size", [(64, 48), (50, 17), (16, 16)])
def test_a_file_of_any_size_verifies_and_decodes(dit: LatentDiT, mini: LoadedModel, size: tuple[int, int]) -> None:
    data = noise_file(dit, mini, size)
    assert not dfc.verify(io.BytesIO(data)).faults
    with dfc.open(data) as file:
        assert (file.header.width, file.header.height, file.kept) == (*size, 4)
        assert pictures(data, mini).shape == (file.frames, size[1], size[0], 3)


def test_the_seed_determines_the_bytes(dit: LatentDiT, mini: LoadedModel) -> None:
    assert noise_file(dit, mini) == noise_file(dit, mini)
    assert noise_file(dit, mini) != noise_file(dit, mini, seed=257)
    assert noise_file(dit, mini) != noise_file(dit, mini, method="euler")


def test_the_temperature_scales_the_noise(dit: LatentDiT, mini: LoadedModel) -> None:
    def latents(seed: int, temperature: float) -> np.ndarray:
        with dfc.open(noise_file(dit, mini, seed=seed, temperature=temperature)) as file:
            return np.concatenate([clip.dequantized() for clip in file])

    np.testing.assert_array_equal(latents(1, 0.0), latents(2, 0.0))
    assert latents(1, 0.5).std() < latents(1, 1.0).std()
    assert b"--temperature 0.5" in noise_file(dit, mini, temperature=0.5)


def test_segments_become_clips_and_marks_are_removed(dit: LatentDiT, mini: LoadedModel) -> None:
    data = noise_file(dit, mini, latent_frames=24, qp=0)
    with dfc.open(data) as file:
        assert len(file) > 1
        assert file.kept == 24
        firsts = [clip.dequantized()[0, 0, :, :, 40].mean() for clip in file]
    # Where the predictor fires, the mean of channel 40 was above 0.25 × 0.5; the mark of 0.5 × 0.5 is gone.
    assert np.mean(firsts[1:]) < 0.25 * 0.5


def test_generated_files_can_be_trimmed(dit: LatentDiT, mini: LoadedModel) -> None:
    trimmed = io.BytesIO()
    frames, kept = dfc.trim(io.BytesIO(noise_file(dit, mini, latent_frames=3)), trimmed, Budget("top", 1))
    assert kept >= 1
    assert len(pictures(trimmed.getvalue(), mini)) == frames


def test_continuing_keeps_the_file_and_appends(dit: LatentDiT, mini: LoadedModel) -> None:
    before = coded_video(mini, 40, "4")
    after = from_file(continue_clips, dit, mini, before)
    assert not dfc.verify(io.BytesIO(after)).faults
    with dfc.open(before) as old, dfc.open(after) as new:
        assert new.kept == old.kept + 4
        assert len(new) > len(old)
        for one, other in zip(old, new, strict=False):
            np.testing.assert_array_equal(one.latents, other.latents)
            assert one.kept_indices.tolist() == other.kept_indices.tolist()
        times = [t for clip in new for t in clip.record.timestamps]
    assert times == sorted(set(times))
    np.testing.assert_array_equal(pictures(before, mini), pictures(after, mini)[:40])


def test_a_continuation_depends_on_the_given_frames(dit: LatentDiT, mini: LoadedModel) -> None:
    dark = encode_source(moving_square(32) // 4, model=mini, budget="4", refine=0)
    one, other = (
        pictures(from_file(continue_clips, dit, mini, data), mini)[32:] for data in (coded_video(mini, 32, "4"), dark)
    )
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_between_adds_frames_and_keeps_the_given_ones(dit: LatentDiT, mini: LoadedModel) -> None:
    before = coded_video(mini, 40, "3", fill="motion")
    after = from_file(generate_between, dit, mini, before)
    assert not dfc.verify(io.BytesIO(after)).faults
    with dfc.open(before) as old, dfc.open(after) as new:
        assert (new.frames, len(new)) == (old.frames, len(old))
        for one, other in zip(old, new, strict=True):
            assert len(other.kept_indices) == 4
            place = np.isin(other.kept_indices, one.kept_indices)
            np.testing.assert_array_equal(other.latents[place], one.latents)
            assert one.record.timestamps == other.record.timestamps
    trimmed = io.BytesIO()
    dfc.trim(io.BytesIO(after), trimmed, Budget("top", 3))
    with dfc.open(before) as old, dfc.open(trimmed.getvalue()) as new:
        assert old[0].kept_indices.tolist() == new[0].kept_indices.tolist()


def test_clips_with_enough_kept_frames_stay(dit: LatentDiT, mini: LoadedModel) -> None:
    before = coded_video(mini, 32, "8")
    after = from_file(generate_between, dit, mini, before)
    np.testing.assert_array_equal(pictures(before, mini), pictures(after, mini))


def test_new_frames_go_into_the_longest_gaps() -> None:
    kept = np.zeros(20, bool)
    kept[[0, 12]] = True
    assert np.flatnonzero(fill_gaps(kept, 3)).tolist() == [0, 6, 12]
    assert np.flatnonzero(fill_gaps(kept, 4)).tolist() == [0, 6, 12, 16]
    assert fill_gaps(kept, 99).all()
    assert np.flatnonzero(fill_gaps(kept, 1)).tolist() == [0, 12]


def test_bad_requests_are_rejected_before_sampling(
    dit: LatentDiT, mini: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("noise was drawn")

    given = coded_video(mini, 32, "16")
    monkeypatch.setattr(torch, "randn", fail)
    with pytest.raises(UsageError, match="33 kept frames at once"):
        noise_file(dit, mini, latent_frames=33)
    with pytest.raises(UsageError, match="give a smaller --size"):
        noise_file(dit, mini, size=(7680, 4320))
    with pytest.raises(UsageError, match="--size 0x5 is out of range"):
        noise_file(dit, mini, size=(0, 5))
    with pytest.raises(UsageError, match="32 in all"):
        from_file(continue_clips, dit, mini, given, latent_frames=17)


def test_another_codec_is_rejected(dit: LatentDiT, mini: LoadedModel, flat: LoadedModel) -> None:
    with pytest.raises(ModelError, match="use the pair mini-dit and mini"):
        generate_clips(dit, flat, io.BytesIO(), (32, 32), QUICK)
    other = encode_source(moving_square(4), model=flat, budget="2")
    with pytest.raises(ModelError, match="but 'mini'"):
        from_file(continue_clips, dit, mini, other)


def test_hold_is_another_fill(dit: LatentDiT, mini: LoadedModel) -> None:
    with dfc.open(noise_file(dit, mini, fill=Fill.HOLD)) as file:
        assert file[0].record.fill == Fill.HOLD
