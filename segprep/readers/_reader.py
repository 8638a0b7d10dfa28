"""What a reader is asked and what it answers."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, get_args

from segprep.errors import InputError, OptionError
from segprep.masks.classes import ClassTable
from segprep.masks.crops import InstanceCrop, mask_from_crops
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.paths.anypath import AnyPath

T = TypeVar("T")
File = TypeVar("File")

Crowd = Literal["ignore", "instance"]
Values = Literal["instances", "classes"]

MAX_PIXELS = 2**28
"""Pixels of the largest image that is read unless told otherwise: 268 Mpx, 16384 x 16384."""
MAX_INSTANCES = 2**20
"""Instances of the fullest image that is read unless told otherwise; real ones have some ten thousands at most."""


@dataclass(frozen=True)
class ReadOptions:
    """How masks are read; every ref carries it, so that a worker reads as its parent was told to.

    Attributes
    ----------
    crowd : {"ignore", "instance"}
        Whether a COCO region with ``iscrowd`` is a place without truth or an instance.
    max_pixels : int
        Largest image that is decoded, in pixels; below ``2**31``.
    max_instances : int
        Most instances of one image; below ``2**31``.
    values : {"instances", "classes"}
        What the values of a label image tell apart.
    class_pattern : str or None
        Regular expression whose group ``class`` finds the class of an instance in the name of its file; for one file per
        instance only.
    """

    crowd: Crowd = "ignore"
    max_pixels: int = MAX_PIXELS
    max_instances: int = MAX_INSTANCES
    values: Values = field(default="instances", metadata={"bound": True})
    class_pattern: str | None = None

    def __post_init__(self) -> None:
        if self.crowd not in get_args(Crowd):
            raise OptionError(f"crowd: {self.crowd!r} is unknown; choose one of {', '.join(get_args(Crowd))}")
        for name in ("max_pixels", "max_instances"):
            if not 0 < getattr(self, name) < 2**31:
                raise OptionError(f"{name}: {getattr(self, name)}; it must be from 1 to {2**31 - 1}")
        if self.class_pattern is not None:
            _check_pattern(self.class_pattern)


def _check_pattern(pattern: str) -> None:
    """Raise where a pattern is no regular expression or has no group of the class."""
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        raise OptionError(f"class_pattern: {pattern!r} is no regular expression: {error}") from error
    if "class" not in groups:
        raise OptionError(f"class_pattern: {pattern!r} has no group of the class; write it as (?P<class>...)")


def check_instances(where: str, count: int, max_instances: int) -> None:
    """Raise an InputError where an image has more instances than allowed.

    Examples
    --------
    >>> check_instances("a.png", 3, 2)
    Traceback (most recent call last):
    segprep.errors.InputError: a.png: 3 instances are more than the limit of 2; raise it with --max-instances
    """
    if count > max_instances:
        raise InputError(
            f"{where}: {count} instances are more than the limit of {max_instances}; raise it with --max-instances"
        )


def mask_from_instances(
    where: str, shape: tuple[int, int], found: Iterable[tuple[int, InstanceCrop] | Problem], options: ReadOptions
) -> InstanceMask:
    """Mask of what is found one by one; each instance is put in its place before the next is drawn.

    Parameters
    ----------
    where : str
        File, for messages.
    shape : (int, int)
        Height and width of the image in pixels.
    found : iterable of (int, InstanceCrop) or Problem
        Class code and pixels of each instance, in order, and what is wrong.
    options : ReadOptions
        How many instances there may be.

    Raises
    ------
    InputError
        Where there are too many instances.
    """
    codes: list[int] = []
    problems: list[Problem] = []

    def crops() -> Iterator[InstanceCrop]:
        for each in found:
            if isinstance(each, Problem):
                problems.append(each)
                continue
            code, crop = each
            codes.append(code)
            check_instances(where, len(codes), options.max_instances)
            yield crop

    return mask_from_crops(shape, crops(), codes, problems=problems, where=where)


def read_all_or_raise(files: Sequence[File], read: Callable[[File], T]) -> list[T | None]:
    """What each file says, None where it is damaged, as loading will say; raise what the first says where every file is."""
    found: list[T | None] = []
    errors = []
    for file in files:
        try:
            found.append(read(file))
        except InputError as error:
            errors.append(error)
            found.append(None)
    if len(errors) == len(files):
        raise errors[0]
    return found


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
        What was left out because it belongs to none of the masks, with the name of its file.
    """

    format: str
    classes: ClassTable
    refs: tuple[MaskRef, ...]
    problems: tuple[tuple[str, Problem], ...] = ()


class Reader(Protocol):
    """A reader: says which masks lie at a path.

    The first line of its docstring is what the user reads about the layout.
    """

    def __call__(self, path: AnyPath, options: ReadOptions, /) -> MaskSet | None:
        """Masks at `path`, or None where the layout is another one."""
        ...
