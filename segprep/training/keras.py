"""Data set for Keras."""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from segprep.training.crops import Size
from segprep.training.samplers import BucketBatchSampler
from segprep.training.samples import Bias, Store, channels_last, make_samples


class KerasDataset(keras.utils.PyDataset):
    """Batches of a store for ``model.fit``: images, a target, and the weight of each pixel.

    Parameters
    ----------
    store, crop, image, seed, bias
        As in `segprep.training.torch.TorchDataset`, but with an image. Where `crop` is None, each batch has one mask.
    target : str
        Name of the target that the model learns.
    weights : str or None
        Name of the target that weighs the pixels of the loss; None weighs all alike.
    batch_size : int
        Samples of a batch, at least 1; the last one may have fewer. With ``crop="bucket"``, each batch is of one bucket.
    shuffle : bool
        Shuffle the samples in each epoch.
    transform : callable or None
        Called with each sample, a dictionary of NumPy arrays with channels first, as `segprep.training.geometry` takes them;
        returns the dictionary to hand out.
    **workers
        Passed on to ``keras.utils.PyDataset``: ``workers``, ``use_multiprocessing``, ``max_queue_size``.

    Raises
    ------
    OptionError, IntegrityError
        As from `segprep.training.torch.TorchDataset`.

    Notes
    -----
    A batch is ``(x, y)`` or ``(x, y, sample_weight)``: x is (B, H, W, C) float32; y is (B, H, W) int64 for classes, of which
    pixels without ground truth, and the padding, are -100; the weights are (B, H, W) float32. For classes, use
    ``keras.losses.SparseCategoricalCrossentropy(ignore_class=-100)``. Orders and crops depend on the seed and the epoch alone.
    """

    def __init__(  # noqa: PLR0913 - those of TorchDataset, and those of a batch
        self,
        store: Store,
        target: str = "classes",
        weights: str | None = "weights",
        *,
        batch_size: int = 8,
        crop: int | Size | Literal["bucket"] | None = 256,
        image: Literal["grey", "rgb", True] = True,
        shuffle: bool = True,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        seed: int = 0,
        bias: Bias = None,
        **workers: Any,
    ) -> None:
        super().__init__(**workers)
        names = [target] if weights is None else [target, weights]
        self.samples = make_samples(store, names, crop=crop, image=image, seed=seed, bias=bias)
        self.transform = transform
        masks = self.samples.masks
        buckets = masks.buckets if crop == "bucket" else np.zeros(len(masks), np.int64)
        self._sampler = BucketBatchSampler(buckets, batch_size if crop else 1, shuffle=shuffle, seed=seed)
        self._epoch, self._batches = 0, list(self._sampler)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, batch: int) -> tuple[Any, ...]:
        """Images, targets and weights of a batch."""
        samples = [self._sample(index) for index in self._batches[batch]]
        return tuple(np.stack([sample[name] for sample in samples]) for name in ("image", *self.samples.targets))

    def _sample(self, index: int) -> dict[str, Any]:
        sample = self.samples.read(index, self._epoch)
        return channels_last(sample if self.transform is None else self.transform(sample))

    def on_epoch_end(self) -> None:
        """Shuffle, and choose other crops, for the next epoch."""
        self._epoch, self._batches = self._epoch + 1, list(self._sampler)
