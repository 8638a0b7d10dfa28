"""Label images: one PNG or TIFF per image, in which every value but 0 is an instance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.mask import InstanceMask, LabelArray, class_table
from segprep.readers._folder import PICTURES, Listing, listing
from segprep.readers._image import PNG, TIFF, is_picture, label_values
from segprep.readers._masks import Masks, ReadOptions
from segprep.readers.instance_png import is_one_image
from segprep.splits import FOLDERS


@dataclass(frozen=True)
class LabelImageRef:
    """One label image.

    Attributes
    ----------
    key : str
        The file, relative to the data set.
    file : Path
        Where it is.
    options : ReadOptions
        How to read it.
    values : tuple of int
        Values that are classes, in the order of their codes; empty where each is an instance.
    """

    key: str
    file: Path
    options: ReadOptions
    values: tuple[int, ...] = ()

    def load(self) -> InstanceMask:
        """Read the labels and number them without gaps."""
        found = label_values(self.file, max_pixels=self.options.max_pixels)
        labels = numbered(found)
        classes = np.ones(int(labels.max()) + 1, np.int32)
        classes[0] = 0
        if self.values:
            classes[1:] = 1 + np.searchsorted(self.values, distinct(found))
        return InstanceMask(labels[np.newaxis], classes)


def find(path: Path, options: ReadOptions) -> Masks | None:
    """Find PNG or TIFF label images (one channel), itself or alone in the folder or in its labels/ or masks/.

    Every value but 0 is an instance. PNG of 1, 8 or 16 bits or with a palette, whose indices count; TIFF of integers
    with a single page. The same in folders train/, val/ and test/, around labels/ or masks/ or inside of them. Beside
    ``labels/`` or ``masks/`` there may be ``images/``; where that holds one picture and ``masks/`` several PNG, these are
    its instances and no label images.
    """
    files = _label_files(path)
    if not files:
        return None
    root = path if path.is_dir() else path.parent
    values = _classes_in(files, options) if options.values == "classes" else ()
    refs = tuple(LabelImageRef(file.relative_to(root).as_posix(), file, options, values) for file in files)
    names = [(value, f"class {value}") for value in values] if len(values) > 1 else [(None, values and "foreground")]
    return Masks("label-image", class_table([(id_, name or "instance") for id_, name in names]), refs)


def _classes_in(files: list[Path], options: ReadOptions) -> tuple[int, ...]:
    """All values but 0 in label images whose values are classes."""
    found: set[int] = set()
    for file in files:
        found.update(distinct(label_values(file, max_pixels=options.max_pixels)).tolist())
    return tuple(sorted(found))


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Distinct values other than 0, in ascending order."""
    found = np.unique(values)
    return np.asarray(found[found != 0])


def numbered(values: NDArray[Any]) -> LabelArray:
    """Labels without gaps: the distinct values other than 0, in ascending order, become ``1..N``.

    Parameters
    ----------
    values : (H, W) integer or bool array
        0 is background; none is negative.

    Returns
    -------
    (H, W) int32 array

    Examples
    --------
    >>> numbered(np.array([[0, 70000, 3, 70000]]))
    array([[0, 2, 1, 2]], dtype=int32)
    """
    codes = values.astype(np.uint8) if values.dtype == np.bool_ else values
    peak = int(codes.max())
    if peak >= codes.size + 2**16:  # too large for a table, which is ten times faster than sorting
        distinct, codes = np.unique(codes, return_inverse=True)
        offset = int(distinct[0] != 0)
        return np.asarray(codes.reshape(values.shape) + offset, np.int32)
    present = np.zeros(peak + 1, np.bool_)
    present[codes] = True
    present[0] = False
    labels: LabelArray = np.cumsum(present, dtype=np.int32)[codes]
    return labels


def _label_files(path: Path) -> list[Path]:
    """Label images at `path`, by name; none where the layout is another one."""
    if not path.is_dir():
        return _only_labels([path]) if path.suffix.lower() in PNG + TIFF else []
    inside = listing(path)
    parts = [folder for folder in inside.folders if folder.name.lower() in FOLDERS]
    if parts:
        return [file for part in parts for file in _label_files(part)]
    named = [folder for folder in inside.named("labels", "masks") if listing(folder).with_suffix(*PNG, *TIFF)]
    if len(named) > 1:
        raise InputError(f"{path}: label images in both {named[0].name}/ and {named[1].name}/; give one of them")
    if named:
        return [] if is_one_image(path) else _only_labels(listing(named[0]).with_suffix(*PNG, *TIFF))
    if divided := [folder for folder in inside.named("labels", "masks") if listing(folder).named(*FOLDERS)]:
        return _label_files(divided[0])
    return _direct_files(inside)


def _direct_files(inside: Listing) -> list[Path]:
    """Label images of a folder without ``labels/`` or ``masks/``; none where it also holds pictures of other kinds."""
    pictures = inside.with_suffix(*PICTURES)
    if not inside.folders and not inside.with_suffix(".json"):
        return _only_labels(pictures)  # nothing else can be meant, so say what is wrong
    return [] if any(map(_is_no_label, pictures)) else pictures


def _only_labels(files: list[Path]) -> list[Path]:
    """Return the files; raise where one is a picture of another kind."""
    for file in files:
        if _is_no_label(file):
            raise InputError(
                f"{file}: a picture, no label image; give PNG or TIFF files of one channel, each value an instance"
            )
    return files


def _is_no_label(file: Path) -> bool:
    """Whether a picture cannot be a label image."""
    return file.suffix.lower() not in PNG + TIFF or is_picture(file)
