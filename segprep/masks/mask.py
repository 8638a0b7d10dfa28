"""The ground truth of one image, and the reference from which it is loaded."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.kernels.lookup import counts, lookup
from segprep.kernels.regions import Regions, front_labels, regions

A = TypeVar("A", bound=NDArray[Any])
N = TypeVar("N", bound=np.generic)

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
    """

    distinct: int
    smallest: tuple[int, ...]
    largest: tuple[int, ...]
    commonest: int
    has_background: bool


LISTED_VALUES = 8
"""Values of a label image that are kept to name them."""


@dataclass(frozen=True, eq=False)
class InstanceMask:
    """Ground truth of one image: instances, their classes, and ignored pixels; its arrays are read-only.

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
    crowd : (H, W) bool array or None
        Pixels that are ignored where no instance covers them, also those that one covers; of formats that have such regions.
    """

    planes: LabelArray
    classes: NDArray[np.int32]
    ignore: BoolArray | None = None
    problems: tuple[Problem, ...] = ()
    overlap: Overlap = "smallest"
    stuff: LabelArray | None = None
    source: SourceValues | None = None
    crowd: BoolArray | None = None

    def __post_init__(self) -> None:
        for name in ("planes", "classes", "ignore", "stuff", "crowd"):
            if isinstance(array := getattr(self, name), np.ndarray) and array.flags.writeable:
                object.__setattr__(self, name, _read_only(array.view()))

    def __repr__(self) -> str:
        height, width = self.shape
        planes = "" if len(self.planes) == 1 else f" in {len(self.planes)} planes"
        return f"<InstanceMask of {height} x {width} pixels: {len(self.classes) - 1} instances{planes}>"

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
        labels, visible = front_labels(self.planes, self.ranks, self.regions)
        return _read_only(labels), _read_only(visible)

    @cached_property
    def ranks(self) -> NDArray[np.intp]:
        """Higher for instances in front, shape (N + 1,); all 0 if there is one plane."""
        ranks = np.zeros(len(self.classes), np.intp)
        if len(self.planes) > 1:
            numbers = np.arange(1, len(self.classes))
            if self.overlap == "smallest":
                order = np.lexsort((numbers, -self.areas[1:]))
            else:
                order = numbers[::-1] - 1 if self.overlap == "first" else numbers - 1
            ranks[order + 1] = numbers
        return ranks

    def with_labels(self, labels: LabelArray) -> "InstanceMask":
        """The same mask with other instances in front: those of `labels`, shape (H, W)."""
        mask = replace(self)
        visible = counts(labels, len(self.classes))
        mask.__dict__["_front"] = _read_only(labels), _read_only(visible)
        return mask

    @cached_property
    def class_map(self) -> LabelArray:
        """Class code at each pixel, shape (H, W): of the instance in front, else of stuff, else 0."""
        return _read_only(self.by_class(np.arange(self.largest_code + 1, dtype=np.int32)))

    @property
    def largest_code(self) -> int:
        """Largest class code, also of an instance that is hidden."""
        return int(self.classes.max() if self.stuff is None else max(self.classes.max(), self.stuff.max()))

    def by_class(self, values: NDArray[N]) -> NDArray[N]:
        """Value of the class at each pixel, shape (H, W), from one for each class code up to `largest_code`.

        Examples
        --------
        >>> mask = InstanceMask(np.array([[[0, 1, 2]]], np.int32), np.array([0, 1, 1], np.int32))
        >>> mask.by_class(np.array([0.5, 2.0]))
        array([[0.5, 2. , 2. ]])
        """
        found = lookup(values.take(self.classes), self.labels)
        if self.stuff is not None:
            np.copyto(found, lookup(values, self.stuff), where=self.labels == 0)
        return found


def _read_only(array: A) -> A:
    """The array, made read-only: labels and planes share their memory, and targets share a mask."""
    array.flags.writeable = False
    return array


def mask_problem(mask: object, n_classes: int | None = None) -> str | None:
    """Problem of a mask in a few words; None if it is as `InstanceMask` describes, with fewer codes than `n_classes`.

    Examples
    --------
    >>> mask_problem(InstanceMask(np.array([[[0, 1, 3]]], np.int32), np.array([0, 1, 1], np.int32)))
    'planes hold the instances 0 to 3, but classes has 1 to 2'
    """
    if not isinstance(mask, InstanceMask):
        return f"returned {type(mask).__name__}, not an InstanceMask"
    if not (_is_array(mask.planes, np.int32, 3) and mask.planes.size):
        return f"planes is {_form(mask.planes)}; must be a (K, H, W) int32 array with at least one pixel"
    if not (_is_array(mask.classes, np.int32, 1) and mask.classes.size and mask.classes[0] == 0):
        return f"classes is {_form(mask.classes)}; must be a (N + 1,) int32 array that begins with 0"
    for name, array, dtype in (("ignore", mask.ignore, np.bool_), ("stuff", mask.stuff, np.int32)):
        if array is not None and not (_is_array(array, dtype, 2) and array.shape == mask.shape):
            return f"{name} is {_form(array)}; must be a {mask.shape} {np.dtype(dtype)} array or None"
    if not (isinstance(mask.problems, tuple) and all(isinstance(problem, Problem) for problem in mask.problems)):
        return "problems must be a tuple of Problem"
    return _numbering_problem(mask) or (None if n_classes is None else _class_problem(mask, n_classes))


def _is_array(value: object, dtype: type[np.generic], dimensions: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == dimensions


def _form(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _numbering_problem(mask: InstanceMask) -> str | None:
    """Problem of a mask whose instances are not 1 to N, each in one plane."""
    count, least, most = len(mask.classes) - 1, int(mask.planes.min()), int(mask.planes.max())
    if least < 0 or most > count:
        return f"planes hold the instances {least} to {most}, but classes has 1 to {count}"
    planes_of = sum(np.bincount(plane.ravel(), minlength=count + 1)[1:] > 0 for plane in mask.planes.astype(np.intp))
    wrong = np.flatnonzero(np.asarray(planes_of) != 1)
    if not wrong.size:
        return None
    found = int(np.asarray(planes_of)[wrong[0]])
    return f"instance {wrong[0] + 1} has " + (f"pixels in {found} planes; must be one" if found else "no pixel")


def _class_problem(mask: InstanceMask, n_classes: int) -> str | None:
    """Problem of a mask with codes that are not among the classes."""
    most = n_classes - 1
    wrong = np.flatnonzero((mask.classes[1:] < 1) | (mask.classes[1:] > most)) + 1
    if wrong.size:
        return f"instance {wrong[0]} has the class code {mask.classes[wrong[0]]}; must be from 1 to {most}, see classes"
    if mask.stuff is not None and (mask.stuff.min() < 0 or mask.stuff.max() > most):
        return f"stuff holds the class codes {mask.stuff.min()} to {mask.stuff.max()}; must be from 0 to {most}"
    return None


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

    The refs of readers are frozen dataclasses or structs. Beside `key` and `split` most have `file`, the path of their main
    file, and `options`, the `ReadOptions` of the run; some have `image`, the path of the image that the mask belongs to.
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
