"""Bad and odd input of every layout but COCO: nothing valid is refused, nothing broken passes in silence, nothing crashes."""

import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from PIL import Image

FINE, NOTED, WARNED, UNREADABLE, REFUSED = "fine", "noted", "warned", "unreadable", "refused"
STATUS = {FINE: (0, 0), NOTED: (0, 1), WARNED: (0, 1), UNREADABLE: (3, 1), REFUSED: (3, 3)}
"""Exit codes of weights and check; what is noted is read completely."""


class Link(NamedTuple):
    """A link to a path relative to where it lies."""

    target: str


class Row(NamedTuple):
    """One input: files by their names (None makes a folder), what becomes of it, and what stderr must say."""

    name: str
    files: dict
    outcome: str
    said: tuple = ()
    instances: int = 0
    give: str = ""
    options: tuple = ()


# --- content of files ------------------------------------------------------------------------------------------------


def png(values, mode=None, dtype=np.uint8, **options):
    """PNG of these values."""
    picture = Image.fromarray(np.array(values, dtype))
    with io.BytesIO() as file:
        (picture if mode is None else picture.convert(mode)).save(file, "PNG", **options)
        return file.getvalue()


def palette_png(values):
    """PNG with a palette in which all colours are black, so that the indices alone tell."""
    picture = Image.fromarray(np.array(values, np.uint8))
    picture.putpalette([0] * 768)
    with io.BytesIO() as file:
        picture.save(file, "PNG")
        return file.getvalue()


def animated_png(*frames):
    """PNG of several frames."""
    first, *others = (Image.fromarray(np.array(frame, np.uint8)) for frame in frames)
    with io.BytesIO() as file:
        first.save(file, "PNG", save_all=True, append_images=others)
        return file.getvalue()


def chunk(kind, content):
    """Part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(width, height, pixels=b"", *, interlace=0):
    """PNG of 8 bits with any header."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def other_byte(content, place):
    """Content with one byte changed."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def jpeg(size=(4, 4)):
    """Grey JPEG."""
    with io.BytesIO() as file:
        Image.new("L", size, 7).save(file, "JPEG")
        return file.getvalue()


def tiff(values, dtype, **options):
    """TIFF of these values."""
    with io.BytesIO() as file:
        tifffile.imwrite(file, np.array(values, dtype), photometric="minisblack", **options)
        return file.getvalue()


def npy(values, dtype=np.uint16, **options):
    """NPY of these values."""
    with io.BytesIO() as file:
        np.save(file, np.array(values, dtype, **options))
        return file.getvalue()


def text(document):
    """JSON text."""
    return json.dumps(document).encode()


def colours(ids):
    """RGB PNG whose colours are ids of segments."""
    ids = np.array(ids)
    return png(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2))


LABELS = [[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 2]]
ONE = [[0, 255, 255, 0]] * 3
GOOD = png(LABELS)
DEEP = b"[" * 200_000 + b"]" * 200_000


def label(name, content, outcome, *said, instances=0):
    """Row of one label image."""
    return Row(name, {Path(name).name.replace(" ", "_"): content}, outcome, said, instances)


def per_instance(name, content, outcome, *said, instances=0):
    """Row of an image with a good instance, a.png, and another, b.png."""
    return Row(f"instances: {name}", {"x/masks/a.png": png(ONE), "x/masks/b.png": content}, outcome, said, instances)


def yolo(name, lines, outcome, *said, instances=0, options=(), **files):
    """Row of a YOLO data set with one picture of 8 x 10 pixels."""
    base = {"images/a.jpg": jpeg((10, 8)), "labels/a.txt": lines, "data.yaml": b"names: [cell, debris]"}
    named = {path.replace("__", "/").replace("_yaml", ".yaml"): content for path, content in files.items()}
    content = {path: each for path, each in (base | named).items() if each is not None}
    return Row(f"yolo: {name}", content, outcome, said, instances, options=options)


BOX = b"0 0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6\n"
SQUARE = {"label": "cell", "points": [[0, 0], [3, 0], [3, 3], [0, 3]], "shape_type": "polygon"}


def labelme(name, shapes, outcome, *said, instances=0, options=(), files=None, **changes):
    """Row of a labelme file of 8 x 10 pixels with a good shape and these."""
    document = {"shapes": [SQUARE, *shapes], "imagePath": "a.jpg", "imageHeight": 8, "imageWidth": 10} | changes
    content = {"a.json": text({key: value for key, value in document.items() if value != "drop"})}
    return Row(f"labelme: {name}", content | (files or {}), outcome, said, instances, options=options)


SEGMENTS = [{"id": 5, "category_id": 1}, {"id": 7, "category_id": 2}]
IDS = [[5, 5, 7, 7], [5, 5, 7, 0]]


def panoptic(name, outcome, *said, instances=0, ids=IDS, segments=SEGMENTS, file="a.png", content=None, options=()):
    """Row of a panoptic data set of one image."""
    document = {
        "images": [{"id": 1, "width": 4, "height": 2}],
        "annotations": [{"image_id": 1, "file_name": file, "segments_info": segments}],
        "categories": [{"id": 1, "name": "cell", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}],
    }
    files = {"p.json": text(document), "p": None}
    pixels = colours(ids) if content is None else content
    return Row(
        f"panoptic: {name}", files | ({"p/a.png": pixels} if pixels else {}), outcome, said, instances, options=options
    )


def sa_1b(name, annotations, outcome, *said, instances=0, files=None, **image):
    """Row of an SA-1B file of 2 x 3 pixels with a good region and these."""
    good = {"id": 1, "segmentation": {"size": [2, 3], "counts": "123"}}
    document = {"image": {"width": 3, "height": 2, "file_name": "a.jpg"} | image, "annotations": [good, *annotations]}
    return Row(f"sa-1b: {name}", {"a.json": text(document)} | (files or {}), outcome, said, instances)


def voc(name, outcome, *said, instances=0, objects=((1, 1, 0, 255),), classes=((3, 3, 0, 255),), **files):
    """Row of a VOC data set of one image."""
    base = {"SegmentationObject/a.png": palette_png(objects), "SegmentationClass/a.png": palette_png(classes)}
    base["class_names.txt"] = b"_background_\ncell\ndebris\nglass"
    named = {path.replace("__", "/").replace("_txt", ".txt"): content for path, content in files.items()}
    named = {path if path.endswith((".txt", ".json")) else f"{path}.png": content for path, content in named.items()}
    content = {path: each for path, each in (base | named).items() if each is not None}
    return Row(f"voc: {name}", content, outcome, said, instances)


def coded(name, path, values, outcome, *said, instances=0, dtype=np.uint16, files=None):
    """Row of one PNG whose values tell class and instance."""
    content = values if isinstance(values, bytes) else png(values, dtype=dtype)
    return Row(name, {path: content} | (files or {}), outcome, said, instances)


def colour_png(name, palette, outcome, *said, pixels=((0x800000, 0, 0),), content=None):
    """Row of a colour-coded PNG."""
    image = colours([[value >> 16 | value & 0xFF00 | (value & 255) << 16 for value in row] for row in pixels])
    return Row(f"colour-png: {name}", {"label_colors.txt": palette, "masks/a.png": content or image}, outcome, said)


def ade20k(name, outcome, *said, instances=0, table=b'001 # 0 # 0 # sky # sky # ""\n', pixels=((10, 200, 1),), **files):
    """Row of an image of ADE20K in the layout of 2017."""
    base = {"a_seg.png": png([pixels]), "a_atr.txt": table}
    named = {path.replace("_json", ".json").replace("_png", ".png"): content for path, content in files.items()}
    content = {path: each for path, each in (base | named).items() if each is not None}
    return Row(f"ade20k: {name}", content, outcome, said, instances)


def mapillary(config):
    """Mapillary Vistas with this configuration."""
    return {"config.json": config, "training/instances/a.png": png([[256, 257]], dtype=np.uint16)}


CITY = "gtFine/train/x/a_gtFine_instanceIds.png"
ROWS = [
    # --- label images
    label("good.png", GOOD, FINE, instances=2),
    label("truncated.png", GOOD[:-30], UNREADABLE, "truncated.png: cannot be read as PNG"),
    label("cut in header.png", GOOD[:20], UNREADABLE, "cut_in_header.png: cannot be read as PNG"),
    label("empty file.png", b"", UNREADABLE, "empty_file.png: cannot be read as PNG"),
    label("wrong magic.png", b"GIF89a" + GOOD[6:], UNREADABLE, "wrong_magic.png: cannot be read as PNG"),
    label("jpeg named.png", jpeg(), UNREADABLE, "jpeg_named.png: cannot be read as PNG"),
    label("text.png", b"not a picture", UNREADABLE, "text.png: cannot be read as PNG"),
    label("16 bits.png", png([[0, 300, 301, 44]], dtype=np.uint16), FINE, instances=3),
    label("palette.png", palette_png([[0, 1, 2, 1]]), FINE, instances=2),
    label("1 bit.png", png([[0, 255, 255, 0]], "1"), FINE, instances=1),
    label("LA.png", png(LABELS, "LA"), FINE, instances=2),
    label("RGB.png", png(LABELS, "RGB"), FINE, instances=2),
    label("RGBA.png", png(LABELS, "RGBA"), FINE, instances=2),
    label(
        "animated.png", animated_png([[0, 1]], [[2, 3]]), UNREADABLE, "animated.png: an animation of 2", "one file per"
    ),
    label("interlaced.png", raw_png(1, 1, b"\0\5", interlace=1), FINE, instances=1),
    label("bad crc of header.png", other_byte(GOOD, 29), UNREADABLE, "bad_crc_of_header.png: cannot be read as PNG"),
    label("bad crc of pixels.png", other_byte(GOOD, len(GOOD) - 13), UNREADABLE, "pixels.png: cannot be read as PNG"),
    label("other pixels.png", other_byte(GOOD, 45), UNREADABLE, "other_pixels.png: cannot be read as PNG"),
    label("no width.png", raw_png(0, 4), UNREADABLE, "no_width.png"),
    label("too few rows.png", raw_png(2, 3, b"\0\1\1"), UNREADABLE, "too_few_rows.png: cannot be read as PNG"),
    label("bomb.png", raw_png(30_000, 30_000, b"\0"), UNREADABLE, "bomb.png: 30000 x 30000 pixels", "raise the limit"),
    label("float.tif", tiff([[0.5, 1]], np.float32), UNREADABLE, "float.tif: pixels are of type float32", "integers"),
    label("negative.tif", tiff([[-3, 1]], np.int16), UNREADABLE, "negative.tif: the value -3", "not negative"),
    label(
        "pages.tif",
        tiff([LABELS, LABELS], np.uint8),
        UNREADABLE,
        "pages.tif: a stack of 2 x 3 x 4",
        "volumes are not supported yet",
        "file per",
    ),
    label("large ids.tif", tiff([[0, 2**31 + 5, 2**32 - 1, 7]], np.uint32), FINE, instances=3),
    label("cut.tif", tiff(LABELS, np.uint8)[:-6], UNREADABLE, "cut.tif: cannot be read as TIFF"),
    label("no pages.tif", b"II*\0\0\0\0\0", UNREADABLE, "no_pages.tif: cannot be read as TIFF"),
    label("bigtiff.tif", tiff(LABELS, np.uint8, bigtiff=True), FINE, instances=2),
    label("empty.tif", b"", UNREADABLE, "empty.tif: cannot be read as TIFF"),
    label("pickled.npy", npy([{"a": 1}], object), REFUSED, "no known layout"),
    label("3d.npy", npy([LABELS]), REFUSED, "3d.npy: not a label image"),
    label("float.npy", npy(LABELS, np.float64), REFUSED, "float.npy: not a label image"),
    label("fortran.npy", npy(LABELS, order="F"), FINE, instances=2),
    label("bool.npy", npy(ONE, bool), FINE, instances=1),
    label("big endian.npy", npy([[0, 300, 301]], ">u2"), FINE, instances=2),
    label("cut.npy", npy(LABELS)[:-3], UNREADABLE, "cut.npy: cannot be read as NPY", "save it again"),
    label("cut in header.npy", npy(LABELS)[:40], UNREADABLE, "header.npy: cannot be read as NPY", "save it again"),
    label("empty.npy", b"", UNREADABLE, "empty.npy: cannot be read as NPY", "save it again"),
    label("no rows.npy", npy(np.zeros((0, 4))), UNREADABLE, "no_rows.npy: 0 x 4 pixels", "at least 1"),
    label("negative.npy", npy([[-1, 2]], np.int64), UNREADABLE, "negative.npy: the value -1", "not negative"),
    label("background alone.png", png([[0, 0]]), FINE, "no instance in any mask"),
    label("one pixel.png", png([[9]]), FINE, instances=1),
    Row(
        "clutter beside",
        {"a.png": GOOD, "._a.png": b"x", "Thumbs.db": b"x", ".DS_Store": b"x", "desktop.ini": b"x"},
        FINE,
        instances=2,
    ),
    Row("a text beside", {"a.png": GOOD, "notes.txt": b"x"}, FINE, instances=2),
    Row("one of two is damaged", {"a.png": GOOD, "b.png": b""}, UNREADABLE, ("b.png: cannot be read as PNG",)),
    Row(
        "too many instances",
        {"a.png": GOOD},
        UNREADABLE,
        ("a.png: 2 instances", "raise the limit"),
        options=("--max-instances", "1"),
    ),
    # --- one PNG per instance
    per_instance("good", png([[255, 0, 0, 0]] * 3), FINE, instances=2),
    per_instance("empty file", b"", UNREADABLE, "x/masks/b.png: cannot be read as PNG"),
    per_instance("truncated", png(ONE)[:-30], UNREADABLE, "x/masks/b.png: cannot be read as PNG"),
    per_instance("other size", png([[1]]), UNREADABLE, "x/masks/b.png: 1 x 1 pixels", "a.png has 3 x 4", "one size"),
    per_instance("no foreground", png([[0] * 4] * 3), WARNED, "no foreground: 1 left out: x: b.png", instances=1),
    per_instance("opaque and black", png([[0] * 4] * 3, "RGBA"), WARNED, "no foreground", instances=1),
    per_instance("RGBA", png(ONE, "RGBA"), FINE, instances=2),
    per_instance("LA", png(ONE, "LA"), FINE, instances=2),
    per_instance("palette", palette_png([[1, 0, 0, 0]] * 3), FINE, instances=2),
    per_instance("bomb", raw_png(30_000, 30_000, b"\0"), UNREADABLE, "b.png: 30000 x 30000 pixels", "raise the limit"),
    Row("instances: no masks", {"x/masks": None, "y/masks": None}, REFUSED, ("no known layout",)),
    Row(
        "instances: too many",
        {"x/masks/a.png": png(ONE), "x/masks/b.png": png(ONE)},
        UNREADABLE,
        ("x/masks: 2 instances", "raise the limit"),
        options=("--max-instances", "1"),
    ),
    # --- folders
    Row("empty folder", {}, REFUSED, ("data: no known layout",)),
    Row("missing folder", {}, REFUSED, ("data/nowhere: no such file or folder",), give="nowhere"),
    Row(
        "link out of the folder beside",
        {"a.png": GOOD, "b.png": Link("../out.png"), "../out.png": GOOD},
        WARNED,
        ("b.png (a link or no file)",),
        instances=2,
    ),
    Row(
        "link out of the folder alone", {"b.png": Link("../out.png"), "../out.png": GOOD}, REFUSED, ("no known layout",)
    ),
    Row("link in a circle", {"labels/a.png": GOOD, "labels/again": Link("."), "again": Link(".")}, FINE, instances=2),
    Row("two layouts", {"labels/a.png": GOOD, "masks/a.png": GOOD}, REFUSED, ("labels/ and masks/", "give one")),
    Row(
        "two readers",
        {"x/masks/a.png": png(ONE), "labels/a.png": GOOD},
        REFUSED,
        ("matches several formats", "choose one"),
    ),
    Row("no picture", {"a.docx": b"x"}, REFUSED, ("a.docx: no known layout",), give="a.docx"),
    Row("no picture in a folder", {"a.docx": b"x"}, REFUSED, ("data: no known layout",)),
    Row("name that cannot be written", {"a\nb.png": GOOD}, REFUSED, ("a\\nb.png", "rename the file")),
    # --- YOLO
    yolo("good", BOX, FINE, instances=1),
    yolo("empty text", b"", REFUSED, "no known layout"),
    yolo("one empty text", b"", FINE, instances=1, **{"labels/b.txt": BOX, "images/b.jpg": jpeg()}),
    yolo(
        "pixels",
        b"0 10 10 60 10 60 60\n" + BOX,
        WARNED,
        "not fractions of the image: 1 left out",
        "line 1",
        instances=1,
    ),
    yolo("class without a name", b"7" + BOX[1:] + BOX, WARNED, "class without a name", "line 1: 7", instances=1),
    yolo("half a class", b"0.5" + BOX[1:] + BOX, WARNED, "class without a name", "line 1: 0.5", instances=1),
    yolo("odd numbers", BOX + b"0 0.1 0.1 0.6 0.1 0.6 0.6 0.1\n", WARNED, "odd number", "line 2: 7", instances=1),
    yolo("too few numbers", BOX + b"0 0.1 0.1\n", WARNED, "fewer than 6", "line 2: 2", instances=1),
    yolo(
        "a box", BOX + b"0 0.5 0.5 0.2 0.2\n", WARNED, "a box, not a polygon", "line 2", "--boxes-as-masks", instances=1
    ),
    yolo("a box on request", BOX + b"0 0.5 0.5 0.2 0.2\n", FINE, instances=2, options=("--boxes-as-masks",)),
    yolo(
        "a box without area on request",
        BOX + b"0 0.5 0.5 0 0.2\n",
        WARNED,
        "box without area",
        "line 2: 0.0 x 0.2",
        instances=1,
        options=("--boxes-as-masks",),
    ),
    yolo(
        "a box of pixels on request",
        BOX + b"0 5 5 2 2\n",
        WARNED,
        "not fractions",
        "line 2",
        instances=1,
        options=("--boxes-as-masks",),
    ),
    yolo("NaN", BOX + b"0 0.1 nan 0.6 0.1 0.6 0.6\n", WARNED, "not fractions", "line 2", "nan", instances=1),
    yolo("a word", BOX + b"0 0.1 x 0.6 0.1 0.6 0.6\n", WARNED, "not of numbers", "line 2", instances=1),
    yolo("first line of words", b"cell 0 0 1 1 1\n" + BOX, WARNED, "not of numbers", "line 1: 'cell", instances=1),
    yolo(
        "first text of words",
        b"cell 0 0 1 1 1\n",
        WARNED,
        "not of numbers",
        "labels/a.txt: line 1",
        instances=1,
        **{"labels/b.txt": BOX, "images/b.jpg": jpeg()},
    ),
    yolo("missing picture", BOX, UNREADABLE, "a.txt: no image of this name", "add it", **{"images/a.jpg": None}),
    yolo("damaged picture", BOX, UNREADABLE, "a.jpg", **{"images/a.jpg": jpeg()[:30]}),
    yolo("no picture by its bytes", BOX, UNREADABLE, "a.jpg: neither PNG", "convert", **{"images/a.jpg": b"hello"}),
    yolo("no UTF-8", BOX + b"\xff\xfe\n", UNREADABLE, "a.txt: not text in UTF-8", "save it as UTF-8"),
    yolo("broken names", BOX, REFUSED, "data.yaml: names cannot be read", **{"data.yaml": b"names: [a, b"}),
    yolo("deep names", BOX, REFUSED, "data.yaml: names cannot be read", **{"data.yaml": b"names: " + b"[" * 5000}),
    yolo("too many", BOX * 2, UNREADABLE, "a.txt: 2 instances", "raise the limit", options=("--max-instances", "1")),
    yolo("too many over each other", BOX * 1100, UNREADABLE, "a.txt: instance 1025 lies over 1024 others", "repeated"),
    # --- labelme
    labelme("good", [], FINE, instances=1),
    labelme("no points", [SQUARE | {"points": []}], WARNED, "shape 1", instances=1),
    labelme("points missing", [{"label": "cell"}], WARNED, "shape cannot be understood", "shape 1", instances=1),
    labelme("unknown shape", [SQUARE | {"shape_type": "cube"}], WARNED, "shape 1: cube", instances=1),
    labelme(
        "a line", [SQUARE | {"shape_type": "line", "points": [[0, 0], [1, 1]]}], WARNED, "shape 1: line", instances=1
    ),
    labelme("a number", [17], WARNED, "shape cannot be understood", "shape 1", instances=1),
    labelme("far point", [SQUARE | {"points": [[0, 0], [1e9, 0], [0, 9]]}], WARNED, "far off", "shape 1", instances=1),
    labelme(
        "bitmap junk",
        [SQUARE | {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "!"}],
        WARNED,
        "bitmap cannot be decoded",
        "shape 1",
        instances=1,
    ),
    labelme(
        "bitmap of another size",
        [SQUARE | {"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": base64.b64encode(GOOD).decode()}],
        WARNED,
        "size differs",
        "shape 1: 3 x 4",
        instances=1,
    ),
    labelme("no size", [], UNREADABLE, "a.json: no imageHeight", "save it again", imageHeight="drop"),
    labelme("size of text", [], REFUSED, "a.json: not a valid labelme file", imageHeight="8"),
    labelme("negative size", [], UNREADABLE, "a.json: -8 x 10 pixels", imageHeight=-8),
    labelme("imageData junk", [], FINE, imageData="?????", instances=1),
    labelme(
        "deep shape",
        [],
        UNREADABLE,
        "b.json: not a valid labelme file",
        "fix it",
        files={"b.json": b'{"imagePath":"b.jpg","shapes":' + DEEP + b"}"},
    ),
    labelme(
        "truncated", [], UNREADABLE, "b.json: not a valid labelme file", "fix it", files={"b.json": b'{"shapes": [{"la'}
    ),
    labelme("empty file", [], UNREADABLE, "b.json: not a valid labelme file", "fix it", files={"b.json": b""}),
    labelme("too many", [SQUARE], UNREADABLE, "a.json: 2 instances", options=("--max-instances", "1")),
    Row(
        "labelme: no shapes",
        {"a.json": text({"shapes": [], "imagePath": "a", "imageHeight": 8, "imageWidth": 10})},
        FINE,
        ("no instance",),
    ),
    # --- panoptic
    panoptic("good", FINE, instances=1),
    panoptic("PNG missing", UNREADABLE, "p/a.png: cannot be read as PNG", content=b""),
    panoptic("upwards", REFUSED, "p.json", "'../a.png' may lead out", "relative", file="../a.png"),
    panoptic("absolute", REFUSED, "p.json", "'/etc/a.png' may lead out", "relative", file="/etc/a.png"),
    panoptic("other size", UNREADABLE, "p/a.png: 1 x 4 pixels, but 2 x 4", "correct", ids=IDS[:1]),
    panoptic("unlisted colour", WARNED, "does not list", "segment 9", ids=[[5, 5, 7, 9], IDS[1]], instances=1),
    Row(
        "panoptic: photograph",
        {
            "p.json": text({"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}]}),
            "p/a.png": colours(np.arange(400).reshape(20, 20)),
        },
        WARNED,
        ("does not list: 101 left out:", "a.png: segment 1", "and 98 more"),
    ),
    panoptic("segment twice", WARNED, "listed twice", "segment 5", segments=[*SEGMENTS, SEGMENTS[0]], instances=1),
    panoptic(
        "no pixels",
        WARNED,
        "without pixels",
        "segment 8",
        segments=[*SEGMENTS, {"id": 8, "category_id": 1}],
        instances=1,
    ),
    panoptic(
        "no category", REFUSED, "p.json", "no category has the id 44", "add it", segments=[{"id": 5, "category_id": 44}]
    ),
    panoptic("grey PNG", UNREADABLE, "p/a.png: an image in L", "RGB", content=png(IDS)),
    panoptic(
        "too many",
        UNREADABLE,
        "p/a.png: 2 instances",
        "raise the limit",
        options=("--max-instances", "1"),
        segments=[SEGMENTS[0], {"id": 7, "category_id": 1}],
    ),
    Row(
        "panoptic: deep",
        {"p.json": b'{"annotations":[{"segments_info":' + DEEP + b"}]}"},
        REFUSED,
        ("p.json: not a valid COCO panoptic file", "fix it"),
    ),
    Row(
        "panoptic: truncated",
        {"p.json": b'{"annotations":[{"segments_info":['},
        REFUSED,
        ("p.json: not a valid COCO panoptic file", "fix it"),
    ),
    # --- Segment Anything
    sa_1b("good", [], FINE, instances=1),
    sa_1b("null", [{"id": 2, "segmentation": None}], WARNED, "not compressed runs", "annotation 2", instances=1),
    sa_1b(
        "other size",
        [{"id": 2, "segmentation": {"size": [9, 9], "counts": "1"}}],
        WARNED,
        "size differs",
        "annotation 2",
        instances=1,
    ),
    sa_1b(
        "runs too long",
        [{"id": 2, "segmentation": {"size": [2, 3], "counts": "199"}}],
        WARNED,
        "do not fit",
        "annotation 2",
        instances=1,
    ),
    sa_1b(
        "foreign characters",
        [{"id": 2, "segmentation": {"size": [2, 3], "counts": "\u00e4"}}],
        WARNED,
        "cannot be decoded",
        "annotation 2",
        instances=1,
    ),
    sa_1b("negative width", [], UNREADABLE, "a.json: 2 x -3 pixels", width=-3),
    sa_1b(
        "damaged first", [], UNREADABLE, "0.json: not a valid Segment Anything file", "fix it", files={"0.json": b"{"}
    ),
    sa_1b(
        "deep",
        [],
        UNREADABLE,
        "b.json: not a valid Segment Anything file",
        "fix it",
        files={"b.json": b'{"image":{},"annotations":' + DEEP + b"}"},
    ),
    # --- Pascal VOC
    voc("good", FINE, instances=1),
    voc("no object file", REFUSED, "a.png", "add it", SegmentationObject__a=None, SegmentationObject__b=GOOD),
    voc(
        "other size",
        UNREADABLE,
        "SegmentationObject/a.png: 3 x 4 pixels",
        "1 x 4",
        "one size",
        SegmentationObject__a=palette_png(LABELS),
    ),
    voc("class without a name", WARNED, "class has no name", "99: 2 pixels", classes=((3, 3, 99, 99),), instances=1),
    voc("object without a class", WARNED, "object has no class", "object 2", objects=((1, 1, 2, 255),), instances=1),
    voc("names that nothing proves", NOTED, "classes are named as VOC's", instances=1, class_names_txt=None),
    voc(
        "values that have no name",
        NOTED,
        "classes have no names: SegmentationClass: values up to 33",
        "class_names.txt",
        classes=((33, 33, 0, 0),),
        instances=1,
        class_names_txt=None,
    ),
    voc("names without background", NOTED, "names have no background", instances=1, class_names_txt=b"a\nb\nc\n"),
    voc("no names", REFUSED, "class_names.txt: contains no name", class_names_txt=b""),
    voc("truncated", UNREADABLE, "SegmentationClass/a.png: cannot be read", SegmentationClass__a=GOOD[:-30]),
    # --- Cityscapes
    coded("cityscapes: good", CITY, [[26001, 26002, 7, 0]], FINE, instances=2),
    coded(
        "cityscapes: unknown class", CITY, [[26001, 60000, 7]], WARNED, "not one of Cityscapes", "60000", instances=1
    ),
    coded("cityscapes: truncated", CITY, png([[26001]], dtype=np.uint16)[:-20], UNREADABLE, "a_gtFine_instanceIds.png"),
    coded(
        "cityscapes: a picture",
        CITY,
        png(LABELS, "RGB"),
        UNREADABLE,
        "instanceIds.png: an image in RGB",
        "one channel",
    ),
    # --- KITTI
    coded(
        "kitti: unknown class",
        "instance/a.png",
        [[26 * 256 + 1, 60 * 256]],
        WARNED,
        "not one of Cityscapes",
        instances=1,
        files={"image_2/a.png": GOOD},
    ),
    coded(
        "kitti: values of KITTI-360",
        "instance/a.png",
        [[26001, 26002, 7000]],
        FINE,
        instances=2,
        files={"semantic/a.png": png([[26, 26, 7]])},
    ),
    coded(
        "kitti: values of both kinds",
        "instance/a.png",
        [[7000, 8000]],
        REFUSED,
        "choose one, as --format kitti",
        "KITTI-360: 16-bit instance/*.png (1000 class + instance)",
        files={"image_2/a.png": GOOD},
    ),
    coded(
        "kitti: own classes",
        "instance/a.png",
        [[6657]],
        REFUSED,
        "class_names.txt: has the class 'cell'",
        files={"image_2/a.png": GOOD, "class_names.txt": b"_background_\ncell\n"},
    ),
    # --- MOTS
    coded("mots: good", "instances/v/1.png", [[1001, 2001, 10000, 0]], FINE, instances=2),
    coded(
        "mots: unknown class",
        "instances/v/9.png",
        [[5001, 1001]],
        WARNED,
        "class is unknown",
        "5001",
        instances=17,
        files={f"instances/v/{each}.png": png([[1001, 2001]], dtype=np.uint16) for each in range(1, 9)},
    ),
    coded(
        "mots: truncated",
        "instances/v/9.png",
        png([[1001]], dtype=np.uint16)[:-20],
        UNREADABLE,
        "v/9.png",
        files={f"instances/v/{each}.png": png([[1001]], dtype=np.uint16) for each in range(1, 9)},
    ),
    coded(
        "mots: damaged first",
        "instances/v/0.png",
        b"",
        UNREADABLE,
        "v/0.png: cannot be read as PNG",
        files={"instances/v/1.png": png([[1001]], dtype=np.uint16)},
    ),
    # --- Mapillary Vistas
    Row(
        "mapillary: good",
        mapillary(text({"labels": [{"name": "a", "instances": False}, {"name": "b", "instances": True}]})),
        FINE,
        instances=2,
    ),
    Row(
        "mapillary: deep",
        mapillary(b'{"labels":' + DEEP + b',"instances":1}'),
        REFUSED,
        ("config.json: not a valid configuration", "export it again"),
    ),
    Row(
        "mapillary: unknown class",
        mapillary(text({"labels": [{"name": "a", "instances": True}]})),
        WARNED,
        ("not in the configuration", "256"),
        0,
    ),
    # --- colours
    colour_png("good", b"128 0 0 cell\n0 0 0 background", FINE),
    colour_png(
        "unlisted colour",
        b"128 0 0 cell\n0 0 0 background",
        WARNED,
        "not in the palette",
        "1,2,3: 1 pixels",
        pixels=((0x010203, 0, 0x800000),),
    ),
    colour_png("bad palette", b"128 0 x cell", REFUSED, "label_colors.txt: colour 1", "three numbers"),
    colour_png("empty palette", b"", REFUSED, "label_colors.txt: contains no colour", "a line"),
    colour_png("colour twice", b"1 2 3 a\n1 2 3 b", REFUSED, "'a' and 'b'", "its own"),
    # --- ADE20K
    ade20k("good", FINE, instances=1),
    ade20k(
        "object without a name", WARNED, "not in the table", "blue 2", pixels=((10, 200, 1), (10, 200, 2)), instances=1
    ),
    ade20k("broken table", REFUSED, "a_atr.txt: line 1", "needs number", table=b"sky"),
    ade20k(
        "broken table beside", UNREADABLE, "b_atr.txt: line 1", "needs number", b_seg_png=GOOD, **{"b_atr.txt": b"sky"}
    ),
    ade20k("no table", REFUSED, "b_seg.png: neither", "add the one", b_seg_png=GOOD),
    ade20k("truncated", UNREADABLE, "a_seg.png: cannot be read as PNG", a_seg_png=png([[[1, 2, 3]]])[:-20]),
    ade20k(
        "deep",
        REFUSED,
        "a.json: not a valid ADE20K file",
        "fix it",
        a_json=b'{"annotation":{"instance_mask":' + DEEP + b"}}",
    ),
    ade20k(
        "upwards",
        REFUSED,
        "a.json: instance_mask '../x.png'",
        a_json=text(
            {
                "annotation": {
                    "object": [
                        {"id": 0, "name": "x", "name_ndx": 1, "instance_mask": "../x.png", "parts": {"part_level": 0}}
                    ]
                }
            }
        ),
    ),
]


# --- the tests -------------------------------------------------------------------------------------------------------


def write(data, files):
    """Make the files of a row."""
    data.mkdir()
    for name, content in files.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, Link):
            path.symlink_to(content.target)
        else:
            path.write_bytes(content)


@pytest.fixture
def ended(tmp_path, segprep_here):
    """Callable: a command that has run on a row's files."""

    def ended(row, command, *arguments):
        write(tmp_path / "data", row.files)
        process = segprep_here(command, tmp_path / "data" / row.give, *arguments, *row.options, "--workers", "1")
        assert "Traceback" not in process.stdout + process.stderr
        return process.returncode, process.stdout, process.stderr

    return ended


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_weights_reads_what_is_valid_and_names_what_is_bad(row, ended, tmp_path):
    status, stdout, stderr = ended(row, "weights", tmp_path / "out.zarr")
    assert [word for word in row.said if word not in stderr] == [], stderr
    assert status == STATUS[row.outcome][0], stderr
    assert ("left out" in stderr) == (row.outcome == WARNED), stderr
    if status == 0:
        assert f", {row.instances} instance" in stdout
    else:
        assert stdout == ""
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "out.png") == ["data"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_check_exits_with_the_code_of_its_findings(row, ended):
    status, _, stderr = ended(row, "check")
    assert status == STATUS[row.outcome][1], stderr


def test_no_two_rows_have_one_name():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 60
