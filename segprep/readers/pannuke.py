"""PanNuke: masks.npy of (N, 256, 256, 6), in which channels 0 to 4 have the instances of one class of nuclei each.

The last channel is the background and is not read. Numbers of instances count within their channel.

Reference: J. Gamper et al.: PanNuke dataset extension, insights and baselines, arXiv:2003.10778.
"""

from dataclasses import dataclass

import numpy as np

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import nearest
from segprep.readers._arrays import Array, arrays_in, check_count, item, npy_header
from segprep.readers._labels import numbered
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, with_split

_NAME = "masks.npy"
_CLASSES = ("Neoplastic", "Inflammatory", "Connective", "Dead", "Epithelial")
_DIMENSIONS, _CHANNELS = 4, 6
_DEPTH = 4


@dataclass(frozen=True)
class PannukeRef:
    """One of the masks in an array; the path of the file and the number of the mask are the key."""

    key: str
    split: str | None
    array: Array
    index: int
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the mask; where channels overlap, each has a plane."""
        values = item(self.array, self.index, max_pixels=self.options.max_pixels)
        planes, classes = [], [0]
        for code in range(1, len(_CLASSES) + 1):
            labels, found = numbered(values[..., code - 1])
            planes.append(np.where(labels > 0, labels + (len(classes) - 1), 0).astype(np.int32))
            classes += [code] * len(found)
        check_instances(f"{self.array.file}: item {self.index}", len(classes) - 1, self.options.max_instances)
        stacked = np.stack(planes)
        if np.count_nonzero(stacked, axis=0).max() <= 1:
            stacked = stacked.sum(axis=0, dtype=np.int32, keepdims=True)
        else:
            stacked = stacked[stacked.any(axis=(1, 2))]
        return InstanceMask(stacked, np.array(classes, np.int32))


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find PanNuke's masks.npy (N, 256, 256, 6), itself or in the folder or up to four folders below.

    Each number other than 0 in one of the first five channels is an instance. The folds are no splits: fold 1, 2 and 3
    are in the keys.
    """
    root = path if path.is_dir() else path.parent
    files = nearest(path, lambda inside: [file for file in inside.files if file.name.lower() == _NAME], depth=_DEPTH)
    arrays = [array for file in files if (array := _array(file)) is not None]
    if not arrays:
        return None
    refs = [
        PannukeRef(*with_split(f"{without_suffix(name_in(root, array.file))}/{index:05d}"), array, index, options)
        for array in arrays
        for index in range(array.shape[0])
    ]
    return MaskSet("pannuke", class_table(enumerate(_CLASSES)), tuple(refs))


def _array(file: AnyPath) -> Array | None:
    """Array of a file, by its header; None if it is of another shape, or its header is damaged."""
    try:
        shape, _ = npy_header(file)
    except InputError:
        return None
    if len(shape) != _DIMENSIONS or shape[3] != _CHANNELS:
        return None
    found = list(arrays_in(file).values())
    if not found:
        raise InputError(f"{file}: no array of numbers in C order; save it again with numpy.ascontiguousarray")
    check_count(found[0])
    return found[0]


READER = Reader("pannuke", find, reads_one_file=True)
