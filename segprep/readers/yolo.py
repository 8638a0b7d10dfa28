"""YOLO segmentation: one text per image, with a class and a polygon on each line, in fractions of the image's size.

Boxes are read on request. The size is known from the image alone, so its header is read; no pixel of it is decoded. An image
without a text shows nothing of any class, by the rule of the format, so it has an empty mask.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from segprep.errors import InputError, some
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, runs_crop
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, below, listing, named_few
from segprep.readers._beside import image_shape
from segprep.readers._image import check_size, decode_errors
from segprep.readers._polygon import box_polygon, polygon_runs
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances, with_split
from segprep.readers._text import BOM, read_text

_YAML = (".yaml", ".yml")
_BACKGROUND = "images without a text are empty masks"
_CLASSES = "classes.txt"
_BOX = 4
_POLYGON = 6
_SLACK = 0.01
"""Fraction by which an imprecise coordinate may lie beyond the image; larger ones are in another unit, such as pixels."""
_LOOK, _START = 8, 2**16
"""Texts that are read to recognise the format, since one may be damaged, and bytes of each."""
_LINE = re.compile(
    rb"\s*[-+.\deE]+(\s+[-+.\deE]+){4}(\s|$)|\s*([^\s\d.+-]\S*\s+){1,4}([-+.\deE]+\s+){5}[-+.\deE]+(\s|$)"
)
"""Start of a line of at least five numbers, or of a name (in place of the class number) and at least six."""
_MAX_BYTES = 2**26
"""Bytes of the largest text that is read: a million corners take about 20 MB."""


class _Data(msgspec.Struct):
    names: list[str | int] | dict[int, str | int]


@dataclass(frozen=True)
class YoloRef:
    """One text of polygons, the image that has the size, and the class numbers of the source in the order of their codes.

    An image without a text is the background alone; `file` is then the text that it could have.
    """

    key: str
    split: str | None
    file: AnyPath
    image: AnyPath | None
    ids: tuple[int, ...]
    options: ReadOptions
    is_background: bool = False

    def load(self) -> InstanceMask:
        """Rasterise the polygons; invalid lines and boxes are left out and recorded as problems."""
        if self.image is None:
            raise InputError(f"{self.file}: no image of this name in images/, which has the size; add it")
        shape = image_shape(self.image)
        check_size(str(self.image), shape, self.options.max_pixels)
        lines = enumerate([] if self.is_background else _text(self.file).splitlines(), start=1)
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
    The image of the same name in ``images/`` (PNG, JPEG, TIFF, BMP, GIF or WebP) has the size; one without a text is an
    empty mask, if others in its folder have texts. ``labels/`` and ``images/`` may hold train/, val/ and test/ or lie in
    them; without ``labels/``, texts may lie beside the images. The names are the key ``names`` of a YAML file, itself given
    or in the folder, else the lines of ``classes.txt`` or of a ``.names`` file.
    """
    root = path if path.is_dir() else path.parent
    if path != root and path.suffix.lower() not in _YAML:
        return None
    inside = listing(root)
    parts = _parts(inside)
    if not _is_yolo([file for part in parts for file in part.texts.values()]):
        return None
    names = _names([path] if path != root else inside.with_suffix(*_YAML), inside, [part.labels for part in parts])
    if names is None:
        return None
    ids = tuple(sorted(names))
    refs = []
    for part in parts:
        for stem in [*part.texts, *part.backgrounds]:
            file = part.texts.get(stem) or part.labels / f"{stem}.txt"
            image, is_background = part.images.get(stem), stem not in part.texts
            refs.append(YoloRef(*with_split(name_in(root, file)), file, image, ids, options, is_background))
    notices = tuple((name_in(root, part.labels), notice) for part in parts for notice in part.notices())
    return MaskSet("yolo", class_table((id_, names[id_]) for id_ in ids), tuple(refs), notices=notices)


class _Part(NamedTuple):
    """A folder of texts, and its texts and images by their names without suffix, relative to their folders."""

    labels: AnyPath
    texts: dict[str, AnyPath]
    images: dict[str, AnyPath]

    @property
    def backgrounds(self) -> list[str]:
        """Images without a text, in a folder of which others have one."""
        folders = {stem.rpartition("/")[0] for stem in self.texts}
        return [stem for stem in self.images if stem not in self.texts and stem.rpartition("/")[0] in folders]

    def notices(self) -> list[Problem]:
        """Notices of the images without a text, those that are kept and those that are not."""
        kept = self.backgrounds
        unread = [stem for stem in self.images if stem not in self.texts and stem not in set(kept)]
        kinds = ((_BACKGROUND, kept), ("images in folders without any text are not read", unread))
        return [
            Problem(kind, named_few([self.images[stem].name for stem in stems]), False)
            for kind, stems in kinds
            if stems
        ]


def _parts(inside: Listing) -> list[_Part]:
    """Folders of texts, with the images in the ``images/`` beside them; without such folders, texts beside their images."""
    parents = [inside, *map(listing, inside.named(*FOLDERS))]
    pairs = [(parent, labels) for parent in parents for labels in parent.named("labels")]
    if not pairs:
        return [part for parent in parents if (part := _flat(parent)) is not None]
    images_of = {
        images: _image_files(below(images), images) for parent in parents for images in parent.named("images")[:1]
    }
    parts = []
    for parent, labels in pairs:
        images = next((images_of[images] for images in parent.named("images")), {})
        texts = {without_suffix(name_in(labels, file)): file for file in _texts(labels)}
        parts.append(_Part(labels, {_image_name(stem, images): file for stem, file in texts.items()}, images))
    return parts


def _image_name(stem: str, images: dict[str, AnyPath]) -> str:
    """Name of the image of a text: its own, or that without an address's quotes, as in Label Studio's ``a%201.txt``."""
    plain = unquote(stem)
    return plain if stem not in images and plain in images else stem


def _flat(inside: Listing) -> _Part | None:
    """Texts of a folder that lie beside their images; None if there are none."""
    texts = {file.stem: file for file in inside.with_suffix(".txt")}
    if not texts:
        return None
    folder = next(iter(texts.values())).parent
    images = _image_files([inside], folder)
    return _Part(folder, {stem: file for stem, file in texts.items() if stem in images}, images)


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
        is_name = _LINE.match(line.encode()) is not None and not line.lstrip()[0].isdigit()
        kind = "a name in place of the class number" if is_name else "line is not of numbers"
        raise BadRegionError(kind, repr(line[:40])) from error
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


def _image_files(listings: list[Listing], folder: AnyPath) -> dict[str, AnyPath]:
    """Images in the listings of a folder and folders below, by their names without suffix."""
    files: dict[str, AnyPath] = {}
    for inside in listings:
        for file in inside.with_suffix(*IMAGE_SUFFIXES):
            other = files.setdefault(without_suffix(name_in(folder, file)), file)
            if other != file:
                raise InputError(f"{file}: differs from {other.name} by its suffix alone; keep one of them")
    return files


def _is_yolo(files: list[AnyPath]) -> bool:
    """True if one of the first few texts that are not empty has a line that begins with five numbers."""
    read = 0
    for file in files:
        with decode_errors(file, "text"), file.open("rb") as opened:
            lines = opened.read(_START).removeprefix(BOM).strip().splitlines()
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
    lists = ([file for file in inside.files if file.name.lower() == _CLASSES] or inside.with_suffix(".names"))[:1]
    if not lists:  # a copy in each folder of texts, as labelImg writes them
        inner = [file for folder in labels for found in below(folder) for file in found.files]
        copies = {_text(file): file for file in inner if file.name.lower() == _CLASSES}
        lists = sorted(copies.values())
    found = named or lists
    if len(found) > 1:
        shown = some(file.name if named else name_in(file.parents[1], file) for file in found)
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
