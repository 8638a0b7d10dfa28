"""Classes of Cityscapes, which other benchmarks of street scenes share, and the meaning of their label ids.

Reference: M. Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016;
cityscapesscripts/helpers/labels.py.
"""

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, Meaning
from segprep.readers._palette import lines_of

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
"""Label id, name, and True for a thing, of the classes that are evaluated, in the order of their trainId."""

_UNEVALUATED = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking"),
    *("rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer", "license plate", "background"),
)
"""Names of the other classes, and the name that tools give to pixels of no class."""
_OWN_CLASSES = "label_colors.txt"
CODES = {id_: code for code, (id_, _, _) in enumerate(EVALUATED, start=1)}
"""Class codes by label id."""
_THINGS = frozenset(id_ for id_, _, is_thing in EVALUATED if is_thing)
_LABELS = 34
"""Label ids of the benchmark: 0 to 33."""


def check_own_classes(folder: AnyPath) -> None:
    """Raise an InputError if a folder lists other classes, which CVAT and datumaro number by the lines of a file."""
    known = {name.replace(" ", "") for name in (*(name for _, name, _ in EVALUATED), *_UNEVALUATED)}
    for file in (file for file in listing(folder).files if file.name.lower() == _OWN_CLASSES):
        names = [" ".join(line.split()[3:]) for line in lines_of(file)]  # after red, green and blue
        other = next((name for name in names if name and name.lower().replace(" ", "") not in known), None)
        if other is not None:
            raise InputError(
                f"{file}: has the class {other!a}, which is not one of Cityscapes; export the data as COCO"
            )


def label_meaning(id_: int, *, is_instance: bool) -> Meaning:
    """Meaning of a label id with or without an instance number, which stuff may have too."""
    if id_ >= _LABELS:
        return Meaning("ignore", problem="class is not one of Cityscapes")
    if id_ not in CODES:
        return IGNORED
    if id_ not in _THINGS:
        return Meaning("stuff", CODES[id_])
    return Meaning("thing" if is_instance else "group", CODES[id_])
