"""Orders of masks and batches."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import segprep
from segprep.errors import OptionError
from segprep.training.samplers import BucketBatchSampler, ShardSampler

groups = st.lists(st.integers(0, 6), max_size=60)
worlds = st.integers(1, 5)
seeds = st.integers(0, 100)


def passes(make, world, **options):
    """What each rank yields in one epoch; its length is as announced."""
    samplers = [make(rank=rank, world=world, **options) for rank in range(world)]
    orders = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(order) for order in orders]
    return orders


@given(groups, st.integers(1, 7), worlds, seeds)
def test_ranks_get_equally_many_batches_and_each_mask_at_least_once(buckets, size, world, seed):
    ranks = passes(lambda **options: BucketBatchSampler(buckets, size, seed=seed, **options), world)
    assert len({len(batches) for batches in ranks}) == 1
    everything = [tuple(batch) for batches in ranks for batch in batches]
    assert all(len({buckets[mask] for mask in batch}) == 1 and len(batch) <= size for batch in everything)
    distinct = set(everything)
    assert len(everything) - len(distinct) < world
    assert sorted(mask for batch in distinct for mask in batch) == list(range(len(buckets)))


@given(groups, st.integers(1, 7), worlds, seeds)
def test_dropped_batches_are_the_smaller_ones_and_the_rest_of_the_ranks(buckets, size, world, seed):
    ranks = passes(lambda **options: BucketBatchSampler(buckets, size, seed=seed, drop_last=True, **options), world)
    batches = [batch for batches in ranks for batch in batches]
    masks = [mask for batch in batches for mask in batch]
    assert len(masks) == len(set(masks)) == size * len(batches)
    complete = sum(count // size for count in Counter(buckets).values())
    assert len(batches) == complete - complete % world


@given(groups, st.integers(1, 4), worlds, seeds)
def test_ranks_get_equally_many_masks_and_each_at_least_once(shards, window, world, seed):
    ranks = passes(lambda **options: ShardSampler(shards, window, seed=seed, **options), world)
    assert len({len(masks) for masks in ranks}) == 1
    counts = Counter(mask for masks in ranks for mask in masks)
    assert set(counts) == set(range(len(shards)))
    assert counts.total() - len(shards) < world
    dropping = passes(lambda **options: ShardSampler(shards, window, seed=seed, drop_last=True, **options), world)
    kept = [mask for masks in dropping for mask in masks]
    assert len(kept) == len(set(kept)) == len(shards) - len(shards) % world


@given(groups.filter(len), st.integers(1, 4), seeds)
def test_a_window_of_shards_is_finished_before_the_next_begins(shards, window, seed):
    order = [shards[mask] for mask in ShardSampler(shards, window, seed=seed)]
    sizes = Counter(shards)
    while order:
        first = list(dict.fromkeys(order))[: 2 * window]
        opened = next(
            set(first[:count])
            for count in range(1, len(first) + 1)
            if set(order[: sum(sizes[shard] for shard in first[:count])]) == set(first[:count])
        )
        assert len(opened) <= window
        order = order[sum(sizes[shard] for shard in opened) :]


@given(groups.filter(len), worlds, seeds)
def test_two_ranks_share_a_shard_only_at_the_ends_of_their_runs(shards, world, seed):
    ranks = passes(lambda **options: ShardSampler(shards, seed=seed, drop_last=True, **options), world)
    readers = Counter(shard for masks in ranks for shard in {shards[mask] for mask in masks})
    assert readers.total() <= len(set(shards)) + world - 1


def made(kind, **options):
    """A sampler of 60 masks."""
    numbers = np.repeat(np.arange(12), 5)
    return BucketBatchSampler(numbers, 2, **options) if kind == "buckets" else ShardSampler(numbers, 3, **options)


@pytest.mark.parametrize("kind", ["buckets", "shards"])
def test_orders_depend_on_seed_and_epoch_alone(kind):
    sampler = made(kind)
    first, second, third = list(sampler), list(sampler), list(sampler)
    assert first != second != third != first
    sampler.set_epoch(1)
    assert [list(sampler), list(sampler)] == [second, third]
    again = made(kind)
    again.set_epoch(2)
    assert list(again) == third
    assert list(made(kind, seed=1)) != first


def test_batches_without_shuffling_are_those_of_every_epoch():
    sampler = BucketBatchSampler([3, 1, 3, 3, 1], 2, shuffle=False)
    assert list(sampler) == list(sampler) == [[1, 4], [0, 2], [3]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BucketBatchSampler([0], 0), "batch_size=0: must be at least 1"),
        (lambda: BucketBatchSampler([0], 2.5), "batch_size=2.5: must be an integer"),
        (lambda: BucketBatchSampler([0], 1, rank=2, world=2), "rank=2: must be 0 to 1"),
        (lambda: BucketBatchSampler([0.5], 1), "buckets: is float64"),
        (lambda: BucketBatchSampler([0], 1, seed=-1), "seed=-1: must be at least 0"),
        (lambda: ShardSampler([[0]]), "shards: is int64"),
        (lambda: ShardSampler([0], 0), "window=0: must be at least 1"),
        (lambda: ShardSampler([0], world=0), "world=0: must be at least 1"),
        (lambda: ShardSampler([0]).set_epoch(-1), "epoch=-1: must be at least 0"),
    ],
)
def test_a_number_out_of_range_is_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_buckets_and_shards_are_those_of_the_store(varied_store):
    masks = segprep.open(varied_store)
    places = [masks.info.buckets[bucket] for bucket in masks.buckets]
    for size, place in zip(masks.sizes, places, strict=True):
        assert (size <= (place.height, place.width)).all()
    files = list(varied_store.glob("*/labels/c/*/0/0"))
    assert len(set(masks.shards.tolist())) == len(files)
    for shard in set(masks.shards.tolist()):
        assert len(set(masks.buckets[masks.shards == shard].tolist())) == 1
    part = masks.select(split="train")
    assert part.shards.tolist() == masks.shards[[masks.keys.index(key) for key in part.keys]].tolist()
