"""Classes of Cityscapes, which other benchmarks of street scenes share, and the meaning of their label ids.

Reference: M. Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016;
cityscapesscripts/helpers/labels.py.
"""

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, Meaning
from segprep.readers._names import LISTS, file_named, listed_names, palette_beside
from segprep.readers._palette import VOID, lines_of

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
    *("garage", "gate", "stop", "smallpole", "lamp", "trash bin", "vending machine", "box"),
    *("unknown construction", "unknown vehicle", "unknown object"),
)
"""Names of the other classes, the name that tools give to pixels of no class, and further classes of KITTI-360."""
_COLOURED = "label_colors.txt"
LABELS = dict.fromkeys(range(34), IGNORED) | {
    id_: Meaning("thing" if is_thing else "stuff", code) for code, (id_, _, is_thing) in enumerate(EVALUATED, start=1)
}
"""Meanings of the benchmark's label ids with the number of an instance, which stuff may have too."""
BARE_LABELS = {
    id_: meaning._replace(kind="group") if meaning.kind == "thing" else meaning for id_, meaning in LABELS.items()
}
"""Meanings of label ids without the number of an instance."""
UNKNOWN = "class is not one of Cityscapes"
"""Kind of the problem of a value of another class."""


def check_own_classes(folder: AnyPath) -> None:
    """Raise an InputError if a folder lists other classes: their numbers are those of the lines or unknown."""
    known = {name.replace(" ", "") for name in (*(name for _, name, _ in EVALUATED), *_UNEVALUATED, *VOID)}
    inside = listing(folder)
    if file := file_named(inside, _COLOURED):
        names = [" ".join(line.split()[3:]) for line in lines_of(file)]  # after red, green and blue
    elif file := file_named(inside, *LISTS):
        names = listed_names(file)[0]
    elif palette := palette_beside(inside):
        file, names = folder, [entry.name for entry in palette[0]]
    else:
        return
    other = next((name for name in names if name and name.lower().replace(" ", "") not in known), None)
    if other is not None:
        raise InputError(f"{file}: has the class {other!a}, which is not one of Cityscapes; export the data as COCO")
