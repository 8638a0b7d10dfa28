"""Data set for PyTorch."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from segprep.training.crops import Size
from segprep.training.samplers import require_at_least
from segprep.training.samples import Bias, ImageMode, Store, make_samples

_NO_EPOCH = -1


class TorchDataset(Dataset):
    """Map-style data set of a store: crops of images and their targets, as tensors that PyTorch's losses take.

    Every sample of one `crop` has the same size, so that the default collation makes batches of them. Processes started by
    fork, spawn or forkserver may use it, without a `worker_init_fn`; pickled, it is a few kilobytes. For a store in object
    storage, use spawn or forkserver.

    Parameters
    ----------
    store : path or segprep.Dataset
        The store, or masks selected from it, as ``segprep.open(store, split="train")``.
    targets : list of str or None
        Names of the targets; None takes all of the store.
    crop : int, (int, int), 'bucket' or None
        Height and width of the samples in pixels, one number for squares: each is a random part of its mask, padded at the
        lower right where the mask is smaller. ``"bucket"`` pads complete masks to the canvas of their bucket, for batches of
        `segprep.training.samplers.BucketBatchSampler`; None leaves them as they are.
    image : 'grey', 'rgb' or bool
        Read the image of each mask and convert it to one or three channels; True keeps those of the file, without alpha;
        False reads no image.
    transform : callable or None
        Called with each sample, a dictionary of tensors; returns the dictionary to hand out.
        `segprep.training.geometry` has flips and turns. It must be picklable for spawn and forkserver.
    seed : int
        Random seed of the crops, at least 0.
    bias : str, mapping of str or int to float, or None
        Class of which each crop holds a pixel: its name, or ``"foreground"`` for any but the background; or a mapping of
        names or class codes to the share of the crops, as ``{"mitosis": 0.25, "foreground": 0.5}``. The other crops, and
        those of masks without the class, may lie anywhere. A biased crop also reads the classes of the complete mask.

    Raises
    ------
    OptionError
        If a parameter has no meaning, or the store has no such target or class.
    IntegrityError
        If there is no store, or it is incomplete or damaged.

    Notes
    -----
    A sample is a dictionary: ``key``, a string; ``image``, (C, H, W) float32, in [0, 1] if the file has unsigned integers (the
    maximum of the type is 1), otherwise as in the file; and each target, (H, W) or (C, H, W): int64 if it has integers, else
    float32. Pixels without ground truth are -100 in ``classes`` and ``boundaries``, the default `ignore_index` of
    ``cross_entropy``, and so is their padding; that of the others is 0.

    After ``set_epoch(epoch)``, a crop depends on the seed, the epoch and the index of the mask alone: not on the workers, the
    batches or the ranks. Before, crops are drawn from PyTorch's random numbers, as other random transforms are: they differ
    from epoch to epoch, and are reproduced by ``torch.manual_seed`` with the same number of workers.

    Examples
    --------
    >>> import tempfile, segprep, torch
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = segprep.preprocess(folder / "cells.png", folder / "out.zarr")
    >>> data = TorchDataset(folder / "out.zarr", ["classes", "weights"], crop=(2, 4), image=False)
    >>> data.set_epoch(0)
    >>> data[0]["classes"]
    tensor([[   1,    0,    0,    1],
            [-100, -100, -100, -100]])
    """

    def __init__(
        self,
        store: Store,
        targets: Sequence[str] | None = None,
        *,
        crop: int | Size | Literal["bucket"] | None = 256,
        image: ImageMode = True,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        seed: int = 0,
        bias: Bias = None,
    ) -> None:
        self.samples = make_samples(store, targets, crop=crop, image=image, seed=seed, bias=bias)
        self.transform = transform
        self._epoch = torch.tensor(_NO_EPOCH).share_memory_()

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"<TorchDataset of {self.samples.masks!r}: {', '.join(self.samples.targets)}; crop {self.samples.crop}>"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Sample of the mask with this index."""
        epoch = int(self._epoch)
        if epoch == _NO_EPOCH:
            epoch = int(torch.randint(2**62, ()))
        sample = self.samples.read(index, epoch)
        for name, value in sample.items():
            if isinstance(value, np.ndarray):
                sample[name] = torch.from_numpy(value)
        return sample if self.transform is None else self.transform(sample)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the crops depend on, also in workers that have been started: it is in shared memory.

        Parameters
        ----------
        epoch : int
            At least 0. Call this before the loader is iterated, because workers read ahead.

        Raises
        ------
        OptionError
            If it is not.
        """
        require_at_least(0, epoch=epoch)
        self._epoch.fill_(epoch)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self._epoch.is_shared():  # pickled or copied by another module than torch.multiprocessing
            self._epoch.share_memory_()
