"""Reading a store, for training loops."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from segprep import store
from segprep.errors import IntegrityError


def open(path: str | os.PathLike[str], *, split: str | None = None, incomplete: bool = False) -> "Dataset":  # noqa: A001
    """Open a store.

    Parameters
    ----------
    path : path
        The store.
    split : str or None
        ``train``, ``val`` or ``test``; None takes all masks.
    incomplete : bool
        Whether to open a store that is not finished; what is missing reads as NaN or the type's maximum.

    Returns
    -------
    Dataset
        The masks, in the order of the input.

    Raises
    ------
    IntegrityError
        Where there is no store, or it is incomplete, or its tables are damaged.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from segprep import preprocess
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> mask = open(folder / "out.zarr")[0]
    >>> mask["labels"]
    array([[1, 0, 0, 0, 2]], dtype=uint16)
    """
    root = Path(path)
    info = store.read_info(root)
    if info.status != "complete" and not incomplete:
        raise IntegrityError(
            f"{root}: is incomplete: its run did not end; run it again, or open it with incomplete=True"
        )
    rows = np.arange(info.masks)
    if split is not None:
        if split not in info.splits:
            raise IntegrityError(f"{root}: has no split {split!r}, only {', '.join(info.splits)}")
        rows = np.flatnonzero(store.read_table(root, "split") == info.splits.index(split))
    return Dataset(root, info, rows)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Masks of a store; ``dataset[i]`` is a dict of arrays.

    Attributes
    ----------
    root : Path
        The store.
    info : StoreInfo
        What it holds.
    rows : (n,) int array
        Which rows of the root tables these are.
    """

    root: Path
    info: store.StoreInfo
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Key and arrays of one mask: ``key`` and every product, shape (H, W), the true size of the mask."""
        mask = int(self.rows[index])
        bucket = self.info.buckets[int(self._places["bucket"][mask])].name
        row, height, width = (int(self._places[name][mask]) for name in ("row", "height", "width"))
        products = {
            product.name: self._array(f"{bucket}/{product.name}")[row, :height, :width]
            for product in self.info.products
        }
        return {"key": self.keys[index], **products}

    @cached_property
    def keys(self) -> list[str]:
        """Names of the masks."""
        return store.decode_keys(store.read_table(self.root, "key")[self.rows])

    @cached_property
    def _places(self) -> dict[str, NDArray[Any]]:
        """Bucket, row and size of every mask of the store."""
        return {name: store.read_table(self.root, name) for name in ("bucket", "row", "height", "width")}

    def _array(self, path: str) -> Any:
        """Array of one product of one bucket."""
        return zarr.open_array(self.root, path=path, mode="r")
