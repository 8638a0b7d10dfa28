"""Data source for Grain, the data loader of JAX; Grain itself is not imported."""

from collections.abc import Callable, Sequence
from operator import index as as_integer
from typing import Any, Literal, SupportsIndex

from segprep.training.crops import Size
from segprep.training.samplers import require_at_least
from segprep.training.samples import Bias, ImageMode, Store, channels_last, make_samples


class GrainSource:
    """Random-access data source of a store: crops of images and their targets, as NumPy arrays with channels last.

    For ``grain.MapDataset.source`` and ``grain.DataLoader``. Grain gives a source the number of a record and no epoch. So this
    source has `epochs` times as many records as masks: record ``epoch * masks + i`` is mask ``i`` in that epoch, with its own
    crop, whichever process reads it.

    Parameters
    ----------
    store, targets, crop, image, seed, bias
        As in `segprep.training.torch.TorchDataset`.
    transform : callable or None
        Called with each sample, a dictionary of NumPy arrays with channels first, as `segprep.training.geometry` takes them;
        returns the dictionary to hand out.
    epochs : int
        Number of epochs, at least 1. Do not let Grain repeat the source, which would repeat the crops.

    Raises
    ------
    OptionError, IntegrityError
        As from `segprep.training.torch.TorchDataset`.

    Notes
    -----
    A sample is a dictionary: ``key``, a string; ``image``, (H, W, C) float32, in [0, 1] if the file has unsigned integers; and
    each target, (H, W) or (H, W, C): int64 if it has integers, else float32. Pixels without ground truth, and the padding, are
    -100 in ``classes`` and ``boundaries``: a one-hot code of JAX is 0 there.

    Examples
    --------
    >>> import tempfile, segprep
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = segprep.preprocess(folder / "cells.png", folder / "out.zarr")
    >>> source = GrainSource(folder / "out.zarr", ["classes"], crop=(1, 4), image=False, epochs=10)
    >>> len(source), source[9]["classes"].shape
    (10, (1, 4))
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
        epochs: int = 1,
    ) -> None:
        require_at_least(1, epochs=epochs)
        self.samples = make_samples(store, targets, crop=crop, image=image, seed=seed, bias=bias)
        self.transform, self.epochs = transform, epochs

    def __len__(self) -> int:
        return self.epochs * len(self.samples)

    def __repr__(self) -> str:
        return f"<GrainSource of {self.samples!r}, {self.epochs} epochs>"

    def __getitem__(self, record: SupportsIndex) -> dict[str, Any]:
        """Sample of a record."""
        epoch, index = divmod(range(len(self))[as_integer(record)], len(self.samples))
        sample = self.samples.read(index, epoch)
        return channels_last(sample if self.transform is None else self.transform(sample))
