"""Fill policy `generate` end to end: motion is followed, files repeat themselves, sizes and trims work."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch

import dfccodec as dfc
from dfccodec.codec.clip.decode import decode_clip
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.generate.encoder import spread_evenly
from dfccodec.codec.fill.generate.fit import fit_motion
from dfccodec.codec.fill.generate.payload import MotionLatents
from dfccodec.codec.fill.generate.pictures import hashed_noise, load_generator
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Fill
from dfccodec.errors import ModelError, UsageError
from dfccodec.models.regen import CELL, TIME_UNIT, RegenConfig, cell_flow


def texture(height: int, width: int) -> np.ndarray:
    """A smooth random picture, (height, width, 3) in 0…255."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(0, 255, (height // 8 + 2, width // 8 + 2, 3))
    y, x = np.arange(height) / 8, np.arange(width) / 8
    i, j, v, u = y.astype(int), x.astype(int), (y % 1)[:, None, None], (x % 1)[None, :, None]
    top = coarse[i][:, j] * (1 - u) + coarse[i][:, j + 1] * u
    return top * (1 - v) + (coarse[i + 1][:, j] * (1 - u) + coarse[i + 1][:, j + 1] * u) * v


def pan(frames: int, height: int, width: int, speed: int = 1) -> np.ndarray:
    """A camera that moves right: (frames, height, width, 3) uint8."""
    wide = texture(height, width + speed * frames)
    return np.stack([wide[:, speed * t : speed * t + width] for t in range(frames)]).astype(np.uint8)


def coded(frames: np.ndarray, loaded: LoadedModel, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=loaded, qp=16, **options)  # type: ignore[arg-type]
    return out.getvalue()


def decoded(data: bytes, loaded: LoadedModel) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: loaded)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b) ** 2) / 255**2))


def test_a_pan_is_fitted_as_its_displacement() -> None:
    frames, model = pan(17, 96, 96), load_generator()
    latent = fit_motion(frames, 8, (0, 17), model.config.waves)
    time = torch.tensor([-8.0, 0.0, 8.0]) / TIME_UNIT
    flow = cell_flow(torch.from_numpy(latent)[None], time)[:, :, 1, 1].numpy()
    # A pixel of frame 0 was 8 pixels further right in frame 0 than in frame 8.
    np.testing.assert_allclose(flow, [[0, -8], [0, 0], [0, 8]], atol=0.5)


def test_a_pan_is_followed_where_a_held_frame_is_not(mini: LoadedModel) -> None:
    frames = pan(24, 64, 96)
    generated = psnr(decoded(coded(frames, mini, budget="1", fill="generate"), mini), frames)
    assert generated > psnr(decoded(coded(frames, mini, budget="1", fill="hold"), mini), frames) + 3


@pytest.mark.parametrize(("count", "budget"), [(17, "1"), (20, "3"), (4, "all"), (1, "1")])
def test_odd_sizes_any_number_of_frames_and_kept_frames(mini: LoadedModel, count: int, budget: str) -> None:
    frames = pan(count, 35, 51)
    data = coded(frames, mini, budget=budget, fill="generate")
    assert decoded(data, mini).shape == frames.shape
    np.testing.assert_array_equal(decoded(data, mini), decoded(data, mini))


def test_trimmed_files_decode(mini: LoadedModel) -> None:
    frames, out = pan(24, 48, 64), io.BytesIO()
    data = coded(frames, mini, budget="4", fill="generate")
    dfc.trim(io.BytesIO(data), out, budget="2")
    assert decoded(out.getvalue(), mini).shape == frames.shape
    assert dfc.verify(io.BytesIO(out.getvalue()))


def test_kept_frames_are_in_the_middle_of_equal_parts() -> None:
    assert np.flatnonzero(spread_evenly(32, 1)).tolist() == [16]
    assert np.flatnonzero(spread_evenly(32, 4)).tolist() == [4, 12, 20, 28]
    assert spread_evenly(5, 5).all()


def test_files_with_fewer_waves_decode_and_with_more_are_named(mini: LoadedModel) -> None:
    frames = pan(9, 64, 64)
    reader = StreamReader(io.BytesIO(coded(frames, mini, budget="1", fill="generate")))
    clip = next(item.clip for item in reader if isinstance(item, ClipAt))
    one = MotionLatents(np.zeros((1, 2, 2, 4), np.int16), 24)
    one.values[..., 1] = 10 * 2  # the first sine, right, half pixels: 3.8 pixels at the last frame
    made = decode_clip(dataclasses.replace(clip, fill_payload=payload.write(one)), reader.preamble, mini)
    still = decode_clip(dataclasses.replace(clip, fill_payload=b""), reader.preamble, mini)
    assert psnr(made[8, :, 8:48], frames[8, :, 8:48]) > psnr(still[8, :, 8:48], frames[8, :, 8:48]) + 3
    five = MotionLatents(np.ones((1, 2, 2, 20), np.int16), 24)
    with pytest.raises(ModelError, match=r"5 waves.*: dfc decode --fill motion"):
        decode_clip(dataclasses.replace(clip, fill_payload=payload.write(five)), reader.preamble, mini)


def test_kept_frames_are_those_of_other_policies(mini: LoadedModel) -> None:
    frames = pan(9, 48, 64)
    reader = StreamReader(io.BytesIO(coded(frames, mini, budget="2", fill="generate")))
    clip = next(item.clip for item in reader if isinstance(item, ClipAt))
    blended = dataclasses.replace(clip, fill=Fill.BLEND, fill_payload=b"")
    a, b = (decode_clip(c, reader.preamble, mini) for c in (clip, blended))
    np.testing.assert_array_equal(a[clip.kept], b[clip.kept])
    assert not np.array_equal(a, b)


def test_other_models_are_refused_before_anything_is_written(flat: LoadedModel) -> None:
    out = io.BytesIO()
    with pytest.raises(UsageError, match="needs latents of mini"):
        dfc.encode(pan(4, 32, 32), out, model=flat, fill="generate")
    assert out.getvalue() == b""


def test_cells_of_the_format_are_those_of_the_generator() -> None:
    assert (CELL, RegenConfig(waves=1).numbers) == (payload.CELL, payload.NUMBERS_PER_WAVE)


def test_noise_is_the_same_everywhere() -> None:
    noise = hashed_noise((3, 64, 64))
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.02
    np.testing.assert_allclose(noise.ravel()[:3], hashed_noise((3,)), atol=0)
    assert not np.array_equal(noise, hashed_noise((3, 64, 64), seed=1))
