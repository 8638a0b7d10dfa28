"""What a reader is asked and what it answers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from segprep.errors import OptionError
from segprep.mask import ClassTable, Fault, MaskRef

Crowd = Literal["ignore", "instance"]
Values = Literal["instances", "classes"]

MAX_PIXELS = 2**28
"""Pixels of the largest image that is read unless told otherwise: 268 Mpx, 16384 x 16384."""


@dataclass(frozen=True)
class ReadOptions:
    """How masks are read; every ref carries it, so that a worker reads as its parent was told to.

    Attributes
    ----------
    crowd : {"ignore", "instance"}
        Whether a COCO region with ``iscrowd`` is a place without truth or an instance.
    max_pixels : int
        Largest image that is decoded, in pixels; below ``2**31``.
    values : {"instances", "classes"}
        What the values of a label image tell apart.
    class_pattern : str or None
        Regular expression whose group ``class`` finds the class of an instance in the name of its file; for one file per
        instance only.
    """

    crowd: Crowd = "ignore"
    max_pixels: int = MAX_PIXELS
    values: Values = "instances"
    class_pattern: str | None = None

    def __post_init__(self) -> None:
        if self.crowd not in get_args(Crowd):
            raise OptionError(f"crowd: {self.crowd!r} is unknown; choose one of {', '.join(get_args(Crowd))}")
        if not 0 < self.max_pixels < 2**31:
            raise OptionError(f"max_pixels: {self.max_pixels}; it must be from 1 to {2**31 - 1}")
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


@dataclass(frozen=True)
class Masks:
    """The masks of a data set, found but not yet read.

    Attributes
    ----------
    format : str
        Name of the reader that found them.
    classes : ClassTable
        Their classes.
    refs : tuple of MaskRef
        The masks, in an order that does not depend on the file system.
    faults : tuple of (str, Fault)
        What was left out because it belongs to none of the masks, with the name of its file.
    """

    format: str
    classes: ClassTable
    refs: tuple[MaskRef, ...]
    faults: tuple[tuple[str, Fault], ...] = ()


class Find(Protocol):
    """A reader: says which masks lie at a path.

    The first line of its docstring is what the user reads about the layout.
    """

    def __call__(self, path: Path, options: ReadOptions, /) -> Masks | None:
        """Masks at `path`, or None where the layout is another one."""
        ...
