"""Interface of the readers: options, result, and the parts that most of them share."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

from segprep.errors import InputError, OptionError
from segprep.masks.classes import ClassTable
from segprep.masks.crops import InstanceCrop, mask_from_crops
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.masks.splits import file_split, folder_split
from segprep.paths.anypath import AnyPath, name_in

T = TypeVar("T")
File = TypeVar("File")

Crowd = Literal["ignore", "instance"]
Values = Literal["instances", "classes"]

MAX_PIXELS = 2**28
"""Default limit of the pixels of an image: 268 Mpx, 16384 x 16384."""
MAX_INSTANCES = 2**20
"""Default limit of the instances of an image; real ones have some ten thousands at most."""


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading masks. Every ref carries them, so that each worker reads in the same way.

    Attributes
    ----------
    crowd : {"ignore", "instance"}
        Ignore the pixels of COCO's iscrowd regions, or make each of them an instance.
    max_pixels : int
        Refuse larger images, in pixels.
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
    max_pixels: int = MAX_PIXELS
    max_instances: int = MAX_INSTANCES
    values: Values = field(default="instances", metadata={"bound": True})
    background: int | None = None
    ignore: int | None = None
    class_pattern: str | None = None

    def __post_init__(self) -> None:
        if self.crowd not in get_args(Crowd):
            raise OptionError(f"crowd={self.crowd!r}: unknown; choose one of {', '.join(get_args(Crowd))}")
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
        names = ", ".join(name_in(folder, file) for file in files)
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


def mask_from_instances(
    where: str, shape: tuple[int, int], found: Iterable[tuple[int, InstanceCrop] | Problem], options: ReadOptions
) -> InstanceMask:
    """Mask of instances that are drawn one by one; each is pasted into the planes before the next is drawn.

    `found` gives the class code and pixels of each instance, in order, and problems; `where` is the file, for messages.
    """
    codes: list[int] = []
    problems: list[Problem] = []

    def crops() -> Iterator[InstanceCrop]:
        for item in found:
            if isinstance(item, Problem):
                problems.append(item)
                continue
            code, crop = item
            codes.append(code)
            check_instances(where, len(codes), options.max_instances)
            yield crop

    return mask_from_crops(shape, crops(), codes, problems=problems, where=where)


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
    """

    format: str
    classes: ClassTable
    refs: tuple[MaskRef, ...]
    problems: tuple[tuple[str, Problem], ...] = ()
    notices: tuple[tuple[str, Problem], ...] = ()


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
    """

    name: str
    find: Callable[[AnyPath, ReadOptions], MaskSet | None]
    is_general: bool = False
    reads_one_file: bool = False

    @property
    def layout(self) -> str:
        """Layout that the reader looks for: the first line of the docstring of `find`."""
        return (inspect.getdoc(self.find) or "").partition("\n")[0].removeprefix("Find ").rstrip(".")
