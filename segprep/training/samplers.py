"""Orders in which a `DataLoader` asks for the masks of a store: batches of one bucket, and shards one after the other.

Both give each of several ranks equally many masks or batches, as PyTorch's `DistributedSampler` does, and every order depends
on the seed and the epoch alone. A pass over a sampler is an epoch, and the next pass the next one; `set_epoch` sets the epoch
of the next pass, as to resume a training. No module of PyTorch is needed.
"""

from collections.abc import Iterator
from operator import index as as_integer
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segprep.errors import OptionError


class _Epochs:
    """Epoch of the next pass, and the share of a rank."""

    def __init__(self, seed: int, rank: int, world: int, drop_last: bool) -> None:
        require_at_least(0, seed=seed)
        require_at_least(1, world=world)
        if rank not in range(world):
            raise OptionError(f"rank={rank!r}: must be 0 to {world - 1}, because world={world}")
        self.seed, self.rank, self.world, self.drop_last = seed, rank, world, drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass.

        Parameters
        ----------
        epoch : int
            At least 0.

        Raises
        ------
        OptionError
            If it is not.
        """
        require_at_least(0, epoch=epoch)
        self.epoch = epoch

    def _next_random(self) -> np.random.Generator:
        """Random numbers of this pass, the same for each rank; the next pass is the next epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1
        return random

    def _share(self, count: int) -> int:
        """Number of masks or batches of each rank, of `count` in all."""
        return count // self.world if self.drop_last else -(-count // self.world)


class BucketBatchSampler(_Epochs):
    """Batches of masks of one bucket each, so that complete masks can be batched with little padding.

    Parameters
    ----------
    buckets : (n,) integer array
        Bucket of each mask, `Dataset.buckets`; or any other number by which masks are grouped.
    batch_size : int
        Masks of a batch, at least 1; the last batch of a bucket may have fewer.
    shuffle : bool
        Shuffle the masks of each bucket, and then the batches; otherwise they are in the order of the masks, bucket by bucket.
    drop_last : bool
        Drop the batches with fewer masks, and the last batches if they are not a multiple of the ranks. Otherwise the first
        batches of the epoch are repeated at its end, fewer than there are ranks.
    seed : int
        Random seed, the same on each rank.
    rank, world : int
        Number of this process, and number of processes that train together.

    Raises
    ------
    OptionError
        If a number is out of range.

    See Also
    --------
    segprep.training.torch.TorchDataset : ``crop="bucket"`` pads the masks to the canvas of their bucket.

    Examples
    --------
    >>> list(BucketBatchSampler([0, 1, 0, 0, 1], batch_size=2, shuffle=False))
    [[0, 2], [3], [1, 4]]
    >>> data = BucketBatchSampler([0, 1, 0, 0, 1], batch_size=2, rank=1, world=2)
    >>> len(data), sum(map(len, data)) in (2, 3, 4)
    (2, True)
    """

    def __init__(
        self,
        buckets: ArrayLike,
        batch_size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(seed, rank, world, drop_last)
        require_at_least(1, batch_size=batch_size)
        self.batch_size, self.shuffle = batch_size, shuffle
        self._groups = grouped(group_numbers("buckets", buckets))

    def __len__(self) -> int:
        counts = (len(group) for group in self._groups)
        size = self.batch_size
        return self._share(sum(count // size if self.drop_last else -(-count // size) for count in counts))

    def __iter__(self) -> Iterator[list[int]]:
        random = self._next_random()
        batches = []
        for group in self._groups:
            masks = random.permutation(group) if self.shuffle else group
            batches += [
                masks[start : start + self.batch_size].tolist() for start in range(0, len(masks), self.batch_size)
            ]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        order = random.permutation(len(batches)) if self.shuffle else np.arange(len(batches))
        mine = np.resize(order, len(self) * self.world)[self.rank :: self.world]
        return iter([batches[number] for number in mine.tolist()])


class ShardSampler(_Epochs):
    """Masks in a random order that stays within a few shards at a time, for stores in object storage.

    The shards are shuffled, each rank takes a run of them, and the masks are shuffled within each `window` of shards. So a
    rank reads its share of the shards once, one window after the other, and a shard is read by two ranks only at the ends of
    their runs.

    Parameters
    ----------
    shards : (n,) integer array
        Shard of each mask, `Dataset.shards`.
    window : int
        Number of shards whose masks are mixed, at least 1. With more, the order is nearer to that of a complete shuffle.
    drop_last : bool
        Drop the last masks if they are not a multiple of the ranks; otherwise the first of the epoch are repeated at its end,
        fewer than there are ranks.
    seed : int
        Random seed, the same on each rank.
    rank, world : int
        Number of this process, and number of processes that train together.

    Raises
    ------
    OptionError
        If a number is out of range.

    Examples
    --------
    >>> order = list(ShardSampler([0, 0, 0, 1, 1, 1], window=1))
    >>> sorted(order[:3]) in ([0, 1, 2], [3, 4, 5]), sorted(order)
    (True, [0, 1, 2, 3, 4, 5])
    """

    def __init__(
        self,
        shards: ArrayLike,
        window: int = 4,
        *,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(seed, rank, world, drop_last)
        require_at_least(1, window=window)
        self.window = window
        self._shards = group_numbers("shards", shards)
        self._groups = grouped(self._shards)

    def __len__(self) -> int:
        return self._share(len(self._shards))

    def __iter__(self) -> Iterator[int]:
        random = self._next_random()
        order = np.concatenate([self._groups[number] for number in random.permutation(len(self._groups))] or [[]])
        count = len(self)
        mine = np.resize(order.astype(np.int64), count * self.world)[self.rank * count : (self.rank + 1) * count]
        return iter(self._mixed(mine, random).tolist())

    def _mixed(self, masks: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """Masks of consecutive shards, shuffled within each window of shards."""
        shards = self._shards[masks]
        starts = np.flatnonzero(np.append(True, shards[1:] != shards[:-1]))[:: self.window]
        parts = np.split(masks, starts[1:])
        return np.concatenate([random.permutation(part) for part in parts])


def grouped(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indices of each number, in the order of the numbers.

    Examples
    --------
    >>> grouped(np.array([7, 3, 7]))
    [array([1]), array([0, 2])]
    """
    order = np.argsort(numbers, kind="stable")
    changes = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, changes) if len(order) else []


def group_numbers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Numbers of the groups of masks, which must be integers."""
    numbers = np.asarray(values)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise OptionError(
            f"{name}: is {numbers.dtype} {numbers.shape}; must be one integer per mask, as Dataset.{name} is"
        )
    return numbers.astype(np.int64)


def require_at_least(least: int, **values: Any) -> None:
    """Raise OptionError for a parameter that is no integer, or is less than this."""
    for name, value in values.items():
        try:
            number = as_integer(value)
        except TypeError:
            raise OptionError(f"{name}={value!r}: must be an integer") from None
        if number < least:
            raise OptionError(f"{name}={value!r}: must be at least {least}")
