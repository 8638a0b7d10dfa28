"""YOLO segmentation: one text per image, with a class and a polygon on each line, in fractions of the image's size.

Boxes are read on request. The size is known from the image alone, so its header is read; no pixel of it is decoded.
"""

import re
from dataclasses import dataclass

import msgspec

from segprep.errors import InputError, some
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import BadRegionError, runs_crop
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import Listing, below, listing
from segprep.readers._beside import IMAGES, image_shape
from segprep.readers._image import check_size, decode_errors
from segprep.readers._polygon import box_polygon, polygon_runs
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances, with_split
from segprep.readers._text import read_text

_YAML = (".yaml", ".yml")
_CLASSES = "classes.txt"
_BOX = 4
_POLYGON = 6
_SLACK = 0.01
"""Fraction by which an imprecise coordinate may lie beyond the image; larger ones are in another unit, such as pixels."""
_LOOK, _START = 8, 2**16
"""Texts that are read to recognise the format, since one may be damaged, and bytes of each."""
_LINE = re.compile(rb"\s*([-+.\deE]+\s+){4}[-+.\deE]+(\s|$)")
"""Start of a line of at least five numbers."""
_MAX_BYTES = 2**26
"""Bytes of the largest text that is read: a million corners take about 20 MB."""


class _Data(msgspec.Struct):
    names: list[str | int] | dict[int, str | int]


@dataclass(frozen=True)
class YoloRef:
    """One text of polygons, the image that has the size, and the class numbers of the source in the order of their codes."""

    key: str
    split: str | None
    file: AnyPath
    image: AnyPath | None
    ids: tuple[int, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the polygons; invalid lines and boxes are left out and recorded as problems."""
        if self.image is None:
            raise InputError(f"{self.file}: no image of this name in images/, which has the size; add it")
        shape = image_shape(self.image)
        check_size(str(self.image), shape, self.options.max_pixels)
        lines = enumerate(_text(self.file).splitlines(), start=1)
        instances = (drawn(f"line {number}", self._instance, line, shape) for number, line in lines if line.strip())
        return mask_from_instances(str(self.file), shape, instances, self.options)

    def _instance(self, line: str, shape: tuple[int, int]) -> tuple[int, InstanceCrop]:
        """Class code and pixels of one line."""
        id_, crop = line_crop(line, shape, with_boxes=self.options.boxes_as_masks)
        if id_ not in self.ids:
            raise BadRegionError("class without a name", f"{id_:g}")
        return 1 + self.ids.index(int(id_)), crop


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find YOLO polygons: labels/**/*.txt beside images/, and data.yaml or classes.txt with the names of the classes.

    Each line is a class and the corners ``x1 y1 x2 y2 ...`` of one instance in fractions of the image's width and height.
    The image of the same name in ``images/`` (PNG, JPEG, TIFF or BMP) has the size; one without a text has no mask.
    ``labels/`` and ``images/`` may hold train/, val/ and test/ or lie in them. The names are the key ``names`` of a YAML
    file, itself given or in the folder, else the lines of ``classes.txt`` or of a ``.names`` file.
    """
    root = path if path.is_dir() else path.parent
    if path != root and path.suffix.lower() not in _YAML:
        return None
    inside = listing(root)
    parents = [inside, *map(listing, inside.named(*FOLDERS))]
    pairs = [
        (labels, next(iter(parent.named("images")), None)) for parent in parents for labels in parent.named("labels")
    ]
    files = [(file, labels, images) for labels, images in pairs for file in _texts(labels)]
    if not _is_yolo([file for file, _, _ in files]):
        return None
    names = _names([path] if path != root else inside.with_suffix(*_YAML), inside, [labels for labels, _ in pairs])
    if names is None:
        return None
    ids = tuple(sorted(names))
    images_of = {images: _image_files(images) for images in {images for _, images in pairs} if images is not None}
    refs = []
    for file, labels, images in files:
        stem = without_suffix(name_in(labels, file))
        image = images_of[images].get(stem) if images is not None else None
        refs.append(YoloRef(*with_split(name_in(root, file)), file, image, ids, options))
    return MaskSet("yolo", class_table((id_, names[id_]) for id_ in ids), tuple(refs))


def line_crop(line: str, shape: tuple[int, int], *, with_boxes: bool = False) -> tuple[float, InstanceCrop]:
    """Class number and pixels of one line, a polygon or if allowed a box, in an image of this height and width.

    Examples
    --------
    >>> id_, (y, x, pixels) = line_crop("2 0.2 0.25 0.6 0.25 0.6 0.75 0.2 0.75", (4, 5))
    >>> id_, y, x, pixels.shape
    (2.0, 1, 1, (2, 2))
    """
    try:
        id_, *shares = map(float, line.split())
    except ValueError as error:
        raise BadRegionError("line is not of numbers", repr(line[:40])) from error
    if len(shares) == _BOX:
        if not with_boxes:
            raise BadRegionError("a box, not a polygon", f"{line[:40]}; boxes_as_masks=True fills boxes")
        x, y, width, height = shares
        shares = box_polygon(x - width / 2, y - height / 2, width, height)
    if len(shares) >= _POLYGON and any(not -_SLACK <= share <= 1 + _SLACK for share in shares):
        raise BadRegionError("coordinates are not fractions of the image", line[:40])
    corners = [share * shape[1 - index % 2] for index, share in enumerate(shares)]
    return id_, runs_crop(polygon_runs([corners], shape), shape)


def _texts(labels: AnyPath) -> list[AnyPath]:
    """Texts below a folder, by name."""
    texts = [file for inside in below(labels) for file in inside.with_suffix(".txt")]
    return sorted(file for file in texts if file.name.lower() != _CLASSES)


def _image_files(folder: AnyPath) -> dict[str, AnyPath]:
    """Images below a folder by their names without suffix."""
    files: dict[str, AnyPath] = {}
    for inside in below(folder):
        for file in inside.with_suffix(*IMAGES):
            other = files.setdefault(without_suffix(name_in(folder, file)), file)
            if other != file:
                raise InputError(f"{file}: differs from {other.name} by its suffix alone; keep one of them")
    return files


def _is_yolo(files: list[AnyPath]) -> bool:
    """True if one of the first few texts that are not empty has a line that begins with five numbers."""
    read = 0
    for file in files:
        with decode_errors(file, "text"), file.open("rb") as opened:
            lines = opened.read(_START).strip().splitlines()
        if any(map(_LINE.match, lines)):
            return True
        read += bool(lines)
        if read == _LOOK:
            break
    return False


def _names(tables: list[AnyPath], inside: Listing, labels: list[AnyPath]) -> dict[int, str] | None:
    """Names of the classes by their numbers; None if no file has them."""
    named = [file for file in tables if re.search(r"^[\"']?names[\"']?\s*:", _text(file), re.MULTILINE)]
    named = [file for file in named if file.stem.lower() == "data"] or named
    lists = [file for file in inside.files if file.name.lower() == _CLASSES] or inside.with_suffix(".names")
    lists += [file for folder in labels for file in listing(folder).files if file.name.lower() == _CLASSES]
    found = named or lists[:1]
    if len(found) > 1:
        shown = some(file.name for file in found)
        raise InputError(f"{found[0].parent}: names of classes in {shown}; give one of these files")
    if not found:
        return None
    lines = _text(found[0]).rstrip().splitlines()
    names = _yaml_names(found[0]) if named else dict(enumerate(map(str.strip, lines)))
    if not names:
        raise InputError(f"{found[0]}: contains no name of a class; name the classes")
    return names


def _yaml_names(file: AnyPath) -> dict[int, str]:
    """Names in a YAML file: a list, or a table by number."""
    try:
        # By PyYAML's safe loader; PyYAML comes with Dask.
        names = msgspec.yaml.decode(_text(file), type=_Data).names
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: names cannot be read: {reason}; write them as a list or as number: name") from error
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {id_: str(name) for id_, name in pairs}


def _text(file: AnyPath) -> str:
    """Content of a text of polygons or names."""
    return read_text(file, _MAX_BYTES, "a list of polygons")


READER = Reader("yolo", find)
