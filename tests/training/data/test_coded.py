"""Coded clips: kept frames and the latents in their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dfccodec as dfc
from dfccodec.codec.api import load_model
from dfccodec.errors import InputError
from dfccodec.training.data.coded import draw_clip, encode_footage, load_coded_clips
from dfccodec.training.data.dataset import Scene, load_scenes


@pytest.fixture(scope="module")
def coded(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two clips of 64×64 pixels."""
    out = tmp_path_factory.mktemp("coded")
    assert encode_footage(video_folder, out, 2, load_model("mini", dtype="float32"), side=64) == 2
    return out


def test_latents_and_frames_match_file(coded: Path, video_folder: Path) -> None:
    (scene,) = load_scenes(video_folder, 64)
    clips = list(load_coded_clips(coded))
    assert len({clip.qp for clip in clips}) == 2
    for clip, path in zip(clips, sorted(coded.glob("*.dfc")), strict=True):
        assert clip.source == scene.source
        assert clip.latents.shape == (clip.kept.sum(), 96, 4, 4)
        back = np.stack([picture.rgb for picture in dfc.decode(path)])[clip.kept].astype(float)
        error = ((back - clip.frames) ** 2).mean(axis=(1, 2, 3))
        strangers = ((back - clip.frames[::-1]) ** 2).mean(axis=(1, 2, 3))
        assert error[0] < strangers[0]
        assert error.mean() < 300
        with dfc.open(path) as file:
            assert clip.latents[1, :, 2, 3] == pytest.approx(file[0].dequantized()[1, 0, 2, 3])


def test_existing_clips_are_kept(coded: Path, video_folder: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in coded.iterdir()}
    lost = sorted(coded.glob("*.frames.npy"))[0]
    lost.unlink()  # as after an interruption between writing a file and its frames
    assert len(list(load_coded_clips(coded))) == 1
    assert encode_footage(video_folder, coded, 2, load_model("mini", dtype="float32"), side=64) == 1
    changed = {path for path in coded.iterdir() if path.stat().st_mtime_ns != times[path]}
    assert {path.name.partition(".")[0] for path in changed} == {lost.name.partition(".")[0]}


def test_clips_are_random_crops_and_mirrored() -> None:
    frames = np.arange(40 * 70 * 80, dtype=np.uint32).reshape(40, 70, 80, 1).repeat(3, axis=3)
    drawn = [draw_clip(Scene("a", frames), np.random.default_rng(seed), side=64) for seed in range(20)]
    assert {clip.shape for clip in drawn} == {(32, 64, 64, 3)}
    assert len({int(clip.min()) for clip in drawn}) > 15
    assert {bool(clip[0, 0, 0, 0] < clip[0, 0, 1, 0]) for clip in drawn} == {True, False}


def test_unusable_videos_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no coded clips in"):
        list(load_coded_clips(tmp_path))
    with pytest.raises(InputError, match="video of 48×70 is too small: give videos with sides of at least 64 pixels"):
        draw_clip(Scene("a", np.zeros((9, 70, 48, 3), np.uint8)), np.random.default_rng(1), side=64)
