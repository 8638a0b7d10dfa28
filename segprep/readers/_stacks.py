"""Stacks of label images: an array of three dimensions, with the array of its images beside it.

An array of three dimensions may be a stack of masks or a volume. It is a stack only where the array of its images lies beside
it, with as many images of the same height and width.
"""

from collections.abc import Iterator
from typing import NamedTuple

from segprep.errors import InputError
from segprep.masks.splits import FOLDERS, file_split
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import Listing, listing
from segprep.readers._arrays import NPY, NPZ, STACK_NAMES, Array, arrays_in, beside_images, check_count
from segprep.readers._npy import is_npy
from segprep.readers._reader import with_split


class StackedMask(NamedTuple):
    """One mask of an array, by its number."""

    key: str
    split: str | None
    array: Array
    number: int


def stacked_masks(path: AnyPath) -> Iterator[StackedMask]:
    """Masks of arrays (N, H, W) beside their images: in an NPZ, or NPY files of one folder, or in folders of splits."""
    if not path.is_dir() and path.suffix.lower() not in NPY + NPZ:
        return
    root = path if path.is_dir() else path.parent
    folders = [root, *(listing(root).named(*FOLDERS) if path.is_dir() else [])]
    found = [array for folder in folders for array in _stacks_in(path, listing(folder))]
    for array in found:
        entry = array.entry or ""
        named = array.file.with_name(f"{array.file.stem}_{entry}")
        check_count(array)
        for index in range(array.shape[0]):
            name = "/".join(filter(None, [without_suffix(name_in(root, array.file)), entry, f"{index:05d}"]))
            key, split = with_split(name)
            yield StackedMask(key, split or (file_split(named) if len(found) > 1 else None), array, index)


def _stacks_in(path: AnyPath, inside: Listing) -> list[Array]:
    """Arrays of masks (N, H, W) or (N, H, W, 1) of a folder; only those in `path` if that is a file."""
    files = [file for file in inside.with_suffix(*NPY, *NPZ) if not is_npy(file) or file.stem.lower() in STACK_NAMES]
    archives = [file for file in files if file.suffix.lower() in NPZ and (path.is_dir() or file == path)]
    groups = [_arrays_of(archive) for archive in archives]
    groups.append({name: array for file in files if is_npy(file) for name, array in _arrays_of(file).items()})
    found = [array for group in groups for array in beside_images(group) if path.is_dir() or array.file == path]
    return [array for array in found if array.shape[3:] in {(), (1,)}]


def _arrays_of(file: AnyPath) -> dict[str, Array]:
    """Arrays of a file; none if it is damaged."""
    try:
        return arrays_in(file)
    except InputError:
        return {}
