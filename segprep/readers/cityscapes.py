"""Cityscapes: PNG files *_instanceIds.png, or *_labelIds.png, in folders of cities.

A value of 1000 or more is class and instance (``26001`` is car 1); a smaller one is a class without instance: stuff, or a
group of things. Classes that the benchmark does not evaluate (``ignoreInEval``: unlabeled, ego vehicle, rectification
border, out of roi, static, dynamic, ground, parking, rail track, guard rail, bridge, tunnel, polegroup, caravan, trailer)
are ignored. So 19 classes are left, and a class code is the ``trainId`` + 1.
"""

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import below
from segprep.readers._cityscapes import BARE_LABELS, EVALUATED, LABELS, UNKNOWN, check_own_classes
from segprep.readers._coded import CodedValues, coded_refs
from segprep.readers._image import PNG
from segprep.readers._reader import MaskSet, Reader, ReadOptions

_INSTANCES = "_instanceids.png"
_CLASSES = "_labelids.png"
_DEPTH = 3
"""Folders below the given one: gtFine, train, city."""

instance_meaning = CodedValues(
    1000, {id_: meaning for id_, meaning in LABELS.items() if id_ > 0}, UNKNOWN, others=BARE_LABELS
)
"""Meaning of a value of ``*_instanceIds.png``."""
class_meaning = CodedValues(
    1, {id_: meaning._replace(kind="stuff") if meaning.code else meaning for id_, meaning in LABELS.items()}, UNKNOWN
)
"""Meaning of a value of ``*_labelIds.png``."""


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find Cityscapes: *_instanceIds.png, or else *_labelIds.png, up to three folders deep (gtFine/train/city).

    If there are files of instances, those of classes are skipped; otherwise all classes are stuff. Classes that the
    benchmark does not evaluate are ignored, and so are groups of things unless `options` make a group an instance. Files
    of ``labelTrainIds`` are not read.
    """
    if not path.is_dir():
        return None
    pngs = [file for inside in below(path, _DEPTH) for file in inside.with_suffix(*PNG)]
    for ending, meaning in ((_INSTANCES, instance_meaning), (_CLASSES, class_meaning)):
        files = [file for file in pngs if file.name.lower().endswith(ending)]
        if files:
            _check_one_kind(path, files)
            check_own_classes(path)
            only_stuff = ending == _CLASSES
            rows = ((id_, name, is_thing and not only_stuff) for id_, name, is_thing in EVALUATED)
            return MaskSet("cityscapes", class_table(rows), coded_refs(path, files, meaning, options))
    return None


def _check_one_kind(path: AnyPath, files: list[AnyPath]) -> None:
    """Raise if fine and coarse annotations lie side by side: they are of the same images."""
    kinds = {kind for file in files for kind in ("gtFine", "gtCoarse") if f"_{kind}_".lower() in file.name.lower()}
    if len(kinds) > 1:
        raise InputError(f"{path}: files of both gtFine and gtCoarse; give one of these folders")


READER = Reader("cityscapes", find)
