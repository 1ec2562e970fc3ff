"""Batches: padding, order, workers, ranks, and resuming in the middle of an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_latent_dataset import flip_in_clip
from torch.utils.data import DataLoader

from dfccodec.data import LatentDataset, LatentLoader, LatentStream, collate, dequantize
from dfccodec.data.order import SHUFFLES, epoch_order
from dfccodec.errors import UsageError


def indices(batches: Any) -> list[int]:
    return [int(number) for batch in batches for number in batch["index"]]


def test_batches_are_padded_with_a_mask(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=20, unit="frames", partial=True)
    batch = collate([data[number] for number in range(4)], frames=12)
    assert batch is not None
    kept = [len(data[number]["positions"]) for number in range(4)]  # type: ignore[index]
    assert batch["mask"].sum(1).tolist() == kept
    assert batch["latents"].shape == (4, 12, 12, 3)
    assert batch["scale"].shape == (4, 12, 3)
    assert batch["positions"][~batch["mask"]].unique().tolist() == [-1]
    assert not batch["starts"][~batch["mask"]].any()
    assert dequantize(batch)[~batch["mask"]].abs().max() == 0
    assert batch["first_frame"].tolist() == [20, 40, 60, 20]  # the first 20 frames have no kept frame
    assert batch["source"] == ["a", "a", "a", "b"]
    assert len(batch["fingerprint"][0]) == 64
    with pytest.raises(UsageError, match="over frames=2: give at least"):
        collate([data[0]], frames=2)


def test_windows_of_two_sizes_do_not_batch(latent_files: Path) -> None:
    items = [LatentDataset(latent_files, crop=crop)[0] for crop in ((3, 4), (2, 2))]
    with pytest.raises(UsageError, match=r"a\.dfc has \(12, 3\).*give the dataset a crop"):
        collate(items)


def test_damaged_windows_are_left_out(latent_files: Path) -> None:
    flip_in_clip(latent_files / "a.dfc", 0)
    data = LatentDataset(latent_files, on_damage="skip")
    for size in (1, 4):
        assert sorted(indices(LatentLoader(data, size))) == list(range(1, 10))
    assert collate([None]) is None


@given(
    per_file=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    shuffle=st.sampled_from(SHUFFLES),
    seed=st.integers(0, 9),
)
def test_an_epoch_has_every_window_once(per_file: list[int], shuffle: str, seed: int) -> None:
    order = epoch_order(np.array(per_file), shuffle, seed, 3)
    assert sorted(order.tolist()) == list(range(sum(per_file)))
    np.testing.assert_array_equal(order, epoch_order(np.array(per_file), shuffle, seed, 3))


def test_epochs_differ_and_repeat(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    loader, again = LatentLoader(data, 3, seed=7), LatentLoader(data, 3, seed=7)
    first, second = indices(loader), indices(loader)
    assert sorted(first) == sorted(second) == list(range(len(data)))
    assert first != second
    assert (first, second) == (indices(again), indices(again))
    assert indices(LatentLoader(data, 3, shuffle=False)) == list(range(len(data)))


@pytest.mark.parametrize("kind", ["map", "stream"])
def test_four_workers_and_two_ranks_see_every_window_once(latent_files: Path, kind: str) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    found, alone = [], []
    for rank in (0, 1):
        options: dict[str, Any] = {"shuffle": "files", "seed": 1, "rank": rank, "ranks": 2}
        if kind == "map":
            found.append(indices(LatentLoader(data, 3, num_workers=4, **options)))
        else:
            stream = LatentStream(data, 3, **options)
            found.append(indices(DataLoader(stream, batch_size=None, num_workers=4)))
        alone.append(indices(LatentLoader(data, 3, **options)))
    assert found == alone  # the same order for any number of workers
    assert sorted(found[0] + found[1]) == list(range(len(data)))
    assert abs(len(found[0]) - len(found[1])) <= 1


def test_all_ranks_have_the_same_number_of_batches_with_drop_last(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    loaders = [LatentLoader(data, 3, rank=rank, ranks=4, drop_last=True) for rank in range(4)]
    batches = [list(loader) for loader in loaders]
    assert {len(found) for found in batches} == {len(data) // 4 // 3} == {len(loader) for loader in loaders}
    seen = [number for found in batches for number in indices(found)]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_resumes_in_the_middle_of_an_epoch(latent_files: Path, workers: int) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    loader = LatentLoader(data, 2, seed=3)
    indices(loader)  # the first epoch
    batches, states = [], []
    for batch in loader:
        batches.append(batch["index"].tolist())
        states.append(loader.state_dict())
    following = indices(loader)
    for done in (1, 4, len(batches)):
        resumed = LatentLoader(data, 2, seed=3, num_workers=workers)
        resumed.load_state_dict(states[done - 1])
        assert resumed.state_dict() == states[done - 1]
        assert [batch["index"].tolist() for batch in resumed] == batches[done:]
        assert indices(resumed) == following


def test_leaving_an_epoch_early_begins_it_again(latent_files: Path) -> None:
    loader = LatentLoader(LatentDataset(latent_files), 2)
    first = next(iter(loader))["index"].tolist()
    assert next(iter(loader))["index"].tolist() == first


def test_a_stream_resumes_with_workers(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    stream = LatentStream(data, 2, seed=3)
    stream.set_epoch(5)
    whole = [batch["index"].tolist() for batch in stream if batch]
    for workers in (0, 3):
        resumed = LatentStream(data, 2, seed=3)
        resumed.load_state_dict({**stream.state_dict(), "batch": 4})
        loader: DataLoader[Any] = DataLoader(resumed, batch_size=None, num_workers=workers)
        assert [batch["index"].tolist() for batch in loader] == whole[4:]
    position = iter(stream)
    next(position), next(position)
    assert (stream.state_dict()["batch"], stream.state_dict()["epoch"]) == (2, 5)


@pytest.mark.parametrize("change", [{"seed": 4}, {"batch_size": 3}, {"shuffle": "files"}, {"ranks": 2, "rank": 0}])
def test_a_state_of_other_arguments_is_refused(latent_files: Path, change: dict[str, Any]) -> None:
    data = LatentDataset(latent_files)
    state = LatentLoader(data, 2, seed=3).state_dict()
    with pytest.raises(UsageError, match=r"the state has .*, this loader .*: resume with the same"):
        LatentLoader(data, **({"batch_size": 2, "seed": 3} | change)).load_state_dict(state)


def test_a_state_of_other_files_is_refused(latent_files: Path) -> None:
    state = LatentLoader(LatentDataset(latent_files), 2).state_dict()
    (latent_files / "b.dfc").unlink()
    with pytest.raises(UsageError, match="the state has files"):
        LatentLoader(LatentDataset(latent_files), 2).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size 0 is not a number of windows"),
        ({"batch_size": 1, "shuffle": "all"}, "shuffle 'all' is unknown"),
        ({"batch_size": 1, "rank": 2, "ranks": 2}, "rank 2 of 2 does not exist"),
    ],
)
def test_bad_loader_arguments(latent_files: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        LatentLoader(LatentDataset(latent_files), **options)


def test_persistent_workers_follow_the_epoch(latent_files: Path) -> None:
    data = LatentDataset(latent_files, window=4, stride=1)
    loader = LatentLoader(data, 4, num_workers=1, persistent_workers=True)
    assert indices(loader) != indices(loader)
    stream = LatentStream(data, 4)
    batches: DataLoader[Any] = DataLoader(stream, batch_size=None, num_workers=1, persistent_workers=True)
    first = indices(batches)
    stream.set_epoch(1)
    assert indices(batches) not in ([], first)
    assert torch.equal(stream._epoch, torch.tensor(1))
