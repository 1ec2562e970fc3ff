from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfccodec.errors import DamagedError, InputError
from dfccodec.training.data.dataset import (
    ClipSampler,
    Scene,
    held_out_clips,
    is_held_out,
    load_scenes,
    source_name,
    split_scenes,
)
from dfccodec.training.data.shards import copy_to_transfers, group_transfers, join, split


def test_split_of_source_is_stable() -> None:
    assert source_name("ae023_01.mp4") == "ae023"
    shares = [is_held_out(f"source{i}") for i in range(2000)]
    assert 0.05 < np.mean(shares) < 0.11


def test_scenes_of_one_source_stay_together() -> None:
    scenes = [Scene(f"source{i // 2}", np.zeros((1, 16, 16, 3), np.uint8)) for i in range(200)]
    train, held_out = split_scenes(scenes)
    assert len(train) + len(held_out) == 200
    assert held_out
    assert not {s.source for s in train} & {s.source for s in held_out}


def test_empty_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video"):
        list(load_scenes(tmp_path))
    with pytest.raises(InputError, match="no folder"):
        list(load_scenes(tmp_path / "missing"))


def test_decoded_videos_equal_videos(video_folder: Path) -> None:
    scene, *more = load_scenes(video_folder)
    assert not more
    assert scene.source == "flower"
    assert scene.frames.shape[1:] == (64, 96, 3)


@pytest.mark.parametrize("length", [1, 5, 40])
def test_clips_from_scenes_of_any_length(length: int) -> None:
    ramp = np.repeat(np.arange(length, dtype=np.uint8)[:, None, None, None], 32, axis=1).repeat(48, axis=2)
    scene = Scene("a", np.repeat(ramp, 3, axis=3))
    clips = ClipSampler([scene], torch.device("cpu"))
    for seed in range(20):
        batch = clips.batch(np.random.default_rng(seed), 2, 8, 16)
        assert batch.shape == (2, 8, 3, 16, 16)
        assert float(batch.min()) >= 0
        assert float(batch.max()) * 255 <= (length - 1) * 1.3 + 1e-3


def test_the_same_state_gives_the_same_clips(video_folder: Path) -> None:
    clips = ClipSampler(list(load_scenes(video_folder)), torch.device("cpu"))
    a, b = (clips.batch(np.random.default_rng(3), 2, 8, 32) for _ in range(2))
    assert torch.equal(a, b)


def test_video_smaller_than_crop_is_reported(video_folder: Path) -> None:
    clips = ClipSampler(list(load_scenes(video_folder)), torch.device("cpu"))
    with pytest.raises(InputError, match="96×64"):
        clips.batch(np.random.default_rng(0), 1, 4, 128)


def test_validation_clips_have_complete_patches() -> None:
    scenes = [Scene("a", np.zeros((n, 50, 70, 3), np.uint8)) for n in (4, 8, 40)]
    assert [tuple(c.shape) for c in held_out_clips(scenes, 32, 64, 16, 9)] == [(8, 3, 48, 64), (32, 3, 48, 64)]
    assert len(held_out_clips(scenes, 32, 64, 16, 1)) == 1
    with pytest.raises(InputError, match="70×50"):
        held_out_clips(scenes, 32, 64, 64, 9)
    with pytest.raises(InputError, match="8 frames"):
        held_out_clips(scenes[:1], 32, 64, 16, 9)


def test_pieces_join_to_original_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(1000)
    source, out = tmp_path / "last.pt", tmp_path / "back" / "last.pt"
    source.write_bytes(data)
    pieces = split(source, tmp_path / "pieces", piece=300)
    assert [p.stat().st_size for p in pieces] == [300, 300, 300, 100]
    join(pieces[0], out)
    assert out.read_bytes() == data
    pieces[2].unlink()
    with pytest.raises(DamagedError, match="do not match the checksum"):
        join(pieces[0], out)
    assert out.read_bytes() == data
    with pytest.raises(InputError, match=r"ends in \.000"):
        join(pieces[1], out)


def test_videos_are_copied_to_transfers(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for i in range(5):
        (source / f"{i}.mp4").write_bytes(bytes([i]) * 400)
    (source / "notes.txt").write_text("no video")
    folders = copy_to_transfers(source, tmp_path / "out", call=1000)
    assert [sorted(p.name for p in f.iterdir()) for f in folders] == [["0.mp4", "1.mp4"], ["2.mp4", "3.mp4"], ["4.mp4"]]
    assert (folders[2] / "4.mp4").read_bytes() == bytes([4]) * 400


def test_transfers_respect_size_limit(tmp_path: Path) -> None:
    files = []
    for i, size in enumerate((40, 30, 30, 90, 10)):
        files.append(tmp_path / str(i))
        files[-1].write_bytes(bytes(size))
    assert [[int(p.name) for p in run] for run in group_transfers(files, call=100)] == [[0, 1, 2], [3, 4]]
