"""The ground truth of one image, and the reference from which it is loaded."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.kernels.regions import Regions, front_labels, regions

Overlap: TypeAlias = Literal["smallest", "last", "first", "error"]
"""Rule for the instance in front where some overlap; ``error`` allows no overlap."""

MAX_PROBLEMS = 100
"""Problems of one kind that are kept for a mask: a photograph read as a segment map has one for each of its colours."""


class Problem(NamedTuple):
    """A defect of the input; the rest of it can still be read.

    `kind` is the description of all problems of this kind, `where` the annotation or file within the mask, and the bad value.
    `left_out` is False for a mere warning.
    """

    kind: str
    where: str
    left_out: bool = True


class SourceValues(NamedTuple):
    """Values of a label image, from which its meaning is judged.

    Attributes
    ----------
    distinct : int
        Number of values other than 0.
    smallest : tuple of int
        The smallest of them, at most `LISTED_VALUES`.
    largest : tuple of int
        The two largest of them, the largest first; fewer if there are no two.
    commonest : int
        Value with the most pixels.
    has_background : bool
        True if a pixel is background, or ignored.
    is_scattered : bool
        True if one of the values lies in several pieces far apart; only the scan of ``instances_from="auto"`` looks for it.
    """

    distinct: int
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    commonest: int
    has_background: bool
    is_scattered: bool = False


LISTED_VALUES = 8
"""Values of a label image that are kept to name them."""


@dataclass(frozen=True, eq=False)
class InstanceMask:
    """Ground truth of one image: instances, their classes, and ignored pixels.

    Attributes
    ----------
    planes : (K, H, W) int32 array
        0 is background, ``1..N`` are the instances. Each instance lies completely in one plane and instances in one
        plane do not overlap, so an instance behind another loses no pixel. K is 1 if nothing overlaps.
    classes : (N + 1,) int32 array
        Class code of each instance; ``classes[0]`` is 0, the background.
    ignore : (H, W) bool array or None
        True on ignored pixels, which have no ground truth (COCO crowd, void). None if there are none.
    problems : tuple of Problem
        Problems of the mask.
    overlap : str
        Instance in front where some overlap: the ``smallest`` (of equals the last), the ``last`` or the ``first``.
    stuff : (H, W) int32 array or None
        Class codes of regions that have a class but no instances (sky, road); 0 elsewhere, and where instances are.
    source : SourceValues or None
        Values of a label image; None for other formats.
    """

    planes: LabelArray
    classes: NDArray[np.int32]
    ignore: BoolArray | None = None
    problems: tuple[Problem, ...] = ()
    overlap: Overlap = "smallest"
    stuff: LabelArray | None = None
    source: SourceValues | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.planes.shape[1:]
        return height, width

    @property
    def areas(self) -> CountArray:
        """Pixels of each complete instance, shape (N + 1,); entry 0 is 0."""
        return self.regions.areas

    @cached_property
    def regions(self) -> Regions:
        """Area, bounding box and plane of each complete instance."""
        return regions(self.planes, len(self.classes) - 1)

    @property
    def labels(self) -> LabelArray:
        """Instance in front at each pixel, shape (H, W)."""
        return self._front[0]

    @property
    def visible(self) -> CountArray:
        """Visible pixels of each instance in `labels`, shape (N + 1,); entry 0 counts the background."""
        return self._front[1]

    @cached_property
    def _front(self) -> tuple[LabelArray, CountArray]:
        """`labels` and `visible`; the instance of the highest rank is in front."""
        ranks = np.zeros(len(self.classes), np.intp)
        if len(self.planes) > 1:
            numbers = np.arange(1, len(self.classes))
            if self.overlap == "smallest":
                order = np.lexsort((numbers, -self.areas[1:]))
            else:
                order = numbers[::-1] - 1 if self.overlap == "first" else numbers - 1
            ranks[order + 1] = numbers
        return front_labels(self.planes, ranks, self.areas)

    @cached_property
    def class_map(self) -> LabelArray:
        """Class code at each pixel, shape (H, W): of the instance in front, else of stuff, else 0."""
        codes: LabelArray = self.classes[self.labels]
        return codes if self.stuff is None else np.where(self.labels > 0, codes, self.stuff)


def first_problems(problems: Iterable[Problem], *, most: int = MAX_PROBLEMS) -> tuple[Problem, ...]:
    """At most `most` problems of each kind; one more counts the rest of a kind.

    >>> first_problems([Problem("empty", "a"), Problem("empty", "b"), Problem("empty", "c")], most=1)
    (Problem(kind='empty', where='a', left_out=True), Problem(kind='empty', where='and 2 more', left_out=True))
    """
    counts = Counter[str]()
    kept: list[Problem] = []
    for problem in problems:
        counts[problem.kind] += 1
        if counts[problem.kind] <= most:
            kept.append(problem)
    return (*kept, *(Problem(kind, f"and {count - most} more") for kind, count in counts.items() if count > most))


class MaskRef(Protocol):
    """Location of one mask; small, immutable and picklable, so that any worker can load it.

    The refs of readers are frozen dataclasses. Beside `key` and `split` most have `file`, the path of their main file, and
    `options`, the `ReadOptions` of the run.
    """

    @property
    def key(self) -> str:
        """Name of the mask, unique in the data set: mostly the path of its file, relative to the data set."""
        ...

    @property
    def split(self) -> str | None:
        """Split by the layout of the data set: ``train``, ``val`` or ``test``; None if the layout gives none."""
        ...

    def load(self) -> InstanceMask:
        """Read the mask; InputError if it cannot be read."""
        ...
