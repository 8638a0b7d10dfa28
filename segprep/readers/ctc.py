"""Cell Tracking Challenge: label images man_segTTT.tif of time point TTT, in 01_GT/SEG (gold truth) or 01_ST/SEG (silver).

The markers for tracking, in TRA, have the place of each cell but not its outline.

Reference: the challenge's naming and file content conventions, celltrackingchallenge.net.
"""

import re
from dataclasses import dataclass

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import Listing, listing, nearest
from segprep.readers._image import TIFF, label_values
from segprep.readers._labels import mask_of_labels
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split

_TRUTH = re.compile(r"(?P<sequence>\d{2,})_(?:gt|st)", re.IGNORECASE)
"""Name of a folder of a sequence's truth."""
_PLANE, _SLICE = re.compile(r"man_seg\d{3,}"), re.compile(r"man_seg_\d{3,}_\d{3,}")
_MARKERS = "man_track"
_DEPTH = 3


@dataclass(frozen=True)
class CtcRef:
    """One time point, whose path is the key."""

    key: str
    split: str | None
    file: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the labels; each number other than 0 is a cell."""
        values = label_values(self.file, max_pixels=self.options.max_pixels)
        return mask_of_labels(str(self.file), values, self.options)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the Cell Tracking Challenge's 01_GT/SEG/man_seg*.tif or 01_ST/SEG/man_seg*.tif, up to three folders deep.

    All sequences are read. Where a sequence has gold and silver truth, choose one: the gold truth outlines a few cells of
    an image, the silver truth most of them. Sequences in three dimensions are not supported.
    """
    if not path.is_dir():
        return None
    is_seg = path.name.upper() == "SEG" and _TRUTH.fullmatch(path.parent.name)
    truths = (
        [path.parent] if is_seg else [path] if _TRUTH.fullmatch(path.name) else nearest(path, _truths, depth=_DEPTH)
    )
    planes = {truth: _planes(truth) for truth in truths}
    files = {truth: found for truth, found in planes.items() if found}
    if not files:
        if found := [truth for truth in truths if _in(truth, "TRA", _MARKERS)]:
            raise InputError(
                f"{found[0] / 'TRA'}: markers for tracking, without outlines of cells; {found[0].name}/SEG has no man_seg*.tif"
            )
        return None
    _check_one_truth(path, list(files))
    refs = tuple(CtcRef(*with_split(name_in(path, file)), file, options) for own in files.values() for file in own)
    return MaskSet("ctc", class_table([(None, "cell")]), refs)


def _truths(inside: Listing) -> list[AnyPath]:
    """Folders of truth."""
    return [folder for folder in inside.folders if _TRUTH.fullmatch(folder.name)]


def _in(truth: AnyPath, folder: str, start: str) -> list[AnyPath]:
    """TIFF files in a folder of truth whose names begin so."""
    folders = listing(truth).named(folder.lower())
    return [file for own in folders for file in listing(own).with_suffix(*TIFF) if file.stem.startswith(start)]


def _planes(truth: AnyPath) -> list[AnyPath]:
    """Label images of a sequence; raise if they are slices of volumes."""
    files = _in(truth, "SEG", "man_seg")
    if found := [file for file in files if _SLICE.fullmatch(file.stem)]:
        raise InputError(f"{found[0]}: a slice of a 3-D sequence; volumes are not supported yet, so give 2-D sequences")
    return [file for file in files if _PLANE.fullmatch(file.stem)]


def _check_one_truth(path: AnyPath, truths: list[AnyPath]) -> None:
    """Raise if a sequence has both gold and silver truth."""
    first: dict[tuple[AnyPath, str], AnyPath] = {}
    for truth in truths:
        match = _TRUTH.fullmatch(truth.name)
        other = first.setdefault((truth.parent, match["sequence"] if match else ""), truth)
        if other != truth:
            raise InputError(
                f"{path}: gold and silver truth of one sequence: {other.name} and {truth.name}; "
                "give one of these folders, or move the others away"
            )


READER = Reader("ctc", find)
