"""COCO results: a JSON list of detections, each with its image, its class, its pixels and a score.

They are predictions, so no reader finds them: ids of images and classes have a meaning beside their ground truth alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from segprep.errors import InputError, some
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.readers._coco import Id, annotation_crop, plain, shown
from segprep.readers._json import decode_file, first_character, has_keys, mapped
from segprep.readers._reader import Instance, ReadOptions, mask_from_instances

_EMPTY = re.compile(rb"\s*\[\s*\]\s*")
MOST_NAMED = 3
"""Unknown ids that a message names."""
_OTHER_SIZE = "size differs from the image's"
"""Kind of `BadRegionError` of runs for an image of another size."""

Known = Mapping[int | str | None, int]
"""Index or class code by id."""


class Detection(msgspec.Struct, frozen=True, gc=False):
    """Entry of a list of results; its segmentation stays raw."""

    image_id: Id
    category_id: Id | None = None
    score: float | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class ResultImage(NamedTuple):
    """Key of the ground truth of an image, and its height and width in pixels."""

    key: str
    shape: tuple[int, int]


class ResultRef(msgspec.Struct, frozen=True):
    """Detections in one image, as a `MaskRef`; `detections` has the number of each in the file, from 0, and its class code."""

    key: str
    split: str | None
    file: str
    shape: tuple[int, int]
    detections: tuple[tuple[int, int, msgspec.Raw], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the detections; invalid ones are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        return mask_from_instances(where, self.shape, self._instances(), self.options, listed=len(self.detections))

    def _instances(self) -> Iterator[Instance]:
        """Class code and pixels of each detection, or its problem."""
        for number, code, segmentation in self.detections:
            try:
                yield code, annotation_crop(bytes(segmentation), self.shape)
            except BadRegionError as error:
                if error.kind == _OTHER_SIZE:
                    raise InputError(
                        f"{self.file}: result {number}: its runs have the size {error.value} of image {self.key!r}; "
                        "resize the predictions to the size of the truth"
                    ) from error
                yield Problem(error.kind, f"result {number}: {shown(error.value)}")


def is_results(path: AnyPath) -> bool:
    """True if a file looks like a list of results, which may be empty."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    text = mapped(path)
    return first_character(text) == b"[" and (has_keys(text, "image_id") or _EMPTY.fullmatch(text[:64]) is not None)


def read_results(
    path: AnyPath,
    images: list[ResultImage],
    image_ids: Known,
    class_ids: Known | None,
    *,
    min_score: float = 0.0,
    options: ReadOptions | None = None,
) -> tuple[ResultRef, ...]:
    """Detections of each image, one ref per image, also where there are none.

    Parameters
    ----------
    path : path
        JSON file with a list of ``{"image_id", "category_id", "segmentation", "score"}``; a segmentation is as in a
        COCO file.
    images : list of ResultImage
        The images of the ground truth.
    image_ids : mapping
        Index in `images` by id, an integer or text.
    class_ids : mapping or None
        Class code by id; with None, classes have no meaning and every code is 1.
    min_score : float
        Detections with a lower score are left out; one without a score has 1.
    options : ReadOptions, optional
        Limits of the pixels and instances of an image.

    Raises
    ------
    InputError
        If the file is no list of results, has boxes alone, or has ids that are unknown.
    """
    found = decode_file(path, list[Detection], "list of COCO results", keep=True)
    if found and not has_keys(mapped(path), "segmentation"):
        raise InputError(f"{path}: has no segmentation; give the results of instance segmentation, not of boxes")
    own: dict[int, list[tuple[int, int, msgspec.Raw]]] = defaultdict(list)
    strange_images: dict[object, int] = {}
    strange_classes: dict[object, int] = {}
    for number, item in enumerate(found):
        index = image_ids.get(plain(item.image_id))
        code = 1 if class_ids is None else class_ids.get(plain(item.category_id))
        if index is None:
            strange_images.setdefault(item.image_id, number)
        elif code is None:
            strange_classes.setdefault(item.category_id, number)
        elif item.score is None or item.score >= min_score:
            own[index].append((number, code, item.segmentation))
    _refuse(path, "image_id", strange_images, "give the truth of these images, or results of its images alone")
    _refuse(path, "category_id", strange_classes, "use the ids of the truth, or leave out per_class")
    return tuple(
        ResultRef(image.key, None, str(path), image.shape, tuple(own.get(index, ())), options or ReadOptions())
        for index, image in enumerate(images)
    )


def _refuse(path: AnyPath, name: str, strange: Mapping[object, int], remedy: str) -> None:
    """Raise if there are ids that the truth lacks; `strange` has the number of the first result of each."""
    if strange:
        ids = some(map(shown, strange), most=MOST_NAMED)
        first = next(iter(strange.values()))
        raise InputError(f"{path}: result {first}: the truth has no {name} {ids}; {remedy}")
