"""Batches of latents for training: several workers and ranks, resumable in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from dfccodec.data.batches import collate
from dfccodec.data.dataset import LatentDataset
from dfccodec.data.order import EpochSampler

Batch = dict[str, Any]
"""What `collate` returns."""


class LatentLoader:
    """Iterate over the batches of one epoch; each iteration is the next epoch.

    >>> loader = LatentLoader(data, batch_size=16, num_workers=4)                # doctest: +SKIP
    >>> for batch in loader:                                                     # doctest: +SKIP
    ...     checkpoint["data"] = loader.state_dict()

    The order depends on seed, epoch and number of ranks, not on the number of workers. A state loaded into a new
    loader continues with the batch after the last one that was returned.

    Args:
        dataset: the windows.
        batch_size, shuffle, seed, rank, ranks, drop_last: see `EpochSampler`.
        collate_fn: makes a batch of items; batches that are None, because all items are damaged, are left out.
        options: other arguments of `torch.utils.data.DataLoader`, such as `num_workers` and `pin_memory`.

    Attributes:
        sampler: the `EpochSampler`.
    """

    def __init__(
        self,
        dataset: LatentDataset,
        batch_size: int,
        *,
        shuffle: str | bool = "windows",
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
        drop_last: bool = False,
        collate_fn: Callable[..., Any] = collate,
        **options: Any,
    ) -> None:
        self.sampler = EpochSampler(dataset, batch_size, shuffle, seed, rank, ranks, drop_last)
        self._loader: DataLoader[Any] = DataLoader(
            dataset, batch_sampler=self.sampler, collate_fn=collate_fn, **options
        )
        self._batches = 0
        self._loaded = False

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._batches, self._loaded = self.sampler.first_batch if self._loaded else 0, False
        self.sampler.first_batch = self._batches
        for batch in self._loader:
            self._batches += 1
            if batch is not None:
                yield batch
        self.sampler.epoch += 1
        self._batches = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position as plain numbers and text, for a checkpoint."""
        return self.sampler.state_dict(self._batches)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of :meth:`state_dict`; see `EpochSampler.load_state_dict`."""
        self.sampler.load_state_dict(state)
        self._batches, self._loaded = self.sampler.first_batch, True


class LatentStream(IterableDataset[Batch | None]):
    """Iterable dataset of whole batches, for a `DataLoader` with `batch_size=None`, or for one without workers.

    Worker w of W makes the batches w, w + W, …, so the order is that of `LatentLoader` for any number of workers.
    To resume, load `{**state_dict(), "batch": N}` with the number of batches that the loop has seen: with workers only
    the loop knows it.

    Args:
        dataset, batch_size, shuffle, seed, rank, ranks, drop_last: see `EpochSampler`; `shuffle` is `files` by default.
        collate_fn: makes a batch of items.
    """

    def __init__(
        self,
        dataset: LatentDataset,
        batch_size: int,
        *,
        shuffle: str | bool = "files",
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
        drop_last: bool = False,
        collate_fn: Callable[..., Any] = collate,
    ) -> None:
        self.dataset, self.collate_fn = dataset, collate_fn
        self.sampler = EpochSampler(dataset, batch_size, shuffle, seed, rank, ranks, drop_last)
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]  # persistent workers see its changes
        self._batches = self._begin = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, also in workers that already run."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch | None]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        self.sampler.epoch = int(self._epoch)
        begin, self._begin = self._begin, 0
        for number, windows in enumerate(self.sampler):
            self._batches = number + 1
            if number >= begin and (number - begin) % workers == worker:
                yield self.collate_fn([self.dataset[window] for window in windows])
        self._batches = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position of this process: batches of the epoch up to the last one that it returned."""
        return {**self.sampler.state_dict(self._batches), "epoch": int(self._epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after `state["batch"]` batches, those of all workers counted; see `EpochSampler`."""
        self.sampler.load_state_dict(state)
        self._begin, self.sampler.first_batch = self.sampler.first_batch, 0
        self.set_epoch(self.sampler.epoch)
