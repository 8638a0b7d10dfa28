"""Instances of a mask: found in semantic masks, and separated where they touch."""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from msgspec import UNSET, UnsetType

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import InputError, OptionError, check_fields, foreign_errors, is_foreign
from segprep.kernels.boundaries import FARTHEST, near_others
from segprep.kernels.to_other import distance_to_other
from segprep.masks.downsampling import Downsampling, downsampled
from segprep.masks.mask import InstanceMask, MaskRef, Overlap, mask_problem

Origin: TypeAlias = Literal["auto", "as-is", "components", "watershed"]
Connectivity: TypeAlias = Literal[4, 8]
Separation: TypeAlias = int | Literal["falk2019"]

NECK = 0.75
"""Pixels by which the depth falls between two centres: less is a step of the grid on a ridge, not a neck."""


@dataclass(frozen=True)
class InstanceRule:
    """Rule by which instances are found and separated, between reading a mask and computing from it.

    Attributes
    ----------
    instances_from : str
        Instances as the data give them (``as-is``), the connected ``components`` of each class, or a ``watershed`` on the
        distance to the outside, which also splits components at narrow necks. ``auto``: components if the data are label
        images that all hold the same one value besides 0 (foreground masks), otherwise as-is.
    connectivity : int
        Neighbours of a pixel for components and watershed: 4, or 8 so that corners connect too.
    min_distance : int
        Smallest distance between the centres of two instances of the watershed, in pixels.
    overlap : str
        Instance in front where some overlap: the ``smallest`` (of equals the last), the ``last`` or the ``first`` of the file;
        ``error`` refuses masks with overlaps.
    separate : int or "falk2019"
        Turn the pixels of an instance that lie within this many pixels of another one into background; 0 changes nothing, and
        ``falk2019`` is the rule of that preset.
    downsampling : Downsampling or UNSET
        Lower resolution of the mask, before all of this; UNSET, which a store does not have, leaves it as it is.
    """

    instances_from: Origin = "auto"
    connectivity: Connectivity = 8
    min_distance: int = 5
    overlap: Overlap = "smallest"
    separate: Separation = 0
    downsampling: Downsampling | UnsetType = field(default=UNSET, metadata={"bound": True})

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.min_distance <= FARTHEST:
            raise OptionError(f"min_distance={self.min_distance}: must be from 1 to {FARTHEST} pixels")
        if self.separate != "falk2019" and self.separate < 0:
            raise OptionError(f"separate={self.separate!r}: must be a number of pixels, at least 0, or 'falk2019'")

    @property
    def resolution(self) -> Downsampling:
        """Rule of `downsampling`, which changes nothing if that is UNSET."""
        return Downsampling() if isinstance(self.downsampling, UnsetType) else self.downsampling

    def find_instances(self, mask: InstanceMask, key: str) -> InstanceMask:
        """Mask with its complete instances; InputError if they overlap although `overlap` is ``error``."""
        if self.resolution.downsample is not None:
            mask = downsampled(mask, self.resolution, self._parts(mask))
        split = split_instances(
            mask, self.instances_from, connectivity=self.connectivity, min_distance=self.min_distance
        )
        if self.overlap == "error" and (count := int(np.count_nonzero((split.planes > 0).sum(axis=0) > 1))):
            raise InputError(
                f"{key}: instances overlap in {count} pixels; use overlap='smallest' to put the smaller in front"
            )
        return split if split.overlap == self.overlap else replace(split, overlap=self.overlap)

    def _parts(self, mask: InstanceMask) -> InstanceMask | None:
        """Mask with the connected components of its classes, if these are to be its instances."""
        if self.instances_from in {"auto", "as-is"}:
            return None
        return split_instances(mask, "components", connectivity=self.connectivity)


def load_mask(ref: MaskRef, rule: InstanceRule, n_classes: int | None = None) -> tuple[InstanceMask, InstanceMask]:
    """Mask with its complete instances, and the same with touching instances separated, as the targets show it.

    InputError if it cannot be read, or if the ref is not part of segprep and its mask is no valid one of `n_classes`.
    """
    return with_instances(read_mask(ref, n_classes), rule, ref.key)


def with_instances(mask: InstanceMask, rule: InstanceRule, key: str) -> tuple[InstanceMask, InstanceMask]:
    """Results of `load_mask` for a mask that was read."""
    complete = rule.find_instances(mask, key)
    return complete, separated(complete, rule.separate)


def read_mask(ref: MaskRef, n_classes: int | None = None) -> InstanceMask:
    """Mask as it is read, before instances are found; errors as in `load_mask`."""
    if not is_foreign(ref):
        return ref.load()
    what = f"{ref.key}: load() of {type(ref).__qualname__}"
    with foreign_errors(what, InputError):
        mask = ref.load()
    if problem := mask_problem(mask, n_classes):
        raise InputError(f"{what}: {problem}")
    return mask


def separated(mask: InstanceMask, how: Separation) -> InstanceMask:
    """Mask with background between touching instances, as `InstanceRule.separate` describes.

    The distance is the chessboard distance, and an instance that would vanish keeps its innermost pixels. ``falk2019`` is the
    rule of the U-Net authors' plug-in: a pixel that has another instance of its class among its upper left, upper, upper
    right and left neighbours becomes background.

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
    remaining = np.where(near_others(mask.planes, how), 0, mask.planes)
    return replace(mask, planes=_with_innermost(remaining, mask.planes))


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


def _with_innermost(planes: LabelArray, complete: LabelArray) -> LabelArray:
    """Planes in which each instance that has vanished has its innermost pixels back."""
    for plane, before in zip(planes, complete, strict=True):
        left = np.zeros(int(before.max(initial=0)) + 1, np.bool_)
        left[plane] = True
        lost = ~left[before]
        if not lost.any():
            continue
        depth = distance_to_other(before)
        deepest = np.zeros(len(left), depth.dtype)
        np.maximum.at(deepest, before[lost], depth[lost])
        innermost = lost & (depth == deepest[before])
        plane[innermost] = before[innermost]
    return planes


def split_instances(
    mask: InstanceMask, how: Origin, *, connectivity: Connectivity = 8, min_distance: int = 5
) -> InstanceMask:
    """Mask whose instances are parts of the regions of each class, for masks without instances.

    The instances and the stuff of `mask` are regions of a class; `InstanceRule` has the parameters.

    Examples
    --------
    >>> cells = InstanceMask(np.array([[[1, 1, 0, 1]]], np.int32), np.array([0, 3], np.int32))
    >>> split_instances(cells, "components").planes[0]
    array([[1, 1, 0, 2]], dtype=int32)
    >>> split_instances(cells, "components").classes
    array([0, 3, 3], dtype=int32)
    """
    if how in {"auto", "as-is"}:
        return mask
    planes = np.zeros_like(mask.planes)
    classes = [np.zeros(1, np.int32)]
    count = 0
    codes = mask.classes[mask.planes]
    if mask.stuff is not None:
        codes[0] = np.where(mask.labels > 0, codes[0], mask.stuff)
    for plane, numbers in zip(codes, planes, strict=True):
        for code in np.setdiff1d(plane, 0):
            region = plane == code
            parts, number = components(region, connectivity)
            if how == "watershed":
                parts, number = _watershed(region, parts, connectivity, min_distance)
            numbers[region] = parts[region] + count
            count += number
            classes.append(np.full(number, code, np.int32))
    return replace(mask, planes=planes, classes=np.concatenate(classes), stuff=None)


def components(region: BoolArray, connectivity: Connectivity) -> tuple[LabelArray, int]:
    """Connected components of a region, (H, W) int32, numbered in the order of their first pixels; and their number.

    OpenCV's scan by Wu et al. numbers as `scipy.ndimage.label` does, in 1.9 instead of 4.6 ms for blobs of 1024 x 1024
    pixels; its default for 8 neighbours, which scans blocks of 2 x 2, does not.

    Examples
    --------
    >>> components(np.array([[True, False, True], [False, True, False]]), 4)
    (array([[1, 0, 2],
           [0, 3, 0]], dtype=int32), 3)
    """
    import cv2  # noqa: PLC0415 - slow to import

    image = np.ascontiguousarray(region).view(np.uint8)
    number, labels = cv2.connectedComponentsWithAlgorithm(image, connectivity, cv2.CV_32S, cv2.CCL_SAUF)
    return labels, number - 1


def _watershed(
    region: BoolArray, parts: LabelArray, connectivity: Connectivity, min_distance: int
) -> tuple[LabelArray, int]:
    """Parts of a region around its centres; every connected part has at least one."""
    from skimage.segmentation import watershed  # noqa: PLC0415 - slow to import

    depth = distance_to_other(np.pad(region, 1).astype(np.int32))[1:-1, 1:-1] * region
    centres = _centres(depth, parts, min_distance)
    seeds = np.zeros(region.shape, np.int32)
    seeds[tuple(np.array(centres).T)] = np.arange(1, len(centres) + 1)
    basins = watershed(-depth, seeds, mask=region, connectivity=1 if connectivity == 4 else 2)  # noqa: PLR2004
    return basins, len(centres)


def _centres(depth: FloatArray, parts: LabelArray, min_distance: int) -> list[tuple[int, int]]:
    """Deepest pixels (y, x) of the domes of `depth` that rise by `NECK`, at least one in every part."""
    from scipy.ndimage import maximum_position  # noqa: PLC0415 - slow to import
    from skimage.feature import peak_local_max  # noqa: PLC0415
    from skimage.morphology import h_maxima  # noqa: PLC0415

    domes, _ = components(h_maxima(depth, NECK) > 0, 8)
    peaks = peak_local_max(depth, min_distance=min_distance, labels=parts, exclude_border=False)
    dome_of = domes[tuple(peaks.T)]
    tops, first = np.unique(dome_of, return_index=True)
    peaks = peaks[np.sort(first[tops > 0])]
    lonely = np.setdiff1d(parts, np.append(parts[tuple(peaks.T)], 0))
    return [*map(tuple, peaks), *maximum_position(depth, parts, lonely)]
