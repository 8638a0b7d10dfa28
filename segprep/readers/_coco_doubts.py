"""Doubts about a COCO file of which everything is read: warnings with the first place of each kind."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.paths.anypath import AnyPath, leads_out
from segprep.readers._beside import image_shapes
from segprep.readers._coco import CROWDS, Annotation, Document, shown

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def repeated_ids(document: Document) -> list[Problem]:
    """Warnings of annotations with one id, and of categories with one name."""
    annotations, categories = document.annotations, document.categories
    images = _repeated([entry.id for entry in annotations], (entry.image_id for entry in annotations))
    ids = _repeated([entry.name for entry in categories], (entry.id for entry in categories))
    return _warning("annotation id occurs twice", "annotation {}: image_id {}", images) + _warning(
        "category name occurs twice", "{}: id {}", ids
    )


def names_outside(document: Document) -> list[Problem]:
    """Warning of names of images that lead out of the data set; they are names of masks, never followed."""
    names = [
        (image.file_name, [image.id]) for image in document.images if image.file_name and leads_out(image.file_name)
    ]
    return _warning("file_name leads out of the data set and is not followed", "{}: image {}", names)


def many_crowds(annotations: Sequence[Annotation], is_valid: Callable[[Annotation], bool]) -> list[Problem]:
    """Warning if most valid annotations are crowds, which are ignored: CVAT writes every bitmap as a crowd."""
    crowds = sum(1 for entry in annotations if entry.iscrowd and CROWDS.get(entry.iscrowd) and is_valid(entry))
    singles = (entry for entry in annotations if not CROWDS.get(entry.iscrowd) and is_valid(entry))
    count = sum(1 for _ in islice(singles, crowds))  # as many end the search
    if count == crowds:
        return []
    where = f"{crowds} of {crowds + count} annotations; if they are single instances, use crowd='instance'"
    return [Problem("most regions are iscrowd and so ignored", where, left_out=False)]


def other_size(image: AnyPath | None, shape: tuple[int, int]) -> Iterator[Problem]:
    """Warning if an image has another size than its COCO file gives; one that cannot be read is not needed."""
    with suppress(InputError):
        shapes = [] if image is None else image_shapes(image)
        if shapes and shape not in shapes:
            (height, width), (own_height, own_width) = shape, shapes[0]
            where = f"{height} x {width} pixels, but {image} has {own_height} x {own_width}"
            yield Problem("size differs from the image file's", where, left_out=False)


def _repeated(keys: Sequence[Key | None], values: Iterable[Value]) -> list[tuple[Key, list[Value]]]:
    """Keys that occur more than once, and their values."""
    if len(set(keys)) == len(keys):  # the common case, in which nothing else is done for a million keys
        return []
    found: dict[Key, list[Value]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        if key is not None:
            found[key].append(value)
    return [(key, own) for key, own in found.items() if len(own) > 1]


def _warning(kind: str, where: str, found: Sequence[tuple[object, Iterable[object]]]) -> list[Problem]:
    """Warning that shows the first key and its values, and the number of the other keys."""
    if not found:
        return []
    key, values = found[0]
    others = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [Problem(kind, where.format(shown(key), shown(", ".join(map(str, values)))) + others, left_out=False)]
