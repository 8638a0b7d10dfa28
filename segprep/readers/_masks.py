"""What a reader is asked and what it answers."""

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
    """

    crowd: Crowd = "ignore"
    max_pixels: int = MAX_PIXELS
    values: Values = "instances"

    def __post_init__(self) -> None:
        if self.crowd not in get_args(Crowd):
            raise OptionError(f"crowd: {self.crowd!r} is unknown; choose one of {', '.join(get_args(Crowd))}")
        if not 0 < self.max_pixels < 2**31:
            raise OptionError(f"max_pixels: {self.max_pixels}; it must be from 1 to {2**31 - 1}")


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
