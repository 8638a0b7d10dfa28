"""Opening a store."""

import os

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath, parse_path
from segprep.store.dataset import Dataset
from segprep.store.metadata import read_info
from segprep.store.values import HandedOut, check_handed_out


def open(  # noqa: A001 - segprep.open, as in zarr.open and tifffile.open
    store: str | os.PathLike[str] | AnyPath,
    *,
    split: str | None = None,
    fold: int | None = None,
    incomplete: bool = False,
    dtype: HandedOut = "float32",
    images: str | os.PathLike[str] | AnyPath | None = None,
) -> Dataset:
    """Open a store.

    Parameters
    ----------
    store : path
        The store.
    split, fold
        As in `Dataset.select`.
    incomplete : bool
        Open a store that is not complete; missing shards read as NaN or as the maximum of their type.
    dtype : {"float32", "stored"}
        Return float16 arrays as float32, which OpenCV, SciPy and most losses need, or as they are stored.
    images : path or None
        Folder of the images: that which stands for the folder of the data, or for the folder that all images share. By
        default the data themselves, if they lie beside the store.

    Returns
    -------
    Dataset
        The masks, in the order of the input.

    Raises
    ------
    IntegrityError
        If there is no store, or it is incomplete, or its tables are damaged.
    OptionError
        If the store has no such split or fold.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from segprep import preprocess
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> dataset = open(folder / "out.zarr")
    >>> dataset[0]["labels"]
    array([[1, 0, 0, 0, 2]], dtype=uint16)
    >>> dataset["cells.png"]["labels"].shape
    (1, 5)
    """
    root = parse_path(store, "store")
    info = read_info(root)
    if info.status != "complete" and not incomplete:
        raise IntegrityError(
            f"{root}: is incomplete; rerun the command that writes it, or open it with incomplete=True"
        )
    check_handed_out(dtype)
    dataset = Dataset(
        root, info, incomplete, dtype=dtype, images=None if images is None else parse_path(images, "images")
    )
    return dataset if split is None and fold is None else dataset.select(split=split, fold=fold)
