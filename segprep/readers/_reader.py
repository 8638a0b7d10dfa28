"""Interface of the readers: options, result, and the parts that most of them share."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

from segprep.arrays import BoolArray
from segprep.errors import InputError, OptionError, check_fields, some
from segprep.masks.classes import ClassTable
from segprep.masks.crops import InstanceCrop, mask_from_crops
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.masks.regions import RegionRule
from segprep.masks.rle import BadRegionError
from segprep.masks.splits import file_split, folder_split
from segprep.paths.anypath import AnyPath, name_in

P = ParamSpec("P")
T = TypeVar("T")
File = TypeVar("File")

Crowd = Literal["ignore", "instance"]
Values = Literal["instances", "classes"]
Instance: TypeAlias = tuple[int, InstanceCrop | Problem] | Problem
"""Class code and pixels of an instance, or its problem."""

MAX_PIXELS = 2**28
"""Default limit of the pixels of an image: 268 Mpx, 16384 x 16384."""
MAX_INSTANCES = 2**20
"""Default limit of the instances of an image; real ones have some ten thousands at most."""

IGNORED_CODE = -1
"""In place of a class code: pixels of a region that are ignored where no instance covers them."""


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading masks. Every ref carries them, so that each worker reads in the same way.

    Attributes
    ----------
    crowd : {"ignore", "instance"}
        Ignore the pixels of COCO's iscrowd regions, or make each of them an instance.
    boxes_as_masks : bool
        Fill the bounding box of an instance that has no outline, in COCO and YOLO files, and make it its mask.
    max_pixels : int
        Refuse larger images, in pixels; with tiles, label images in TIFF, OME-Zarr and NPY, and QuPath's polygons, are then
        read tile by tile.
    max_instances : int
        Refuse images with more instances.
    values : {"instances", "classes"}
        Meaning of the values of a label image.
    background : int or None
        Further value of label images that is background, besides 0: 1 for ilastik, 255 where the background is white.
    ignore : int or None
        Value of label images that marks pixels without ground truth, such as 255 of void.
    class_pattern : str or None
        Class by file name: a regular expression with a group (?P<class>...), for instance-png.
    """

    crowd: Crowd = "ignore"
    boxes_as_masks: bool = False
    max_pixels: int = MAX_PIXELS
    max_instances: int = MAX_INSTANCES
    values: Values = field(default="instances", metadata={"bound": True})
    background: int | None = None
    ignore: int | None = None
    class_pattern: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("max_pixels", "max_instances"):
            if not 0 < getattr(self, name) < 2**31:
                raise OptionError(f"{name}={getattr(self, name)}: must be from 1 to {2**31 - 1}")
        for name in ("background", "ignore"):
            if not 0 <= (getattr(self, name) or 0) < 2**63:
                raise OptionError(f"{name}={getattr(self, name)}: must be a value of pixels, from 0 to {2**63 - 1}")
        if self.ignore is not None and self.ignore == self.background:
            raise OptionError(f"ignore={self.ignore}: is also the background; give two different values")
        if self.class_pattern is not None:
            pattern = f"class_pattern={self.class_pattern!r}"
            try:
                groups = re.compile(self.class_pattern).groupindex
            except (re.error, RecursionError, OverflowError) as error:
                raise OptionError(f"{pattern}: not a regular expression: {error}") from error
            if "class" not in groups:
                raise OptionError(f"{pattern}: has no group of the class; write it as (?P<class>...)")


def with_split(key: str) -> tuple[str, str | None]:
    """Key of a mask and the split that its folders give: the first two fields of its ref."""
    return key, folder_split(key)


def key_in(split: str | None, name: str) -> str:
    """Key of a mask or a file of this name, which begins with the split if the data set's files give one."""
    return name if split is None else f"{split}/{name}"


def splits_of_files(folder: AnyPath, files: Sequence[AnyPath], content: str) -> list[str | None]:
    """Split of each of several files of one data set; raise if one has none, or two have the same."""
    splits = [file_split(file) for file in files]
    if None in splits or len(set(splits)) < len(splits):
        names = some(name_in(folder, file) for file in files)
        raise InputError(
            f"{folder}: {len(files)} {content} files: {names}; give one of them, or one for each of train, val and test"
        )
    return splits


def check_instances(where: str, count: int, max_instances: int) -> None:
    """Raise an InputError if an image has more instances than allowed.

    Examples
    --------
    >>> check_instances("a.png", 3, 2)
    Traceback (most recent call last):
    segprep.errors.InputError: a.png: 3 instances are more than max_instances=2; raise the limit
    """
    if count > max_instances:
        raise InputError(f"{where}: {count} instances are more than max_instances={max_instances}; raise the limit")


def drawn(where: str, draw: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T | Problem:
    """Result of a call that draws or decodes the region `where` of a mask; its problem if it is invalid."""
    try:
        return draw(*arguments, **keywords)
    except BadRegionError as error:
        return Problem(error.kind, f"{where}: {error.value}")


def mask_from_instances(
    where: str, shape: tuple[int, int], instances: Iterable[Instance], options: ReadOptions, *, listed: int = 0
) -> InstanceMask:
    """Mask of instances that are drawn one by one; each is pasted into the planes before the next is drawn.

    `where` is the file, for messages; `listed` is the number of instances if it is known before any is drawn. The class code
    of a region may be `IGNORED_CODE`.
    """
    from segprep.readers._image import check_size  # noqa: PLC0415 - imports Pillow

    check_size(where, shape, options.max_pixels)
    check_instances(where, listed, options.max_instances)
    codes: list[int] = []
    problems: list[Problem] = []
    ignore: BoolArray | None = None

    def crops() -> Iterator[InstanceCrop]:
        nonlocal ignore
        for item in instances:
            code, crop = (0, item) if isinstance(item, Problem) else item
            if isinstance(crop, Problem):
                problems.append(crop)
                continue
            if code == IGNORED_CODE:
                ignore = np.zeros(shape, np.bool_) if ignore is None else ignore
                y, x, pixels = crop
                ignore[y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels
                continue
            codes.append(code)
            check_instances(where, len(codes), options.max_instances)
            yield crop

    mask = mask_from_crops(shape, crops(), codes, problems=problems, where=where)
    return mask if ignore is None else replace(mask, ignore=ignore & ~(mask.planes > 0).any(axis=0), crowd=ignore)


def read_all_or_raise(files: Sequence[File], read: Callable[[File], T]) -> list[T | None]:
    """Content of each file, None for a damaged one, which raises its error when loaded; raise the first if all are damaged."""
    contents: list[T | None] = []
    errors = []
    for file in files:
        try:
            contents.append(read(file))
        except InputError as error:
            errors.append(error)
            contents.append(None)
    if len(errors) == len(files):
        raise errors[0]
    return contents


@dataclass(frozen=True)
class MaskSet:
    """The masks of a data set, found but not yet read.

    Attributes
    ----------
    format : str
        Name of the reader that found them.
    classes : ClassTable
        Their classes.
    refs : tuple of MaskRef
        The masks, in an order that does not depend on the file system.
    problems : tuple of (str, Problem)
        Name of the file, and problem, where it belongs to none of the masks.
    notices : tuple of (str, Problem)
        The same for decisions about the data that a user should know, where nothing is wrong.
    regions : RegionRule or None
        Rule of the annotated regions, outside of which the refs ignore all pixels; None if there are none.
    """

    format: str
    classes: ClassTable
    refs: tuple[MaskRef, ...]
    problems: tuple[tuple[str, Problem], ...] = ()
    notices: tuple[tuple[str, Problem], ...] = ()
    regions: RegionRule | None = None

    def __repr__(self) -> str:
        return f"<MaskSet of {self.format}: {len(self.refs):,} masks, {len(self.classes):,} classes>"


@dataclass(frozen=True)
class Reader:
    """Reader of one format.

    Attributes
    ----------
    name : str
        Name of the format.
    find : callable
        Masks at a path, or None if the layout there is not the reader's. It raises an `InputError` if it recognises the
        layout but cannot read it. Users read the first line of its docstring, "Find ...".
    is_general : bool
        True if the layout is so plain that any other reader which recognises the data knows more of them.
    reads_one_file : bool
        True if the reader, given a single file, opens no other.
    opens_hidden : bool
        True if the reader opens hidden files, or files of Zarr groups, which are no part of other data sets.
    opens_others : bool
        True if a ref of the reader opens files whose paths it does not have in its fields.
    """

    name: str
    find: Callable[[AnyPath, ReadOptions], MaskSet | None]
    is_general: bool = False
    reads_one_file: bool = False
    opens_hidden: bool = False
    opens_others: bool = False

    @property
    def layout(self) -> str:
        """Layout that the reader looks for: the first line of the docstring of `find`."""
        return (inspect.getdoc(self.find) or "").partition("\n")[0].removeprefix("Find ").rstrip(".")
