"""The ground truth of one image, and what is known of it before it is loaded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.errors import InputError
from segprep.kernels.extents import Extents, extents, front, put_if_free

Overlap: TypeAlias = Literal["smallest", "last", "first", "error"]
"""Which instance is in front where some overlap; ``error`` allows no overlap."""

BACKGROUND = "background"
"""Name of class 0."""
MAX_FAULTS = 100
"""Faults of one kind that are kept of a mask: a photograph read as a map of segments has one for each of its colours."""
MAX_PLANES = 1024
"""Planes of one mask: each further instance is compared with all of them, so that more would take minutes."""
MAX_PLANE_BYTES = 2**31
"""Memory of the planes of one mask, 2 GiB. Real masks need a handful of planes; this is 512 of 1024 x 1024 pixels, or two of
16384 x 16384, the largest image that is read unless told otherwise."""
_FEW = 4
"""Planes that any image may have, however large, since its size was allowed."""


class Piece(NamedTuple):
    """Pixels of one instance: a bitmap and where its upper left corner lies.

    Attributes
    ----------
    y, x : int
        Row and column of the bitmap's first pixel in the image.
    pixels : (h, w) bool array
        The instance; it lies wholly inside the image.
    """

    y: int
    x: int
    pixels: BoolArray


class Fault(NamedTuple):
    """Something bad within a mask that was left out, so that the rest could be read.

    Attributes
    ----------
    kind : str
        What is wrong, in words that are the same for every fault of this kind.
    where : str
        Annotation or file within the mask, and the value that is wrong.
    """

    kind: str
    where: str


@dataclass(frozen=True, eq=False)
class InstanceMask:
    """Ground truth of one image: instances, their classes, and where there is no truth.

    Attributes
    ----------
    planes : (K, H, W) int32 array
        0 is background, ``1..N`` are the instances. Each instance lies whole in one plane and instances in one plane do
        not overlap, so an instance that hides behind another loses no pixel. K is 1 where nothing overlaps.
    classes : (N + 1,) int32 array
        Class code of each instance; ``classes[0]`` is 0, the background.
    ignore : (H, W) bool array or None
        True where nothing is known (COCO crowd, void). None stands for nowhere.
    faults : tuple of Fault
        What was left out of the mask.
    overlap : str
        Which instance is in front where some overlap: the ``smallest`` (of equals the last), the ``last`` or the ``first``.
    stuff : (H, W) int32 array or None
        Class codes of regions that have a class but no instances (sky, road); 0 elsewhere, and where instances are.
    """

    planes: LabelArray
    classes: NDArray[np.int32]
    ignore: BoolArray | None = None
    faults: tuple[Fault, ...] = ()
    overlap: Overlap = "smallest"
    stuff: LabelArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.planes.shape[1:]
        return height, width

    @property
    def areas(self) -> CountArray:
        """Pixels of each whole instance, shape (N + 1,); entry 0 is 0."""
        return self.extents.areas

    @cached_property
    def extents(self) -> Extents:
        """Area, bounding box and plane of each whole instance."""
        return extents(self.planes, len(self.classes) - 1)

    @property
    def labels(self) -> LabelArray:
        """Instance in front at each pixel, shape (H, W)."""
        return self._front[0]

    @property
    def visible(self) -> CountArray:
        """Pixels of `labels` that show each instance, shape (N + 1,); entry 0 has those of no instance."""
        return self._front[1]

    @cached_property
    def _front(self) -> tuple[LabelArray, CountArray]:
        """Labels, and how many pixels show each."""
        ranks = self._ranks() if len(self.planes) > 1 else np.zeros(0, np.intp)
        return front(self.planes, ranks, self.areas)

    @cached_property
    def codes(self) -> LabelArray:
        """Class code at each pixel, shape (H, W): of the instance in front, else of stuff, else 0."""
        codes: LabelArray = self.classes[self.labels]
        return codes if self.stuff is None else np.where(self.labels > 0, codes, self.stuff)

    def _ranks(self) -> NDArray[np.intp]:
        """Rank of each instance number, the higher in front, shape (N + 1,); 0 for the background."""
        numbers = np.arange(1, len(self.classes))
        if self.overlap == "smallest":
            order = np.lexsort((numbers, -self.areas[1:]))
        else:
            order = numbers[::-1] - 1 if self.overlap == "first" else numbers - 1
        ranks = np.zeros(len(self.classes), np.intp)
        ranks[order + 1] = numbers
        return ranks


def first_faults(faults: Iterable[Fault], *, most: int = MAX_FAULTS) -> tuple[Fault, ...]:
    """Faults without those of a kind that has too many; one more says how many they are.

    Examples
    --------
    >>> first_faults([Fault("empty", "a"), Fault("empty", "b"), Fault("empty", "c")], most=1)
    (Fault(kind='empty', where='a'), Fault(kind='empty', where='and 2 more'))
    """
    counts: dict[str, int] = {}
    kept: list[Fault] = []
    for fault in faults:
        counts[fault.kind] = counts.get(fault.kind, 0) + 1
        if counts[fault.kind] <= most:
            kept.append(fault)
    return (*kept, *(Fault(kind, f"and {count - most} more") for kind, count in counts.items() if count > most))


def mask_of_pieces(
    shape: tuple[int, int],
    pieces: Iterable[Piece],
    classes: Sequence[int],
    *,
    ignore: BoolArray | None = None,
    faults: Iterable[Fault] = (),
    where: str = "mask",
) -> InstanceMask:
    """Mask of instances that may overlap: each goes to the first plane that is free under it.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    pieces : iterable of Piece
        Pixels of the instances ``1..N``, in this order.
    classes : sequence of int
        Class codes of the instances ``1..N``; read after the pieces, and so may grow with them.
    ignore
        As in `InstanceMask`.
    faults : iterable of Fault
        What was left out; read after the pieces too.
    where : str
        File, or file and image, for the message of an error.

    Raises
    ------
    InputError
        Where so many instances lie over each other that the planes would take more than `MAX_PLANES` or
        `MAX_PLANE_BYTES`. The planes are copied once, so that at most twice that memory is taken.

    Examples
    --------
    >>> both = [Piece(0, 0, np.ones((1, 2), bool)), Piece(0, 1, np.ones((1, 2), bool))]
    >>> mask_of_pieces((1, 3), both, [1, 1]).planes
    array([[[1, 1, 0]],
    <BLANKLINE>
           [[0, 2, 2]]], dtype=int32)
    """
    planes = np.zeros((1, *shape), np.int32)
    used = 1
    most = min(MAX_PLANES, max(_FEW, MAX_PLANE_BYTES // planes.nbytes))
    for number, (y, x, pixels) in enumerate(pieces, start=1):
        if not any(put_if_free(plane, pixels, y, x, number) for plane in planes[:used]):
            if used == most:
                raise InputError(
                    f"{where}: instance {number} lies over {most} others, more than fit {shape[0]} x {shape[1]} pixels "
                    "in memory; drop repeated instances"
                )
            if used == len(planes):
                planes = _with_room(planes, min(2 * used, most))
            put_if_free(planes[used], pixels, y, x, number)
            used += 1
    return InstanceMask(planes[:used], np.array([0, *classes], np.int32), ignore, first_faults(faults))


def _with_room(planes: LabelArray, count: int) -> LabelArray:
    """As many planes, of which the first are given; the system gives memory only to those that are written to."""
    roomy = np.zeros((count, *planes.shape[1:]), np.int32)
    roomy[: len(planes)] = planes
    return roomy


class MaskRef(Protocol):
    """Where one mask is; small, immutable and picklable, so that any worker can load it."""

    @property
    def key(self) -> str:
        """Name of the mask, relative to the data set and unique in it."""
        ...

    def load(self) -> InstanceMask:
        """Read the mask.

        Raises
        ------
        InputError
            Where the mask as a whole cannot be read.
        """
        ...


@dataclass(frozen=True)
class ClassEntry:
    """One class.

    Attributes
    ----------
    code : int
        Its number in segprep; 0 is the background.
    id : int or None
        Its number in the source; None where the source has none.
    name : str
        Its name.
    is_thing : bool
        Whether it has instances (car, nucleus) rather than being stuff (sky, background).
    """

    code: int
    id: int | None
    name: str
    is_thing: bool


@dataclass(frozen=True)
class ClassTable:
    """All classes of a data set, by code.

    Code 0 is the background, always: a class that the source calls 0 gets a code of its own.

    Examples
    --------
    >>> table = class_table([(0, "cell"), (7, "debris")])
    >>> [(entry.code, entry.id, entry.name) for entry in table.entries]
    [(0, None, 'background'), (1, 0, 'cell'), (2, 7, 'debris')]
    """

    entries: tuple[ClassEntry, ...]

    def __len__(self) -> int:
        return len(self.entries)


def class_table(things: Iterable[tuple[int | None, str]]) -> ClassTable:
    """Table of the background and of thing classes, given as (source id, name) in the order of their codes.

    Weights are told by names, so a thing that is called as the background is gets another one.

    Examples
    --------
    >>> [entry.name for entry in class_table([(0, "background"), (1, "cell")]).entries]
    ['background', 'background 2', 'cell']
    """
    entries = [ClassEntry(0, None, BACKGROUND, is_thing=False)]
    entries += [
        ClassEntry(code, id_, f"{BACKGROUND} 2" if name == BACKGROUND else name, is_thing=True)
        for code, (id_, name) in enumerate(things, start=1)
    ]
    return ClassTable(tuple(entries))
