"""Label images: one file per image, in which every value except 0 is an instance; or a stack of them in one array."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, LabelArray
from segprep.errors import InputError
from segprep.kernels.lookup import counts
from segprep.masks.classes import class_table
from segprep.masks.mask import LISTED_VALUES, InstanceMask, Problem, SourceValues
from segprep.masks.splits import FOLDERS, folder_split
from segprep.masks.tiles import Cut
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, listing, named_few
from segprep.readers._arrays import NPY, Array, item
from segprep.readers._beside import size_problems
from segprep.readers._greys import check_labels
from segprep.readers._image import PNG, TIFF, NotLabelImageError, has_channels
from segprep.readers._instance_files import holds_instances
from segprep.readers._labels import numbered
from segprep.readers._mask_folders import (
    MASKS,
    OTHERS,
    MaskFolder,
    folder_name,
    mask_folders,
    masks_among_images,
    others,
)
from segprep.readers._mask_image import LOSSY, is_lossy, mask_values, unlike_mask
from segprep.readers._npy import is_npy, is_pickled, npy_values, unlike_labels
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, with_split
from segprep.readers._slides import LabelSlide, npy_slide, tiff_slide
from segprep.readers._stacks import stacked_masks

_TRAIN_IDS = ("_instanceTrainIds", "_labelTrainIds")
"""Ends of names of Cityscapes files that no reader knows, because their values depend on a training set-up."""
_LOOK = 8
"""Images that are decoded to see whether they can be masks, where their headers do not tell."""
_THRESHOLDED = "JPEG and lossy WebP masks are thresholded at 128"
_MASKS = "_masks"
"""End of the names of Cellpose's label images: ``x_masks.png``, ``x_cp_masks.png`` beside ``x.png`` or ``x_img.png``."""


@dataclass(frozen=True)
class LabelImageRef:
    """One label image.

    Attributes
    ----------
    values : tuple of int
        Values that are classes, in the order of their codes; empty if each is an instance.
    image : AnyPath or None
        Image that the mask belongs to, for its size; None if there is none.
    stack : Array or None
        Array of several masks, of which this is the one with number `index`.
    """

    key: str
    split: str | None
    file: AnyPath
    options: ReadOptions
    values: tuple[int, ...] = ()
    image: AnyPath | None = None
    stack: Array | None = None
    index: int = 0

    def load(self) -> InstanceMask:
        """Read the labels and number them without gaps."""
        labels, ignore, values = self.meaning()
        classes = np.ones(len(values) + 1, np.int32)
        classes[0] = 0
        if self.values:
            classes[1:] = 1 + np.searchsorted(self.values, values)
        height, width = labels.shape
        problems = tuple(size_problems(self.image, (height, width)))
        return InstanceMask(labels[np.newaxis], classes, ignore, problems, source=_source(labels, values))

    def slide(self) -> LabelSlide | None:
        """The image, open, if it has more than ``max_pixels`` pixels and can be read in windows; else None."""
        opened = {**dict.fromkeys(TIFF, tiff_slide), **dict.fromkeys(NPY, npy_slide)}.get(self.file.suffix.lower())
        if opened is None or self.stack is not None or self.values:
            return None
        return opened(self.file, self.options.max_pixels, self._part)

    def _part(self, found: NDArray[Any]) -> Cut:
        """Mask of a window of values, and the values of its instances."""
        labels, ignore, values = _meaning(found, self.options)
        check_instances(str(self.file), len(values), self.options.max_instances)
        classes = np.append(np.int32(0), np.ones(len(values), np.int32))
        numbers = np.append(np.uint64(0), values.astype(np.uint64)).view(np.int64)
        return Cut(InstanceMask(labels[np.newaxis], classes, ignore), numbers)

    def meaning(self) -> tuple[LabelArray, BoolArray | None, NDArray[Any]]:
        """Labels, ignored pixels if there are any, and the value of each label; raise for an image that is no mask."""
        labels, ignore, values = _meaning(self.source_values(), self.options)
        check_instances(str(self.file), len(values), self.options.max_instances)
        check_labels(self.file, labels, values)
        return labels, ignore, values

    def source_values(self) -> NDArray[Any]:
        """Values of the label image, shape (H, W), none negative."""
        if self.stack is not None:
            values = item(self.stack, self.index, max_pixels=self.options.max_pixels)
            return values.reshape(values.shape[:2])
        read = npy_values if is_npy(self.file) else mask_values
        return read(self.file, max_pixels=self.options.max_pixels)


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
    commonest = 0 if has_background else int(values[counts(labels, 0)[1:].argmax()])
    smallest, largest = tuple(values[:LISTED_VALUES].tolist()), tuple(values[:-3:-1].tolist())
    return SourceValues(len(values), smallest, largest, commonest, has_background)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find label images (one channel, PNG, TIFF, NPY, BMP or GIF): itself, in the folder or in its labels/ or masks/.

    Every value except 0 is an instance. PNG of 1 to 16 bits or with a palette, whose indices count; TIFF of integers
    with a single page; NPY of integers in two dimensions; BMP and GIF; several channels with the same values; JPEG and WebP
    that are black and white. The same in folders train/, val/ and test/, around the folders of masks or inside of them.
    Beside ``labels/`` or ``masks/`` there may be ``images/``; if an image has several masks, these are its instances and not
    label images. Folders of other names, such as ``ann_dir/``, need images beside them. NPY of pickled objects, in which some
    programs save their state, and images beside a ``.json`` of the same name are not label images.

    A stack of label images is an array (N, H, W) called ``masks``, ``labels`` or ``y``, with ``images`` or ``X`` of as many
    images of the same height and width: two NPY files, or arrays of one NPZ.
    """
    stacked = [
        LabelImageRef(mask.key, mask.split, mask.array.file, options, stack=mask.array, index=mask.number)
        for mask in stacked_masks(path)
    ]
    if stacked:
        return _mask_set(stacked, options)
    folders = _folders(path) if path.is_dir() else [MaskFolder(path.parent, _one_file(path), [])]
    if not any(folder.files for folder in folders):
        return None
    root = path if path.is_dir() else path.parent
    refs = []
    for folder in folders:
        for file in folder.files:
            key, split = with_split(name_in(root, file))
            if folder.folder != root:  # such as train_masks/
                split = split or folder_split(f"{folder.folder.name.rpartition('_')[0]}/")
            refs.append(LabelImageRef(key, split, file, options, image=folder.image_of.get(file)))
    where = {folder: folder_name(root, folder.folder) for folder in folders if path.is_dir()}
    problems = tuple((where[folder], problem) for folder in where for problem in folder.problems())
    notices = tuple((where[folder], notice) for folder in where for notice in _notices(folder))
    return replace(_mask_set(refs, options), problems=problems, notices=notices)


def _mask_set(refs: list[LabelImageRef], options: ReadOptions) -> MaskSet:
    """Masks with their classes: one, or the values of all."""
    values = _classes_in(refs) if options.values == "classes" else ()
    names = [(value, f"class {value}") for value in values] if len(values) > 1 else [(None, values and "foreground")]
    classes = class_table([(id_, name or "instance") for id_, name in names])
    return MaskSet("label-image", classes, tuple(replace(ref, values=values) for ref in refs))


def _notices(folder: MaskFolder) -> list[Problem]:
    """Notices of masks whose compression changes values, and of other files among the masks."""
    lossy = [file.name for file in folder.files if file.suffix.lower() in LOSSY and is_lossy(file)]
    found = ((_THRESHOLDED, lossy), (OTHERS, [] if folder.is_certain else others(folder.folder)))
    return [Problem(kind, named_few(names), left_out=False) for kind, names in found if names]


def _classes_in(refs: list[LabelImageRef]) -> tuple[int, ...]:
    """All values except 0 in label images whose values are classes; one that cannot be read raises when it is loaded."""
    found: set[int] = set()
    for ref in refs:
        with suppress(InputError):
            found.update(ref.meaning()[2].tolist())
    return tuple(sorted(found))


def _one_file(path: AnyPath) -> list[AnyPath]:
    """Label image that is given itself."""
    is_ours = path.suffix.lower() in (*IMAGE_SUFFIXES, *NPY) and not is_pickled(path)
    return _only_labels([path]) if is_ours else []


def _folders(path: AnyPath) -> list[MaskFolder]:
    """Folders of label images at `path`; none if the layout is another one."""
    inside = listing(path)
    found = [folder for folder in map(_without_pickles, mask_folders(inside)) if folder.files]
    names = [folder.folder.name for folder in found if folder.folder.parent == path]
    bases = {name: name.rpartition("_")[0].lower() for name in names}  # train of train_masks/
    parts = [folder for folder in inside.folders if folder.name.lower() in FOLDERS]
    if parts and FOLDERS.keys().isdisjoint(bases.values()):
        return [folder for part in parts for folder in _folders(part)]
    if len(names) > 1 and not all(inside.named(base) for base in bases.values()):
        raise InputError(f"{path}: label images in both {names[0]}/ and {names[1]}/; give one of them")
    found = found or _areas(inside)
    if not found:
        return [_in_one_folder(path, inside)]
    return [] if holds_instances(path) else [replace(folder, files=_only_labels(folder.files)) for folder in found]


def _areas(inside: Listing) -> list[MaskFolder]:
    """Folders of label images in folders of areas or sites; none if a folder is not one, or is of one image's instances."""
    areas = []
    for folder in inside.folders:
        found = [] if holds_instances(folder) else map(_without_pickles, mask_folders(listing(folder)))
        areas.append([area for area in found if len(area.images) > (area.folder.name.lower() in MASKS)])
    return [folder for area in areas for folder in area] if len(areas) > 1 and all(areas) else []


def _without_pickles(folder: MaskFolder) -> MaskFolder:
    """Folder without arrays of Python objects."""
    return replace(folder, files=[file for file in folder.files if not is_pickled(file)])


def _in_one_folder(path: AnyPath, inside: Listing) -> MaskFolder:
    """Label images of a folder without a folder of masks; none if it also holds images of other kinds."""
    images = [file for file in inside.with_suffix(*IMAGE_SUFFIXES, *NPY) if not is_pickled(file)]
    documents, stems = inside.with_suffix(".json"), {file.stem for file in images}
    if masks := _of_cellpose(images):
        return MaskFolder(path, masks, [file for file in images if file not in set(masks)], is_certain=True)
    if any(stem.endswith(_TRAIN_IDS) for stem in stems) or holds_instances(path):
        return MaskFolder(path, [], [])
    if not stems.isdisjoint(file.stem for file in documents):
        return MaskFolder(path, [], [])  # images, which the documents describe
    mixed = masks_among_images(path, inside)
    if mixed is not None and not any(map(_other_kind, mixed.files[:_LOOK])):
        return mixed
    try:
        return MaskFolder(path, _only_labels(images), [])
    except NotLabelImageError:
        if not inside.folders and not documents:
            raise  # nothing else can be meant
        return MaskFolder(path, [], [])


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
    kinds = {file.suffix.lower() in LOSSY for file in files}
    for file in files:
        if len(kinds) > 1 and file.suffix.lower() in LOSSY:
            raise NotLabelImageError(
                file, f"a {file.suffix[1:].upper()} image beside others, whose compression changes values"
            )
    looked = 0
    for file in files:
        if not is_npy(file):
            if file.suffix.lower() in PNG + TIFF and not has_channels(file):
                continue
            looked += 1  # loading those that are not looked at raises the same error
        if looked <= _LOOK and (error := _other_kind(file)):
            raise error
    return files


def _other_kind(file: AnyPath) -> NotLabelImageError | None:
    """Error of an image or an array that cannot be a label image; None if it can."""
    if not is_npy(file):
        return unlike_mask(file)
    seen = unlike_labels(file)
    return NotLabelImageError(file, seen) if seen else None


READER = Reader("label-image", find, is_general=True, reads_one_file=True)
