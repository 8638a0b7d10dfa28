"""Telling instances apart: in semantic masks, and where instances touch."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.ndimage import generate_binary_structure, label, maximum, maximum_position
from skimage.feature import peak_local_max
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import InputError, OptionError
from segprep.kernels.boundaries import FARTHEST, near_others
from segprep.kernels.to_other import distance_to_other
from segprep.masks.mask import InstanceMask, Overlap

Origin: TypeAlias = Literal["as-is", "components", "watershed"]
"""Where instances come from."""

Separation: TypeAlias = int | Literal["falk2019"]
"""Pixels between instances that touch, or the rule of a preset."""

NECK = 0.75
"""Pixels by which the depth falls between two centres: less is a step of the grid on a ridge, and no neck."""


def separated(mask: InstanceMask, how: Separation) -> InstanceMask:
    """Mask whose touching instances have background between them.

    Parameters
    ----------
    mask : InstanceMask
        The ground truth.
    how : int or "falk2019"
        Pixels of an instance that lie within so many pixels (chessboard distance) of another one become background; an
        instance that would vanish keeps its innermost pixels. 0 changes nothing. ``falk2019`` is the rule of the U-Net
        authors' plug-in: a pixel that has another instance of its class among its upper left, upper, upper right and left
        neighbours becomes background.

    References
    ----------
    T. Falk et al.: U-Net: deep learning for cell counting, detection, and morphometry, Nature Methods 2019.

    Examples
    --------
    >>> touching = InstanceMask(np.array([[[1, 1, 1, 2, 2]]], np.int32), np.array([0, 1, 1], np.int32))
    >>> separated(touching, 1).planes[0]
    array([[1, 1, 0, 0, 2]], dtype=int32)
    >>> separated(touching, "falk2019").planes[0]
    array([[1, 1, 1, 0, 2]], dtype=int32)
    """
    if how == 0 or len(mask.classes) <= 2:  # noqa: PLR2004 - the background and one instance
        return mask
    if how == "falk2019":
        return replace(mask, planes=_cut_after(mask))
    removed = near_others(mask.planes, how)
    planes = np.where(removed, 0, mask.planes)
    return replace(mask, planes=_with_innermost(planes, mask.planes))


def _cut_after(mask: InstanceMask) -> LabelArray:
    """Planes without the pixels that follow another instance of their class in reading order."""
    height, width = mask.shape
    framed = np.pad(mask.planes, ((0, 0), (1, 0), (1, 1)))
    cut = np.zeros(mask.planes.shape, np.bool_)
    for plane in framed:
        for dy, dx in ((0, 0), (0, 1), (0, 2), (1, 0)):
            other = plane[dy : dy + height, dx : dx + width]
            same_class = mask.classes[other] == mask.classes[mask.planes]
            cut |= (other > 0) & (mask.planes > 0) & (other != mask.planes) & same_class
    return np.where(cut, 0, mask.planes)


def _with_innermost(planes: LabelArray, whole: LabelArray) -> LabelArray:
    """Planes in which each instance that has vanished has its innermost pixels back."""
    for plane, before in zip(planes, whole, strict=True):
        gone = np.setdiff1d(before, plane)
        if not gone.size:
            continue
        depth = distance_to_other(before)
        deepest = maximum(depth, before, index=gone)
        for number, most in zip(gone, np.atleast_1d(deepest), strict=True):
            plane[(before == number) & (depth == most)] = number
    return planes


def split_instances(mask: InstanceMask, how: Origin, *, connectivity: int = 8, min_distance: int = 5) -> InstanceMask:
    """Mask whose instances are found anew within each class, for masks that only tell classes apart.

    Parameters
    ----------
    mask : InstanceMask
        Its instances, and its stuff, are regions of a class.
    how : {"as-is", "components", "watershed"}
        ``components``: connected pixels are one instance. ``watershed``: also parts that are joined by a narrow neck are told
        apart, by a watershed on the distance to the outside.
    connectivity : {4, 8}
        Whether pixels that share a corner alone are connected.
    min_distance : int
        Pixels between the centres of two instances, for ``watershed``.

    Examples
    --------
    >>> cells = InstanceMask(np.array([[[1, 1, 0, 1]]], np.int32), np.array([0, 3], np.int32))
    >>> split_instances(cells, "components").planes[0]
    array([[1, 1, 0, 2]], dtype=int32)
    >>> split_instances(cells, "components").classes
    array([0, 3, 3], dtype=int32)
    """
    if how == "as-is":
        return mask
    structure = generate_binary_structure(2, 1 if connectivity == 4 else 2)  # noqa: PLR2004 - neighbours
    planes = np.zeros_like(mask.planes)
    classes = [np.zeros(1, np.int32)]
    count = 0
    codes = mask.classes[mask.planes]
    if mask.stuff is not None:
        codes[0] = np.where(mask.labels > 0, codes[0], mask.stuff)
    for plane, found in zip(codes, planes, strict=True):
        for code in np.setdiff1d(plane, 0):
            region = plane == code
            parts, number = label(region, structure)
            if how == "watershed":
                parts, number = _watershed(region, parts, connectivity, min_distance)
            found[region] = parts[region] + count
            count += number
            classes.append(np.full(number, code, np.int32))
    return replace(mask, planes=planes, classes=np.concatenate(classes), stuff=None)


def _watershed(region: BoolArray, parts: LabelArray, connectivity: int, min_distance: int) -> tuple[LabelArray, int]:
    """Parts of a region around its centres; every connected part has at least one."""
    depth = distance_to_other(np.pad(region, 1).astype(np.int32))[1:-1, 1:-1] * region
    centres = _centres(depth, parts, min_distance)
    seeds = np.zeros(region.shape, np.int32)
    seeds[tuple(np.array(centres).T)] = np.arange(1, len(centres) + 1)
    found = watershed(-depth, seeds, mask=region, connectivity=1 if connectivity == 4 else 2)  # noqa: PLR2004
    return found, len(centres)


def _centres(depth: FloatArray, parts: LabelArray, min_distance: int) -> list[tuple[int, int]]:
    """Deepest pixels (y, x) of the domes of `depth` that rise by `NECK`, at least one in every part."""
    domes, _ = label(h_maxima(depth, NECK), generate_binary_structure(2, 2))
    peaks = peak_local_max(depth, min_distance=min_distance, labels=parts, exclude_border=False)
    dome_of = domes[tuple(peaks.T)]
    tops, first = np.unique(dome_of, return_index=True)
    peaks = peaks[np.sort(first[tops > 0])]
    lonely = np.setdiff1d(parts, np.append(parts[tuple(peaks.T)], 0))
    return [*map(tuple, peaks), *maximum_position(depth, parts, lonely)]


@dataclass(frozen=True)
class InstanceRule:
    """How instances are told apart, between reading a mask and computing from it.

    Attributes
    ----------
    instances_from, connectivity, min_distance
        As in `split_instances`.
    overlap : str
        Which instance is in front where some overlap: ``smallest`` (of equals the last), ``last``, ``first``; or ``error``.
    separate : int or "falk2019"
        As in `separated`.
    """

    instances_from: Origin = "as-is"
    connectivity: int = 8
    min_distance: int = 5
    overlap: Overlap = "smallest"
    separate: Separation = 0

    def __post_init__(self) -> None:
        for option, choices in (
            ("instances_from", get_args(Origin)),
            ("connectivity", (4, 8)),
            ("overlap", get_args(Overlap)),
        ):
            if getattr(self, option) not in choices:
                raise OptionError(f"{option} {getattr(self, option)!r}: choose one of {', '.join(map(str, choices))}")
        if not 1 <= self.min_distance <= FARTHEST:
            raise OptionError(f"--min-distance {self.min_distance}: must be from 1 to {FARTHEST} pixels")
        if self.separate != "falk2019" and not (isinstance(self.separate, int) and self.separate >= 0):
            raise OptionError(f"--separate {self.separate}: must be pixels, at least 0, or falk2019")

    def whole(self, mask: InstanceMask, key: str) -> InstanceMask:
        """Mask with its instances found, whole.

        Raises
        ------
        InputError
            Where instances overlap and shall not.
        """
        found = split_instances(
            mask, self.instances_from, connectivity=self.connectivity, min_distance=self.min_distance
        )
        if self.overlap == "error" and (count := int(np.count_nonzero((found.planes > 0).sum(axis=0) > 1))):
            raise InputError(
                f"{key}: instances overlap in {count} pixels; --overlap smallest puts the smaller in front"
            )
        return replace(found, overlap=self.overlap)

    def shown(self, whole: InstanceMask) -> InstanceMask:
        """Mask with background between instances that touch, as the targets show it."""
        return separated(whole, self.separate)
