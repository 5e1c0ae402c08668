"""Order of a run over a data set: the item at every position, from a seed and the position alone.

Shards are shuffled, and items within a window of a few shards, so that disk and network read mostly in sequence. There
is no state: a run that goes on from step n asks for the positions of step n.

data = Shards("data/vggsound", "train")
order = Order(data.sizes, seed=0)
read_at = OrderedReader(order)
mels = [read_at(position, lambda item: data.read(item, "mel", 0, 512)) for position in order.positions(step, 32)]
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TypeVar

import numpy as np

from frieren.dataset.shards import ShardError

Read = TypeVar("Read")

TRIES = 20  # other items tried in place of one whose shard is broken


class Order:
    """Position -> item; positions count on from epoch to epoch, and every epoch has every item once."""

    def __init__(self, sizes: Sequence[int], seed: int = 0, window: int = 8) -> None:
        """
        Args:
            sizes: items of each shard, `Shards.sizes`; items are numbered from shard to shard.
            seed: 0, 1, ...
            window: shards that are read side by side.

        Raises:
            ValueError: there is no item, or no shard in the window.
        """
        self.sizes, self.seed, self.window = np.asarray(sizes, np.int64), seed, window
        self.count = int(self.sizes.sum())
        if self.count == 0 or window < 1:
            raise ValueError(f"an order needs items and a window, got {self.count} items and a window of {window}")
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)
        self._items = lru_cache(maxsize=2)(self._draw_items)

    def __reduce__(self) -> tuple[type[Order], tuple[list[int], int, int]]:
        return Order, (self.sizes.tolist(), self.seed, self.window)

    def __len__(self) -> int:
        """Items in an epoch."""
        return self.count

    def __getitem__(self, position: int) -> int:
        """The item at `position`, 0, 1, ..."""
        epoch, rest = divmod(position, self.count)
        _, ends = self._epoch(epoch)
        window = bisect_right(ends, rest)
        return int(self._items(epoch, window)[rest - (ends[window - 1] if window else 0)])

    def positions(self, step: int, batch: int, rank: int = 0, ranks: int = 1) -> range:
        """What rank `rank` reads at a step; all ranks together read `batch` positions, whatever their number.

        Raises:
            ValueError: the batch cannot be shared out evenly, or there is no such rank.
        """
        if batch % ranks or not 0 <= rank < ranks:
            raise ValueError(f"a batch of {batch} over {ranks} ranks, rank {rank}: choose a multiple of the ranks")
        return range(step * batch + rank, (step + 1) * batch, ranks)

    def instead(self, position: int, attempt: int) -> int:
        """Another item, for a position whose own cannot be read."""
        return int(np.random.default_rng((self.seed, position, attempt, 1)).integers(self.count))

    def _draw_epoch(self, epoch: int) -> tuple[np.ndarray, list[int]]:
        """The epoch's order of shards, and the positions at which its windows end."""
        shards = np.random.default_rng((self.seed, epoch)).permutation(np.flatnonzero(self.sizes))
        sums = np.add.reduceat(self.sizes[shards], np.arange(0, len(shards), self.window))
        return shards, list(accumulate(sums.tolist()))

    def _draw_items(self, epoch: int, window: int) -> np.ndarray:
        """The items of one window in their order."""
        shards = self._epoch(epoch)[0][window * self.window : (window + 1) * self.window]
        items = np.concatenate([self.starts[shard] + np.arange(self.sizes[shard]) for shard in shards])
        return np.random.default_rng((self.seed, epoch, 1 + window)).permutation(items)


def warn(error: ShardError) -> None:
    """Warns of a broken shard: the default report of `OrderedReader`."""
    warnings.warn(f"{error}; its items are skipped until then", stacklevel=4)


class OrderedReader:
    """Reads items in an order; for one whose shard is broken another is read, so that the epoch goes on.

    Attributes:
        skipped: how many items of which shard were passed over.
    """

    def __init__(self, order: Order, report: Callable[[ShardError], None] = warn) -> None:
        """`report` is called once with each broken shard, in each process that reads."""
        self.order, self.report = order, report
        self.skipped: Counter[str] = Counter()

    def __call__(self, position: int, read: Callable[[int], Read]) -> Read:
        """Result of `read(item)` for the item at `position`, or for another one.

        Raises:
            ShardError: 20 others could not be read either.
        """
        item = self.order[position]
        for attempt in range(TRIES + 1):
            try:
                return read(item)
            except ShardError as error:
                if error.shard not in self.skipped:
                    self.report(error)
                self.skipped[error.shard] += 1
                failure, item = error, self.order.instead(position, attempt)
        raise failure
