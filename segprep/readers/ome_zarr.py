"""OME-Zarr: label images of two dimensions in the groups labels/NAME of images, one .zarr per image.

Versions 0.4 (Zarr 2) and 0.5 (Zarr 3) of the format. Axes t, c and z of length 1 are dropped. zarr-python decodes the pixels,
after the size of the array and of its chunks has been checked.

Reference: the OME-Zarr specification, ngff.openmicroscopy.org/0.5.
"""

import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, some
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.tiles import Cut, Window
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.bucket import BucketPath
from segprep.paths.client import client
from segprep.paths.listing import nearest
from segprep.readers._arrays import integers
from segprep.readers._image import check_size, decode_errors
from segprep.readers._json import decode_file
from segprep.readers._labels import mask_of_labels, numbered
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, with_split
from segprep.readers._slides import LabelSlide

_SUFFIX, _LABELS = ".zarr", "labels"
_DEPTH = 3
_PLANE = 2
"""Dimensions of an image."""


class _Axis(msgspec.Struct):
    name: str


class _Dataset(msgspec.Struct):
    path: str


class _Multiscale(msgspec.Struct):
    datasets: list[_Dataset]
    axes: list[_Axis | str] = []


class _Attributes(msgspec.Struct):
    labels: list[str] = []
    multiscales: list[_Multiscale] = []
    image_label: msgspec.Raw = msgspec.field(name="image-label", default=msgspec.Raw())


class _Attributes3(msgspec.Struct):
    ome: _Attributes = msgspec.field(default_factory=_Attributes)


class _Group3(msgspec.Struct):
    node_type: str
    attributes: _Attributes3 = msgspec.field(default_factory=_Attributes3)


class _Group(NamedTuple):
    """Attributes of a group, and its version of Zarr."""

    attributes: _Attributes
    version: int


@dataclass(frozen=True)
class OmeZarrRef:
    """Group of one label image; the path of its image, or of the group if that is given, is the key."""

    key: str
    split: str | None
    group: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the first level; each value other than 0 is an instance."""
        return mask_of_labels(str(self.group), _values_of(self.group, self.options.max_pixels), self.options)

    def slide(self) -> LabelSlide | None:
        """The image, open, if it has more than ``max_pixels`` pixels; else None."""
        array, where = _array_of(self.group), str(self.group)
        height, width = array.shape[-2:]
        if height * width <= self.options.max_pixels:
            return None
        _check_chunks(self.group, array, self.options.max_pixels)

        def values(window: Window) -> NDArray[Any]:
            with decode_errors(self.group, "OME-Zarr"):
                found = np.asarray(array[(*(0,) * (len(array.shape) - 2), *window.part)])
            return integers(where, found.reshape(window.height, window.width))

        return LabelSlide((height, width), values, self._part)

    def _part(self, found: NDArray[Any]) -> Cut:
        """Mask of a window of values, and the values of its instances."""
        labels, distinct = numbered(found)
        check_instances(str(self.group), len(distinct), self.options.max_instances)
        numbers = np.append(np.uint64(0), distinct.astype(np.uint64)).view(np.int64)
        return Cut(InstanceMask(labels[np.newaxis], np.array([0] + [1] * len(distinct), np.int32)), numbers)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find OME-Zarr images with labels/: one .zarr itself, or all in the folder, or one group labels/NAME.

    Every value other than 0 is an instance; colours and properties are not read. An image with several label images is
    refused: give the path of one of them.
    """
    if not path.is_dir():
        return None
    if path.suffix != _SUFFIX and _is_label(path):
        return _mask_set([OmeZarrRef(path.name, None, path, options)])
    if (group := _only_label(path)) is not None:
        return _mask_set([OmeZarrRef(path.name, None, group, options)])
    if path.suffix == _SUFFIX:
        return None
    images = nearest(path, lambda inside: [own for own in inside.folders if own.suffix == _SUFFIX], depth=_DEPTH)
    groups = {image: _only_label(image) for image in images}
    refs = [
        OmeZarrRef(*with_split(name_in(path, image)), group, options)
        for image, group in groups.items()
        if group is not None
    ]
    problem = Problem("image without label images", "labels/ lists none")
    without = [image for image, group in groups.items() if group is None and _image_attributes(image) is not None]
    problems = tuple((name_in(path, image), problem) for image in without)
    return _mask_set(refs, problems) if refs else None


def _mask_set(refs: list[OmeZarrRef], problems: tuple[tuple[str, Problem], ...] = ()) -> MaskSet:
    return MaskSet("ome-zarr", class_table([(None, NO_CLASS)]), tuple(refs), problems)


def _is_label(path: AnyPath) -> bool:
    """True if a folder is the group of a label image."""
    found = _image_attributes(path)
    return found is not None and (_LABELS in path.absolute().parts[:-1] or bool(bytes(found.image_label)))


def _image_attributes(path: AnyPath) -> _Attributes | None:
    """Attributes of the group of an image; None if a folder is none."""
    try:
        group = _group(path)
    except InputError:  # attributes of another kind
        return None
    return group.attributes if group is not None and group.attributes.multiscales else None


def _only_label(image: AnyPath) -> AnyPath | None:
    """Group of the only label image of an image; None if it has none; raise if it has several."""
    folder = image if image.name == _LABELS else image / _LABELS
    group = None if folder.is_symlink() else _group(folder)
    names = group.attributes.labels if group is not None else []
    if len(names) > 1:
        shown = some((f"{name:.100}" for name in names), most=5)
        raise InputError(f"{folder}: several label images: {shown}; give the path of one, as {folder / names[0][:100]}")
    return _inside(folder, names[0]) if names else None


def _inside(folder: AnyPath, name: str) -> AnyPath:
    """Path of this name in a folder; raise if it leads elsewhere."""
    parts = PurePosixPath(name).parts
    path = folder
    for part in parts:
        path = path / part
        if part in {"/", ".."} or not part.isprintable() or path.is_symlink():
            raise InputError(
                f"{folder}: the name {name[:100]!a} leads out of the folder; give the path of the label image"
            )
    if not parts:
        raise InputError(f"{folder}: an empty name; write the name of the label image or its array")
    return path


def _group(folder: AnyPath) -> _Group | None:
    """Attributes of a group, or None if a folder is none; those of Zarr 3 come first."""
    if (file := folder / "zarr.json").is_file():
        found = decode_file(file, _Group3, "OME-Zarr group")
        return _Group(found.attributes.ome, 3) if found.node_type == "group" else None
    if (folder / ".zgroup").is_file() and (file := folder / ".zattrs").is_file():
        return _Group(decode_file(file, _Attributes, "OME-Zarr group"), 2)
    return None


def _values_of(folder: AnyPath, max_pixels: int) -> NDArray[Any]:
    """Values of a label image, shape (H, W), none negative."""
    array = _array_of(folder)
    height, width = array.shape[-2:]
    check_size(str(folder), (height, width), max_pixels)
    _check_chunks(folder, array, max_pixels)
    with decode_errors(folder, "OME-Zarr"):
        values = np.asarray(array[...]).reshape(height, width)
    return integers(str(folder), values)


def _check_chunks(folder: AnyPath, array: Any, max_pixels: int) -> None:
    """Raise an InputError for chunks that are too large, or of numbers that are no labels."""
    if (chunk := math.prod(array.chunks)) > max_pixels:
        raise InputError(f"{folder}: chunks of {chunk} pixels are more than max_pixels={max_pixels}; raise the limit")
    if array.dtype.kind not in "buif":
        raise InputError(f"{folder}: pixels are of type {array.dtype}; labels are integers")


def _array_of(folder: AnyPath) -> Any:
    """Array of a label image, whose last two axes are y and x, and the others of length 1."""
    group = _group(folder)
    levels = [level for scale in (group.attributes.multiscales[:1] if group else []) for level in scale.datasets]
    if group is None or not levels:
        raise InputError(f"{folder}: no group with multiscales, which name its arrays; write the label image again")
    array = _opened(_inside(folder, levels[0].path), group.version)
    names = [axis if isinstance(axis, str) else axis.name for axis in group.attributes.multiscales[0].axes]
    names = names or list("tczyx")[-len(array.shape) :]
    if len(names) != len(array.shape) or len(names) < _PLANE:
        axes = ", ".join(name[:20] for name in names[:9])
        raise InputError(
            f"{folder}: axes {axes}, but an array of {len(array.shape)} dimensions; correct the multiscales"
        )
    longer = [f"{name[:20]}={side}" for name, side in zip(names[:-2], array.shape[:-2], strict=True) if side != 1]
    if longer:
        raise InputError(
            f"{folder}: a label image of {', '.join(longer)}; volumes are not supported yet, so save 2-D images"
        )
    return array


def _opened(path: AnyPath, version: int) -> Any:
    """Array, of which only the metadata are read."""
    import zarr  # noqa: PLC0415 - slow to import
    from zarr.storage import LocalStore, ObjectStore  # noqa: PLC0415

    with decode_errors(path, "OME-Zarr"):
        is_remote = isinstance(path, BucketPath)
        store = ObjectStore(client(str(path)), read_only=True) if is_remote else LocalStore(str(path), read_only=True)
        return zarr.open_array(store, mode="r", zarr_format=3 if version > 2 else 2)  # noqa: PLR2004 - Zarr 2 and 3


READER = Reader("ome-zarr", find, opens_hidden=True)
