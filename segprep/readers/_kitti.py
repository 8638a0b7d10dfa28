"""Instances of KITTI and KITTI-360: both lie in ``instance/`` beside ``semantic/``, so the values tell them apart.

References: H. Alhaija et al.: Augmented Reality Meets Computer Vision, IJCV 2018, and the benchmark's development kit;
Y. Liao et al.: KITTI-360, TPAMI 2022; kitti360scripts/helpers/labels.py.
"""

import numpy as np

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing, nearest
from segprep.readers._cityscapes import BARE_LABELS, EVALUATED, LABELS, UNKNOWN, check_own_classes
from segprep.readers._coded import IGNORED, CodedValues, Meaning, coded_refs
from segprep.readers._image import PNG, label_values
from segprep.readers._reader import MaskSet, ReadOptions

_BESIDE = ("image_2", "semantic", "semantic_rgb")
_DEPTH = 4
"""Folders below the given one: those of KITTI-360 are data_2d_semantics, train, drive, image_00."""
_LOOK = 32
"""Files whose values are compared; mostly the first one decides."""
_ALSO_360 = dict.fromkeys(range(34, 45), IGNORED) | {34: LABELS[11], 35: LABELS[13], 37: LABELS[17]}
"""Further classes of KITTI-360: garage is building, gate is fence, smallpole is pole; the others are not evaluated."""
_NUMBERED_360 = frozenset({11, 17, 19, 20, *range(24, 35), *range(36, 42)})
"""Classes of KITTI-360 whose instances have numbers; other values are multiples of 1000."""


def _meanings(base: int, labels: dict[int, Meaning]) -> CodedValues:
    """Meanings of values: a class times `base`, plus the number of an instance, of which 0 of a thing is a group."""
    return CodedValues(base, labels, UNKNOWN, others={base * id_: meaning for id_, meaning in BARE_LABELS.items()})


_FORMATS = {"kitti": _meanings(256, LABELS), "kitti360": _meanings(1000, LABELS | _ALSO_360)}


def instance_masks(name: str, path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Masks in ``instance/`` of one of the two formats; None if the values are those of the other one."""
    if not path.is_dir():
        return None
    folders = nearest(path, lambda inside: inside.named("instance"), depth=_DEPTH)
    folders = [folder for folder in folders if listing(folder.parent).named(*_BESIDE)]
    files = [file for folder in folders for file in listing(folder).with_suffix(*PNG)]
    if name not in _possible(files, options):
        return None
    check_own_classes(path)
    return MaskSet(name, class_table(EVALUATED), coded_refs(path, files, _FORMATS[name], options))


def _possible(files: list[AnyPath], options: ReadOptions) -> set[str]:
    """Formats that the first files may have: KITTI if they fit neither, and none if no file has more than 8 bits."""
    possible, is_odd, is_wide = set(_FORMATS), False, False
    for file in files[:_LOOK]:
        try:
            values = label_values(file, max_pixels=options.max_pixels)
        except InputError:
            continue  # loading it raises the error
        if values.dtype.itemsize == 1:
            continue
        distinct, classes = np.unique(values).tolist(), _classes_beside(file, options)
        fitting = {name for name in possible if _fits(name, distinct, classes)}
        possible, is_odd, is_wide = fitting or possible, is_odd or not fitting, True
        if len(possible) == 1:
            return possible
    return ({"kitti"} if is_odd else possible) if is_wide else set()


def _fits(name: str, values: list[int], classes: set[int] | None) -> bool:
    """True if values have classes of a format, and of these `classes` if they are known."""
    base = _FORMATS[name].base
    found = {value // base for value in values}
    bare = name == "kitti" or all(value % base == 0 or value // base in _NUMBERED_360 for value in values)
    return bare and found <= _FORMATS[name].classes.keys() and (classes is None or found <= classes)


def _classes_beside(file: AnyPath, options: ReadOptions) -> set[int] | None:
    """Classes in the file of the same name in ``semantic/``; None if there is none."""
    folders = listing(file.parent.parent).named("semantic")
    found = [other for folder in folders for other in listing(folder).files if other.name == file.name]
    try:
        return set(np.unique(label_values(found[0], max_pixels=options.max_pixels)).tolist()) if found else None
    except InputError:
        return None
