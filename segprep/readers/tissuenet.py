"""TissueNet's cells; see `segprep.readers._compartments`."""

from segprep.paths.anypath import AnyPath
from segprep.readers._compartments import find_compartment
from segprep.readers._reader import MaskSet, Reader, ReadOptions


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find TissueNet's .npz with X and y (N, H, W, 2), itself or one for each split, and read the cells.

    The nuclei of the same images are read by ``tissuenet-nuclear``.
    """
    return find_compartment(path, options, 0, "tissuenet")


READER = Reader("tissuenet", find, reads_one_file=True)
