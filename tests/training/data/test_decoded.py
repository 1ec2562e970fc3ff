"""Decoded clips: pairs of decoded and source pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfccodec.codec.api import load_model
from dfccodec.errors import InputError
from dfccodec.training.data.dataset import Scene, load_scenes
from dfccodec.training.data.decoded import decode_footage, draw_clip, load_decoded_clips


@pytest.fixture(scope="module")
def folder(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two clips of 64×64 pixels."""
    out = tmp_path_factory.mktemp("decoded")
    assert decode_footage(video_folder, out, 2, load_model("mini", dtype="float32"), side=64) == 2
    return out


def test_decoded_pictures_are_those_of_their_source(folder: Path, video_folder: Path) -> None:
    (scene,) = load_scenes(video_folder, 64)
    for clip in load_decoded_clips(folder):
        assert clip.source == scene.source
        assert clip.decoded.shape == clip.frames.shape
        assert clip.frames.shape[1:] == (2, 64, 64, 3)
        error = np.square(clip.decoded.astype(float) - clip.frames).mean()
        assert 0 < error < 0.5 * np.square(clip.decoded[::-1].astype(float) - clip.frames[:, :, ::-1]).mean()


def test_existing_clips_are_kept(folder: Path, video_folder: Path) -> None:
    first, second = sorted(folder.iterdir())
    before = second.stat().st_mtime_ns
    first.unlink()
    assert decode_footage(video_folder, folder, 2, load_model("mini", dtype="float32"), side=64) == 1
    assert second.stat().st_mtime_ns == before


def test_clips_are_random_crops_and_mirrored() -> None:
    frames = np.arange(40 * 70 * 80, dtype=np.uint32).reshape(40, 70, 80, 1).repeat(3, axis=3)
    drawn = [draw_clip(Scene("a", frames), np.random.default_rng(seed), side=64) for seed in range(20)]
    assert {clip.shape for clip in drawn} == {(32, 64, 64, 3)}
    assert len({int(clip.min()) for clip in drawn}) > 15
    assert {bool(clip[0, 0, 0, 0] < clip[0, 0, 1, 0]) for clip in drawn} == {True, False}


def test_unusable_videos_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no decoded clips in"):
        list(load_decoded_clips(tmp_path))
    with pytest.raises(InputError, match="video of 48×70 is too small: give videos with sides of at least 64 pixels"):
        draw_clip(Scene("a", np.zeros((9, 70, 48, 3), np.uint8)), np.random.default_rng(1), side=64)
