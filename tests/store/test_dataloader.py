"""A store in the workers of PyTorch's DataLoader, however they are started."""

import numpy as np
import psutil
import pytest

import segprep

torch_data = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed; pip install torch")

EPOCHS = 3
WORKERS = 2
REPEATS = 4
"""Times that an epoch loads each mask: 160 MB in all, of which each worker loads half."""
MARGIN = 48 << 20
"""Bytes by which the memory of one process may differ between the first and the last epoch."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:This process .* is multi-threaded:DeprecationWarning"
    ),  # of fork, in Python 3.12
]


def processes():
    """This process and all that it started, by their ids."""
    me = psutil.Process()
    return {process.pid: process for process in (me, *me.children(recursive=True))}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_read_the_same_samples_in_each_epoch_and_keep_none(varied_store, method):
    dataset = segprep.open(varied_store)
    indices = [*range(len(dataset))] * REPEATS
    expected = [dataset[index] for index in range(len(dataset))] * REPEATS
    others = processes().keys() - {psutil.Process().pid}
    options = {"num_workers": WORKERS, "persistent_workers": True, "multiprocessing_context": method}
    loader = torch_data.DataLoader(dataset, batch_size=None, sampler=indices, **options)
    memory = []
    for _ in range(EPOCHS):
        for sample, direct in zip(loader, expected, strict=True):
            assert sample["key"] == direct["key"]
            assert sample.keys() == direct.keys()
            for name in sample.keys() - {"key"}:
                np.testing.assert_array_equal(sample[name].numpy(), direct[name], strict=True)
        own = {pid: process for pid, process in processes().items() if pid not in others}
        memory.append({pid: process.memory_info().rss for pid, process in own.items()})
    first, *_, last = memory
    assert first.keys() == last.keys()
    assert len(last) > WORKERS
    assert max(last[pid] - first[pid] for pid in first) < MARGIN
