"""TissueNet's nuclei; see `segprep.readers._compartments`."""

from segprep.paths.anypath import AnyPath
from segprep.readers._compartments import find_compartment
from segprep.readers._reader import MaskSet, Reader, ReadOptions


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the files of TissueNet (.npz with X and y), and read the nuclei; only if it is chosen by name.

    Without a choice, ``tissuenet`` reads the cells.
    """
    return find_compartment(path, options, 1, "tissuenet-nuclear")


READER = Reader("tissuenet-nuclear", find, is_general=True, reads_one_file=True)
