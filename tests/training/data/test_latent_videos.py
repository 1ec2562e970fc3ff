"""Latents as training data: what is read is what the files hold, and windows carry the right positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import DATA, moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import InputError, ModelError
from dfccodec.training.data.latent_videos import LatentVideo, encode_videos, load_latent_videos
from dfccodec.training.data.latent_windows import WindowSampler, select_kept


@pytest.fixture(scope="module")
def coded(mini: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latents") / "square_00-0.dfc"
    dfc.encode(moving_square(70, 96, 128), path, budget="50%", qp=12, fill="token", refine=0, model=mini)
    return path


def read(path: Path) -> LatentVideo:
    (video,) = load_latent_videos(path)
    return video


def test_latents_and_positions_are_those_of_the_file(coded: Path) -> None:
    video = read(coded)
    assert video.source == "square"
    assert video.lengths.tolist() == [32, 32, 6]
    with dfc.open(coded) as file:
        clips = list(file)
        assert video.position.tolist() == [int(at) for clip in clips for at in clip.kept_indices]
        second = clips[1].dequantized()[:, 0].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(video.latents[video.clip == 1], second, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rate", [4, 8, 16])
def test_selection_matches_a_trimmed_file(coded: Path, rate: int) -> None:
    chosen = select_kept(read(coded), rate)
    trimmed = coded.with_name("trimmed.dfc")
    dfc.trim(coded, trimmed, budget=f"{rate}")
    with dfc.open(trimmed) as file:
        first, second = file[0].kept_indices, file[1].kept_indices
    count = len(first)
    assert count == rate
    assert np.cumsum(chosen.gaps[:count]).tolist() == first.tolist()
    assert np.cumsum(chosen.gaps[count : 2 * count]).tolist() == second.tolist()
    assert chosen.starts[: 2 * count].nonzero()[0].tolist() == [0, count]
    assert chosen.ends[: 2 * count].nonzero()[0].tolist() == [count - 1, 2 * count - 1]
    assert chosen.trailing[count - 1] == 31 - first[-1]


def test_windows_begin_with_a_clip_and_are_repeatable(coded: Path) -> None:
    sampler = WindowSampler([read(coded)])
    one, other, third = (sampler.draw(np.random.default_rng(seed), 8, 3, 4) for seed in (5, 5, 6))
    assert one.latents.shape == (8, 96, 3, 4)
    assert one.starts[0]
    np.testing.assert_array_equal(one.latents, other.latents)
    assert not np.array_equal(one.latents, third.latents)


def test_a_window_that_fits_no_video_is_reported(coded: Path) -> None:
    sampler = WindowSampler([read(coded)])
    with pytest.raises(InputError, match="smaller crop"):
        sampler.draw(np.random.default_rng(0), 8, 7, 4)
    with pytest.raises(InputError, match="40 kept frames"):
        sampler.draw(np.random.default_rng(0), 40, 2, 2)


def test_videos_are_encoded_once_in_each_variant(mini: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "flower_00.mp4").write_bytes((DATA / "flower_96x64.mp4").read_bytes())
    assert encode_videos(tmp_path / "in", tmp_path / "out", 2, mini) == 2
    assert encode_videos(tmp_path / "in", tmp_path / "out", 2, mini) == 0
    plain, mirrored = load_latent_videos(tmp_path / "out")
    assert plain.source == mirrored.source == "flower"
    # The first component of the linear code is brightness: mirroring reverses its columns.
    one, other = (v.latents[0, 0].astype(float).mean(axis=0) for v in (plain, mirrored))
    scaled = np.interp(np.linspace(0, 1, len(one)), np.linspace(0, 1, len(other)), other)
    assert np.corrcoef(one[::-1], scaled)[0, 1] > 0.8
    assert np.corrcoef(one, scaled)[0, 1] < 0.5


def test_a_folder_without_files_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="latent_videos VIDEOS OUT"):
        list(load_latent_videos(tmp_path))


def test_files_of_two_models_are_refused_by_name(coded: Path, tmp_path: Path, flat: LoadedModel) -> None:
    (tmp_path / "mini.dfc").write_bytes(coded.read_bytes())
    dfc.encode(moving_square(4, 96, 128), tmp_path / "other.dfc", model=flat, coding="zstd", fill="token")
    with pytest.raises(ModelError, match=r"other\.dfc has latents of model 'flat'.*mini\.dfc"):
        list(load_latent_videos(tmp_path))
