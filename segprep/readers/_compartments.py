"""TissueNet: one NPZ per split, with images X and labels y of (N, H, W, 2), cells and nuclei.

Both are complete ground truth of the same images, so one of them is read at a time: cells by ``tissuenet``, and nuclei
by ``tissuenet-nuclear``.

Reference: N. F. Greenwald et al., Nature Biotechnology 2022, doi:10.1038/s41587-021-01094-0.
"""

from dataclasses import dataclass

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.masks.splits import FOLDERS, file_split
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import nearest
from segprep.readers._arrays import NPZ, Array, arrays_in, beside_images, check_count, item
from segprep.readers._labels import mask_of_labels
from segprep.readers._reader import MaskSet, ReadOptions, with_split

COMPARTMENTS = ("cell", "nucleus")
"""Classes of the two channels of labels, in their order."""
_DIMENSIONS = 4


@dataclass(frozen=True)
class CompartmentRef:
    """One channel of one of the masks in an array; the path of the file and the number of the mask are the key."""

    key: str
    split: str | None
    array: Array
    index: int
    channel: int
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the mask; each number other than 0 is an instance."""
        values = item(self.array, self.index, max_pixels=self.options.max_pixels)
        return mask_of_labels(f"{self.array.file}: item {self.index}", values[..., self.channel], self.options)


def find_compartment(path: AnyPath, options: ReadOptions, channel: int, name: str) -> MaskSet | None:
    """Masks of one channel, or None if no NPZ at the path has X and y as TissueNet's."""
    root = path if path.is_dir() else path.parent
    files = nearest(path, lambda inside: inside.with_suffix(*NPZ), names=tuple(FOLDERS), depth=1)
    arrays = [array for file in files if (array := _labels(file, is_alone=file == path)) is not None]
    if not arrays:
        return None
    refs = []
    for array in arrays:
        split = file_split(array.file) if len(arrays) > 1 else None
        for index in range(array.shape[0]):
            key, by_folder = with_split(f"{without_suffix(name_in(root, array.file))}/{index:05d}")
            refs.append(CompartmentRef(key, split or by_folder, array, index, channel, options))
    return MaskSet(name, class_table([(channel, COMPARTMENTS[channel])]), tuple(refs))


def _labels(file: AnyPath, *, is_alone: bool) -> Array | None:
    """Array of labels of a file; None if it has none, or if it is damaged and not the only one that is given."""
    try:
        found = beside_images(arrays_in(file))
    except InputError:
        if is_alone:
            raise
        return None
    ours = [array for array in found if len(array.shape) == _DIMENSIONS and array.shape[3] == len(COMPARTMENTS)]
    for array in ours:
        check_count(array)
    return ours[0] if ours else None
