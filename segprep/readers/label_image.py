"""Label images: one PNG, TIFF or NPY per image, in which every value except 0 is an instance; or a stack of them.

An array of three dimensions may be a stack of masks or a volume. It is a stack only where the array of its images lies beside
it, with as many images of the same height and width.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, LabelArray
from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import LISTED_VALUES, InstanceMask, SourceValues
from segprep.masks.splits import FOLDERS, file_split
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, listing
from segprep.readers._arrays import (
    NPY,
    NPZ,
    STACK_NAMES,
    Array,
    arrays_in,
    beside_images,
    check_count,
    item,
    npy_header,
)
from segprep.readers._greys import check_labels
from segprep.readers._image import PNG, TIFF, check_size, has_channels, label_values
from segprep.readers._instance_files import holds_instances
from segprep.readers._labels import numbered
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, with_split

_TRAIN_IDS = ("_instanceTrainIds", "_labelTrainIds")
"""Ends of names of Cityscapes files that no reader knows, because their values depend on a training set-up."""
_MASKS = "_masks"
"""End of the names of Cellpose's label images: ``x_masks.png``, ``x_cp_masks.png`` beside ``x.png`` or ``x_img.png``."""


@dataclass(frozen=True)
class LabelImageRef:
    """One label image.

    Attributes
    ----------
    values : tuple of int
        Values that are classes, in the order of their codes; empty if each is an instance.
    stack : Array or None
        Array of several masks, of which this is the one with number `index`.
    """

    key: str
    split: str | None
    file: AnyPath
    options: ReadOptions
    values: tuple[int, ...] = ()
    stack: Array | None = None
    index: int = 0

    def load(self) -> InstanceMask:
        """Read the labels and number them without gaps."""
        found = self.source_values()
        labels, ignore, values = _meaning(found, self.options)
        check_instances(str(self.file), len(values), self.options.max_instances)
        check_labels(self.file, labels, values)
        classes = np.ones(len(values) + 1, np.int32)
        classes[0] = 0
        if self.values:
            classes[1:] = 1 + np.searchsorted(self.values, values)
        return InstanceMask(labels[np.newaxis], classes, ignore, source=_source(labels, values))

    def source_values(self) -> NDArray[Any]:
        """Values of the label image, shape (H, W), none negative."""
        if self.stack is not None:
            values = item(self.stack, self.index, max_pixels=self.options.max_pixels)
            return values.reshape(values.shape[:2])
        if _is_npy(self.file):
            return npy_values(self.file, max_pixels=self.options.max_pixels)
        return label_values(self.file, max_pixels=self.options.max_pixels)


def _meaning(found: NDArray[Any], options: ReadOptions) -> tuple[LabelArray, BoolArray | None, NDArray[Any]]:
    """Labels, ignored pixels if there are any, and the value of each label."""
    ignore = None if options.ignore is None else found == options.ignore
    if options.background is not None:
        found = np.where(found == options.background, 0, found)
    if ignore is not None:
        found = np.where(ignore, 0, found)
    labels, values = numbered(found)
    return labels, ignore if ignore is not None and ignore.any() else None, values


def _source(labels: LabelArray, values: NDArray[Any]) -> SourceValues:
    has_background = not labels.all()
    commonest = 0 if has_background else int(values[np.bincount(labels.ravel())[1:].argmax()])
    smallest, largest = tuple(values[:LISTED_VALUES].tolist()), tuple(values[:-3:-1].tolist())
    return SourceValues(len(values), smallest, largest, commonest, has_background)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find PNG, TIFF or NPY label images (one channel), itself or alone in the folder or in its labels/ or masks/.

    Every value except 0 is an instance. PNG of 1 to 16 bits or with a palette, whose indices count; TIFF of integers
    with a single page; NPY of integers in two dimensions. The same in folders train/, val/ and test/, around labels/ or
    masks/ or inside of them. Beside ``labels/`` or ``masks/`` there may be ``images/``; if that holds one file and
    ``masks/`` several, these are its instances and not label images. NPY of pickled objects, in which some programs save
    their state, and images beside a ``.json`` of the same name are not label images.

    A stack of label images is an array (N, H, W) called ``masks``, ``labels`` or ``y``, with ``images`` or ``X`` of as many
    images of the same height and width: two NPY files, or arrays of one NPZ.
    """
    root = path if path.is_dir() else path.parent
    refs = _stacked(path, root, options) or [
        LabelImageRef(*with_split(name_in(root, file)), file, options) for file in _label_files(path)
    ]
    if not refs:
        return None
    values = _classes_in(refs, options) if options.values == "classes" else ()
    names = [(value, f"class {value}") for value in values] if len(values) > 1 else [(None, values and "foreground")]
    classes = class_table([(id_, name or "instance") for id_, name in names])
    return MaskSet("label-image", classes, tuple(replace(ref, values=values) for ref in refs))


def _classes_in(refs: list[LabelImageRef], options: ReadOptions) -> tuple[int, ...]:
    """All values except 0 in label images whose values are classes."""
    found: set[int] = set()
    for ref in refs:
        found.update(_meaning(ref.source_values(), options)[2].tolist())
    return tuple(sorted(found))


def _stacked(path: AnyPath, root: AnyPath, options: ReadOptions) -> list[LabelImageRef]:
    """Masks of arrays (N, H, W) beside their images: in an NPZ, or NPY files of one folder, or in folders of splits."""
    if not path.is_dir() and path.suffix.lower() not in NPY + NPZ:
        return []
    folders = [root, *(listing(root).named(*FOLDERS) if path.is_dir() else [])]
    found = [array for folder in folders for array in _stacks_in(path, listing(folder))]
    refs = []
    for array in found:
        entry = array.entry or ""
        named = array.file.with_name(f"{array.file.stem}_{entry}")
        check_count(array)
        for index in range(array.shape[0]):
            name = "/".join(filter(None, [without_suffix(name_in(root, array.file)), entry, f"{index:05d}"]))
            key, split = with_split(name)
            split = split or (file_split(named) if len(found) > 1 else None)
            refs.append(LabelImageRef(key, split, array.file, options, (), array, index))
    return refs


def _stacks_in(path: AnyPath, inside: Listing) -> list[Array]:
    """Arrays of masks (N, H, W) or (N, H, W, 1) of a folder; only those in `path` if that is a file."""
    files = [file for file in inside.with_suffix(*NPY, *NPZ) if not _is_npy(file) or file.stem.lower() in STACK_NAMES]
    archives = [file for file in files if file.suffix.lower() in NPZ and (path.is_dir() or file == path)]
    groups = [_arrays_of(archive) for archive in archives]
    groups.append({name: array for file in files if _is_npy(file) for name, array in _arrays_of(file).items()})
    found = [array for group in groups for array in beside_images(group) if path.is_dir() or array.file == path]
    return [array for array in found if array.shape[3:] in {(), (1,)} and array.dtype.kind in "buif"]


def _arrays_of(file: AnyPath) -> dict[str, Array]:
    """Arrays of a file; none if it is damaged."""
    try:
        return arrays_in(file)
    except InputError:
        return {}


def npy_values(path: AnyPath, *, max_pixels: int) -> NDArray[Any]:
    """Values of an NPY label image, shape (H, W), of any integer type or bool, none negative; a view of the file.

    Raises
    ------
    InputError
        If the file is damaged, too large, or not a 2-D array of integers.
    """
    shape, dtype = npy_header(path)
    if len(shape) != 2 or dtype.kind not in "bui":  # noqa: PLR2004 - height and width
        raise InputError(f"{path}: an array of {_described(shape, dtype)}; labels are integers in two dimensions")
    check_size(str(path), (shape[0], shape[1]), max_pixels)
    try:
        values = _array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as NPY: {error}; save it again") from error
    if values.dtype.kind == "i" and values.min() < 0:
        raise InputError(f"{path}: the value {values.min()}; labels are not negative, and 0 is the background")
    return values


def _array(path: AnyPath) -> NDArray[Any]:
    with path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False))


def _described(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Shape and type of an array, for a message."""
    return f"{' x '.join(map(str, shape)) or 'no'} numbers of type {dtype}"


def _is_npy(file: AnyPath) -> bool:
    """True if a file is an array by its name."""
    return file.suffix.lower() in NPY


def _is_pickled(file: AnyPath) -> bool:
    """True if a file is an array of Python objects, which cannot be read safely."""
    try:
        return _is_npy(file) and npy_header(file)[1].hasobject
    except InputError:  # loading the file raises it again
        return False


def _candidates(inside: Listing, suffixes: tuple[str, ...]) -> list[AnyPath]:
    """Files of a folder that may be label images."""
    return [file for file in inside.with_suffix(*suffixes) if not _is_pickled(file)]


def _label_files(path: AnyPath) -> list[AnyPath]:
    """Label images at `path`, by name; none if the layout is another one."""
    if not path.is_dir():
        return _only_labels([path]) if path.suffix.lower() in PNG + TIFF + NPY and not _is_pickled(path) else []
    inside = listing(path)
    parts = [folder for folder in inside.folders if folder.name.lower() in FOLDERS]
    if parts:
        return [file for part in parts for file in _label_files(part)]
    found = {folder: _candidates(listing(folder), PNG + TIFF + NPY) for folder in inside.named("labels", "masks")}
    named = [folder for folder, files in found.items() if files]
    if len(named) > 1:
        raise InputError(f"{path}: label images in both {named[0].name}/ and {named[1].name}/; give one of them")
    if named:
        return [] if holds_instances(path) else _only_labels(found[named[0]])
    if divided := [folder for folder in found if listing(folder).named(*FOLDERS)]:
        return _label_files(divided[0])
    return _direct_files(inside)


def _direct_files(inside: Listing) -> list[AnyPath]:
    """Label images of a folder without ``labels/`` or ``masks/``; none if it also holds images of other kinds."""
    images = _candidates(inside, (*IMAGE_SUFFIXES, *NPY))
    if masks := _of_cellpose(images):
        return masks
    documents = inside.with_suffix(".json")
    if any(file.stem.endswith(_TRAIN_IDS) for file in images):
        return []
    if not inside.folders and not documents:
        return _only_labels(images)  # nothing else can be meant, so raise the error of a bad one
    if {file.stem for file in documents} & {file.stem for file in images}:
        return []  # images, which the documents describe
    return [] if any(map(_other_kind, images)) else images


def _of_cellpose(images: list[AnyPath]) -> list[AnyPath]:
    """Label images of a folder in which Cellpose put them beside their images; none if it is not such a folder."""
    masks = [file for file in images if file.stem.endswith(_MASKS)]
    bases = {file.stem.removesuffix(_MASKS).removesuffix("_cp") for file in masks}
    others = {file.stem for file in images} - {file.stem for file in masks}
    ours = all(
        bases & {stem, stem.removesuffix("_img"), stem.rpartition("_")[0].removesuffix("_cp")} for stem in others
    )
    return _only_labels(masks) if others and ours else []


def _only_labels(files: list[AnyPath]) -> list[AnyPath]:
    """Return the files; raise if one is an image of another kind."""
    for file in files:
        if seen := _other_kind(file):
            raise InputError(
                f"{file}: not a label image but {seen}; give PNG, TIFF or NPY files of one channel, in which each value is "
                "an instance, or for colours that are classes the folder with their palette"
            )
    return files


def _other_kind(file: AnyPath) -> str:
    """Description of an image or an array that cannot be a label image; empty if it can."""
    if not _is_npy(file):
        if file.suffix.lower() not in PNG + TIFF:
            return f"a {file.suffix[1:].upper()} image, whose compression changes values"
        return "an image of several channels" if has_channels(file) else ""
    try:
        shape, dtype = npy_header(file)
    except InputError:  # loading the file raises it again
        return ""
    is_volume = len(shape) > 2 and min(shape) > 1  # noqa: PLR2004 - height and width
    if len(shape) == 2 and dtype.kind in "bui":  # noqa: PLR2004
        return ""
    volume = "; volumes are not supported yet, and a stack of masks is masks.npy beside images.npy of as many images"
    return f"an array of shape {shape} and type {dtype}{volume * is_volume}"


READER = Reader("label-image", find, is_general=True, reads_one_file=True)
