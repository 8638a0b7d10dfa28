"""What processes of PyTorch import by name: transforms, and the work of a rank."""

import torch
from torch import distributed
from torch.utils.data import DataLoader, DistributedSampler

from segprep.training.geometry import flip
from segprep.training.torch import TorchDataset


def flipped(sample):
    """Sample mirrored along x."""
    return flip(sample, "x")


def rank_batches(rank, world, store, folder, epochs):
    """Write the keys and classes that a rank is given in each epoch, and the sum of its losses over all ranks."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    data = TorchDataset(store, ["classes", "weights"], crop=64, seed=3)
    sampler = DistributedSampler(data, seed=5)
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "spawn"}
    loader = DataLoader(data, batch_size=2, sampler=sampler, **workers)
    seen = []
    for epoch in range(epochs):
        data.set_epoch(epoch)
        sampler.set_epoch(epoch)
        batches = list(loader)
        total = sum(batch["image"].sum() for batch in batches)
        distributed.all_reduce(total)
        keys = [key for batch in batches for key in batch["key"]]
        seen.append((keys, torch.cat([batch["classes"] for batch in batches]), float(total)))
    torch.save(seen, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
