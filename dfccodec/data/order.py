"""The order of windows in an epoch: determined by seed, epoch and number of ranks alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from dfccodec.errors import UsageError

if TYPE_CHECKING:
    from dfccodec.data.dataset import LatentDataset

SHUFFLES = ("windows", "files", "none")

BUFFER_FILES = 256
"""Files whose windows are mixed by the shuffle `files`: enough for batches of unrelated windows, few enough to stay in
the page cache."""


def epoch_order(per_file: np.ndarray, shuffle: str, seed: int, epoch: int) -> np.ndarray:
    """Return the numbers of all windows in the order of an epoch.

    Args:
        per_file: (files,) number of windows of each file.
        shuffle: `windows` mixes all windows; `files` mixes files, then the windows of each 256 of them, so that a disk
            reads files as a whole; `none` keeps the order of the files.
        seed, epoch: of the shuffle.
    """
    total = int(per_file.sum())
    if shuffle == "none":
        return np.arange(total)
    rng = np.random.default_rng((seed, epoch))
    if shuffle == "windows":
        return rng.permutation(total)
    first = np.cumsum(per_file) - per_file
    files = rng.permutation(len(per_file))
    parts = []
    for at in range(0, len(files), BUFFER_FILES):
        block = np.concatenate([np.arange(first[f], first[f] + per_file[f]) for f in files[at : at + BUFFER_FILES]])
        parts.append(rng.permutation(block))
    return np.concatenate(parts).astype(np.int64)


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of windows of one rank: a `batch_sampler` for `torch.utils.data.DataLoader`.

    Each window is in exactly one batch of one rank. Without `drop_last` some ranks may have one batch more; with it
    all have the same number, as `DistributedDataParallel` needs.

    Args:
        dataset: the windows.
        batch_size: windows per batch.
        shuffle: `windows`, `files` or `none`; see :func:`epoch_order`. True is `windows`, False is `none`.
        seed: of the shuffle.
        rank, ranks: this process and their number; None takes them from `torch.distributed` if it is initialized.
        drop_last: whether to leave out the batches that not all ranks can fill.

    Attributes:
        epoch: number of the epoch; set it before each one.
        first_batch: batch at which the next iteration begins, for resuming; the iteration resets it to 0.
    """

    def __init__(
        self,
        dataset: LatentDataset,
        batch_size: int,
        shuffle: str | bool = "windows",
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
        drop_last: bool = False,
    ) -> None:
        if isinstance(shuffle, bool):
            shuffle = "windows" if shuffle else "none"
        if shuffle not in SHUFFLES:
            raise UsageError(f"shuffle {shuffle!r} is unknown: give {', '.join(SHUFFLES)}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size {batch_size!r} is not a number of windows: give 1 or more")
        known = dist.is_available() and dist.is_initialized()
        self.rank = (dist.get_rank() if known else 0) if rank is None else rank
        self.ranks = (dist.get_world_size() if known else 1) if ranks is None else ranks
        if not 0 <= self.rank < self.ranks:
            raise UsageError(f"rank {self.rank} of {self.ranks} does not exist: give 0 to {self.ranks - 1}")
        self._per_file = dataset.windows_per_file
        self._digest = hashlib.sha256(self._per_file.astype("<i8").tobytes()).hexdigest()[:16]
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.epoch = self.first_batch = 0

    def windows(self) -> np.ndarray:
        """Return the windows of this rank in this epoch, in order."""
        order = epoch_order(self._per_file, self.shuffle, self.seed, self.epoch)
        if self.drop_last:
            each = len(order) // self.ranks // self.batch_size * self.batch_size
            order = order[: each * self.ranks]
        return order[self.rank :: self.ranks]

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        total = int(self._per_file.sum())
        if self.drop_last:
            return total // self.ranks // self.batch_size
        return -(-len(range(self.rank, total, self.ranks)) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        begin, self.first_batch = self.first_batch, 0
        epoch, windows = self.epoch, self.windows()
        for at in range(begin * self.batch_size, len(windows), self.batch_size):
            yield [(int(number), epoch) for number in windows[at : at + self.batch_size]]

    def state_dict(self, batches: int) -> dict[str, Any]:
        """Return the state after `batches` batches of this epoch: plain numbers and text."""
        return {"epoch": self.epoch, "batch": batches, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state: the next iteration begins after its last batch.

        Raises:
            UsageError: it belongs to another dataset, seed, batch size or number of ranks.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise UsageError(
                    f"the state has {name} {state.get(name)!r}, this loader {value!r}: resume with the same files, "
                    "windows and arguments"
                )
        self.epoch, self.first_batch = int(state["epoch"]), int(state["batch"])

    def _identity(self) -> dict[str, Any]:
        return {
            "files": self._digest, "seed": self.seed, "shuffle": self.shuffle, "batch_size": self.batch_size,
            "ranks": self.ranks, "drop_last": self.drop_last,
        }  # fmt: skip
