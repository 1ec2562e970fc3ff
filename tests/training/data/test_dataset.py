from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfccodec.errors import DamagedError, InputError
from dfccodec.training.data.dataset import (
    Clips,
    Scene,
    held_out_clips,
    is_held_out,
    load_scenes,
    source_of,
    split_scenes,
)
from dfccodec.training.data.shards import deal_videos, join, split, transfers


def test_sources_stay_on_their_side() -> None:
    assert source_of("ae023_01.mp4") == "ae023"
    shares = [is_held_out(f"source{i}") for i in range(2000)]
    assert 0.05 < np.mean(shares) < 0.11


def test_scenes_of_one_source_are_never_split() -> None:
    scenes = [Scene(f"source{i // 2}", np.zeros((1, 16, 16, 3), np.uint8)) for i in range(200)]
    train, held_out = split_scenes(scenes)
    assert len(train) + len(held_out) == 200
    assert held_out
    assert not {s.source for s in train} & {s.source for s in held_out}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video"):
        list(load_scenes(tmp_path))
    with pytest.raises(InputError, match="no folder"):
        list(load_scenes(tmp_path / "missing"))


def test_packed_footage_is_footage(footage: Path) -> None:
    scene, *more = load_scenes(footage)
    assert not more
    assert scene.source == "flower"
    assert scene.frames.shape[1:] == (64, 96, 3)


@pytest.mark.parametrize("length", [1, 5, 40])
def test_clips_come_from_the_scene_whatever_its_length(length: int) -> None:
    ramp = np.repeat(np.arange(length, dtype=np.uint8)[:, None, None, None], 32, axis=1).repeat(48, axis=2)
    scene = Scene("a", np.repeat(ramp, 3, axis=3))
    clips = Clips([scene], torch.device("cpu"))
    for seed in range(20):
        batch = clips.batch(np.random.default_rng(seed), 2, 8, 16)
        assert batch.shape == (2, 8, 3, 16, 16)
        assert float(batch.min()) >= 0
        assert float(batch.max()) * 255 <= (length - 1) * 1.3 + 1e-3


def test_the_same_state_gives_the_same_clips(footage: Path) -> None:
    clips = Clips(list(load_scenes(footage)), torch.device("cpu"))
    a, b = (clips.batch(np.random.default_rng(3), 2, 8, 32) for _ in range(2))
    assert torch.equal(a, b)


def test_footage_smaller_than_the_crop_is_named(footage: Path) -> None:
    clips = Clips(list(load_scenes(footage)), torch.device("cpu"))
    with pytest.raises(InputError, match="96×64"):
        clips.batch(np.random.default_rng(0), 1, 4, 128)


def test_scenes_to_judge_by_are_cut_to_whole_patches() -> None:
    scenes = [Scene("a", np.zeros((n, 50, 70, 3), np.uint8)) for n in (4, 8, 40)]
    assert [tuple(c.shape) for c in held_out_clips(scenes, 32, 64, 16, 9)] == [(8, 3, 48, 64), (32, 3, 48, 64)]
    assert len(held_out_clips(scenes, 32, 64, 16, 1)) == 1
    with pytest.raises(InputError, match="70×50"):
        held_out_clips(scenes, 32, 64, 64, 9)
    with pytest.raises(InputError, match="8 frames"):
        held_out_clips(scenes[:1], 32, 64, 16, 9)


def test_pieces_make_the_file_again(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(1000)
    source, out = tmp_path / "last.pt", tmp_path / "back" / "last.pt"
    source.write_bytes(data)
    pieces = split(source, tmp_path / "pieces", piece=300)
    assert [p.stat().st_size for p in pieces] == [300, 300, 300, 100]
    join(pieces[0], out)
    assert out.read_bytes() == data
    pieces[2].unlink()
    with pytest.raises(DamagedError, match="do not make the file"):
        join(pieces[0], out)
    assert out.read_bytes() == data
    with pytest.raises(InputError, match=r"ends in \.000"):
        join(pieces[1], out)


def test_videos_are_dealt_out_whole(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for i in range(5):
        (source / f"{i}.mp4").write_bytes(bytes([i]) * 400)
    (source / "notes.txt").write_text("no video")
    folders = deal_videos(source, tmp_path / "out", call=1000)
    assert [sorted(p.name for p in f.iterdir()) for f in folders] == [["0.mp4", "1.mp4"], ["2.mp4", "3.mp4"], ["4.mp4"]]
    assert (folders[2] / "4.mp4").read_bytes() == bytes([4]) * 400


def test_transfers_are_full_but_not_too_full(tmp_path: Path) -> None:
    files = []
    for i, size in enumerate((40, 30, 30, 90, 10)):
        files.append(tmp_path / str(i))
        files[-1].write_bytes(bytes(size))
    assert [[int(p.name) for p in run] for run in transfers(files, call=100)] == [[0, 1, 2], [3, 4]]
