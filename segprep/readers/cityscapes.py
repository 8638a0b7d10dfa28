"""Cityscapes: PNG files *_instanceIds.png, or *_labelIds.png, in folders of cities.

A value from 1000 on is class and instance (``26001`` is car 1); below, it is a class without instance: stuff, or a group
of things that were not told apart. Classes that the benchmark leaves out of its evaluation (``ignoreInEval``: unlabeled,
ego vehicle, rectification border, out of roi, static, dynamic, ground, parking, rail track, guard rail, bridge, tunnel,
polegroup, caravan, trailer) are places without truth. So 19 classes are left, and a class code is the ``trainId`` + 1.

Reference: M. Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016;
cityscapesscripts/helpers/labels.py.
"""

from collections.abc import Iterator

from segprep.errors import InputError
from segprep.masks.classes import things_and_stuff
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, Meaning, coded_refs
from segprep.readers._image import PNG
from segprep.readers._palette import lines_of
from segprep.readers._reader import MaskSet, ReadOptions

EVALUATED = (
    (7, "road", False),
    (8, "sidewalk", False),
    (11, "building", False),
    (12, "wall", False),
    (13, "fence", False),
    (17, "pole", False),
    (19, "traffic light", False),
    (20, "traffic sign", False),
    (21, "vegetation", False),
    (22, "terrain", False),
    (23, "sky", False),
    (24, "person", True),
    (25, "rider", True),
    (26, "car", True),
    (27, "truck", True),
    (28, "bus", True),
    (31, "train", True),
    (32, "motorcycle", True),
    (33, "bicycle", True),
)
"""Label id, name, and whether it has instances, of the classes that are evaluated, in the order of their trainId."""

_UNEVALUATED = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking"),
    *("rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer", "license plate", "background"),
)
"""Names of the other classes, and what tools call all that is none."""
_OWN_CLASSES = "label_colors.txt"
_CODES = {id_: code for code, (id_, _, _) in enumerate(EVALUATED, start=1)}
_THINGS = frozenset(id_ for id_, _, is_thing in EVALUATED if is_thing)
_LABELS = 34
"""Label ids of the benchmark: 0 to 33."""
_INSTANCES = "_instanceids.png"
_CLASSES = "_labelids.png"
_DEPTH = 3
"""Folders below the given one: gtFine, train, city."""


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find Cityscapes: *_instanceIds.png, or else *_labelIds.png, up to three folders deep (gtFine/train/city).

    Where there are instances, files of classes alone are passed over; where there are none, all classes are stuff.
    Classes that the benchmark does not evaluate, and groups of things, are places without truth; `options` may
    make a group an instance. Files of ``labelTrainIds`` are not read.
    """
    if not path.is_dir():
        return None
    pngs = list(_pngs(path, _DEPTH))
    for ending, meaning in ((_INSTANCES, instance_meaning), (_CLASSES, class_meaning)):
        files = [file for file in pngs if file.name.lower().endswith(ending)]
        if files:
            _check_one_kind(path, files)
            check_own_classes(path)
            only_stuff = ending == _CLASSES
            rows = ((id_, name, is_thing and not only_stuff) for id_, name, is_thing in EVALUATED)
            return MaskSet("cityscapes", things_and_stuff(rows), coded_refs(path, files, meaning, options))
    return None


def check_own_classes(folder: AnyPath) -> None:
    """Raise where a folder says that its classes are others, which CVAT and datumaro number by the lines of a file.

    Raises
    ------
    InputError
        Where it has such a file, with the name of a class that is not one of Cityscapes.
    """
    known = {name.replace(" ", "") for name in (*(name for _, name, _ in EVALUATED), *_UNEVALUATED)}
    for file in (each for each in listing(folder).files if each.name.lower() == _OWN_CLASSES):
        names = [" ".join(line.split()[3:]) for line in lines_of(file)]  # after red, green and blue
        other = next((name for name in names if name and name.lower().replace(" ", "") not in known), None)
        if other is not None:
            raise InputError(
                f"{file}: has the class {other!a}, which is not one of Cityscapes; export the data as COCO"
            )


def instance_meaning(value: int) -> Meaning:
    """Meaning of a value of ``*_instanceIds.png``.

    Examples
    --------
    >>> [instance_meaning(value).kind for value in (26001, 26, 7, 0)]
    ['thing', 'group', 'stuff', 'ignore']
    """
    id_ = value // 1000 or value
    return label_meaning(id_, is_instance=id_ != value)


def class_meaning(value: int) -> Meaning:
    """Meaning of a value of ``*_labelIds.png``.

    Examples
    --------
    >>> class_meaning(26)
    Meaning(kind='stuff', code=14, problem='')
    """
    return Meaning("stuff", _CODES[value]) if value in _CODES else label_meaning(value, is_instance=False)


def label_meaning(id_: int, *, is_instance: bool) -> Meaning:
    """Meaning of a label id with or without an instance; stuff is stuff whatever its instance."""
    if id_ >= _LABELS:
        return Meaning("ignore", problem="class is not one of Cityscapes")
    if id_ not in _CODES:
        return IGNORED
    if id_ not in _THINGS:
        return Meaning("stuff", _CODES[id_])
    return Meaning("thing" if is_instance else "group", _CODES[id_])


def _pngs(folder: AnyPath, depth: int) -> Iterator[AnyPath]:
    """PNG files in a folder and those below, by name."""
    inside = listing(folder)
    yield from inside.with_suffix(*PNG)
    if depth:
        for child in inside.folders:
            yield from _pngs(child, depth - 1)


def _check_one_kind(path: AnyPath, files: list[AnyPath]) -> None:
    """Raise where fine and coarse annotations lie side by side: they are of the same images."""
    kinds = {kind for file in files for kind in ("gtFine", "gtCoarse") if f"_{kind}_".lower() in file.name.lower()}
    if len(kinds) > 1:
        raise InputError(f"{path}: files of both gtFine and gtCoarse; give one of these folders")
