"""Arrays computed from one mask, for training.

A target is one file: a kernel (NumPy in, NumPy out) and a frozen dataclass that binds its parameters. Its fields are
at once the parameters, the command's options and the array's attributes.
"""

from typing import Any, ClassVar, Protocol, Self

from numpy.typing import NDArray

from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.border import Border
from segprep.targets.boundaries import Boundaries
from segprep.targets.classes import Classes
from segprep.targets.distance import Distance
from segprep.targets.labels import Labels
from segprep.targets.weights import Weights

__all__ = ["TARGETS", "Border", "Boundaries", "Classes", "Distance", "Labels", "Target", "Weights"]


class Target(Protocol):
    """One array per mask.

    Attributes
    ----------
    name : str
        The array's name in the store.
    version : int
        Counts the changes of what it computes, so that an older store is told apart.
    dtype : str
        NumPy name of the array's type.
    channels : int
        Length of the dimension for classes; 0 where there is none.
    fill : float
        What a reader sees where a shard is missing: a value that cannot be mistaken for data.
    pad : float
        What surrounds a mask that is smaller than its canvas.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def dtype(self) -> str:
        """See the class."""
        ...

    @property
    def channels(self) -> int:
        """See the class."""
        ...

    @property
    def fill(self) -> float:
        """See the class."""
        ...

    @property
    def pad(self) -> float:
        """See the class."""
        ...

    def fit(self, train: Counts, everything: Counts) -> Self:
        """Bind what depends on the whole data set: class weights on the train split, dtypes on everything."""
        ...

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Array of `mask`, shape (H, W) or (channels, H, W)."""
        ...


TARGETS: tuple[type[Target], ...] = (Labels, Classes, Weights, Border, Boundaries, Distance)
"""In the order in which they are written."""
