"""A tiny valid data set of each layout.

``python tests/fuzz/seeds.py FOLDER`` writes one folder for each reader, and the main file of each to ``FOLDER/main``.
"""

import base64
import io
import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]
SIZE = {"height": 6, "width": 5}


class Seed(NamedTuple):
    """Files of a data set by their names, the first of which is the one to be damaged."""

    files: Mapping[str, bytes]
    given: str = ""
    """Path that the reader gets, relative to the folder."""


def png(values, dtype=np.uint8):
    """Bytes of a PNG of these values."""
    out = io.BytesIO()
    Image.fromarray(np.array(values, dtype)).save(out, "PNG")
    return out.getvalue()


def block(value, dtype=np.uint8):
    """Bytes of a PNG of 6 x 5 pixels with a block of this value, which may be a colour."""
    pixels = np.zeros((6, 5, *np.shape(value)), dtype)
    pixels[1:4, 1:4] = value
    return png(pixels, dtype)


def indexed(value):
    """Bytes of the same with a palette."""
    image = Image.open(io.BytesIO(block(value))).copy()
    image.putpalette([*range(256)] * 3)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def npy(values):
    """Bytes of an array."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def tiff(values):
    """Bytes of a TIFF."""
    out = io.BytesIO()
    tifffile.imwrite(out, values)
    return out.getvalue()


def npz(labels, save=np.savez_compressed):
    """Bytes of an archive of labels y and images X."""
    out = io.BytesIO()
    save(out, X=np.zeros(labels.shape, np.uint8), y=labels)
    return out.getvalue()


def text(document):
    """Bytes of JSON."""
    return json.dumps(document).encode()


_CATEGORIES = [{"id": 1, "name": "cell", "isthing": 1}]
_IMAGE = {"id": 1, "file_name": "a.jpg", **SIZE}
_COCO = {
    "images": [_IMAGE],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [6, 5], "counts": [3, 3, 24]}},
        {"id": 3, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": {"size": [6, 5], "counts": "33h0"}},
    ],
    "categories": _CATEGORIES,
}
_PANOPTIC = {
    "images": [_IMAGE],
    "annotations": [
        {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 7, "category_id": 1, "iscrowd": 0}]}
    ],
    "categories": _CATEGORIES,
}
_LABELME = {
    "shapes": [
        {"label": "cell", "points": [[1, 1], [4, 1], [4, 4]], "shape_type": "polygon", "group_id": None},
        {"label": "cell", "points": [[0, 0], [2, 2]], "shape_type": "circle", "group_id": 1},
    ],
    "imagePath": "a.jpg",
    "imageHeight": 6,
    "imageWidth": 5,
}
_SA = {
    "image": {"image_id": 1, "file_name": "sa_1.jpg", **SIZE},
    "annotations": [{"id": 1, "segmentation": {"size": [6, 5], "counts": "33h0"}}],
}
_VIA_REGION = {
    "shape_attributes": {"name": "polygon", "all_points_x": [1, 4, 4], "all_points_y": [1, 1, 4]},
    "region_attributes": {"class": "cell"},
}
_VIA_FILE = {"filename": "a.png", "size": 9, "regions": [_VIA_REGION], "file_attributes": {}}
_VIA_3 = {
    "project": {"pid": "__VIA_PROJECT_ID__"},
    "config": {},
    "attribute": {"1": {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "options": {"0": "cell"}}},
    "file": {"1": {"fid": "1", "fname": "a.png", "type": 2}},
    "metadata": {"1_a": {"vid": "1", "flg": 0, "z": [], "xy": [2, 1, 1, 3, 3], "av": {"1": "0"}}},
    "view": {"1": {"fid_list": ["1"]}},
}
_CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><image id="0" name="a.jpg" width="5" height="6">
<polygon label="cell" occluded="0" points="1.0,1.0;4.0,1.0;4.0,4.0" z_order="1"/>
<mask label="cell" rle="1, 2, 1" left="0" top="0" width="2" height="2" z_order="0"/>
<ellipse label="cell" cx="2" cy="2" rx="2" ry="1" rotation="30"/><box label="wall" xtl="0" ytl="4" xbr="2" ybr="5"/>
</image></annotations>"""
_QUPATH = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 0]], [[1, 1], [2, 1], [2, 2]]],
            },
            "properties": {"objectType": "annotation", "classification": {"name": "cell", "color": [1, 2, 3]}},
        },
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": [[[[0, 4], [4, 4], [4, 5]]]], "plane": {"z": 0}},
        },
    ],
}
_LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/0123abcd-a.png"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "polygonlabels",
                        "value": {"points": [[0, 0], [80, 0], [80, 80]], "polygonlabels": ["cell"]},
                        "original_width": 5,
                        "original_height": 6,
                    },
                    {
                        "type": "brushlabels",
                        # 120 values of 8 bits: a run of 60 zeros, and one of 60 times 255.
                        "value": {
                            "rle": [0, 0, 0, 120, 57, 27, 254, 59, 0, 199, 127, 224],
                            "brushlabels": ["cell"],
                        },
                        "original_width": 5,
                        "original_height": 6,
                    },
                    {
                        "type": "ellipselabels",
                        "value": {"x": 50, "y": 50, "radiusX": 30, "radiusY": 20, "ellipselabels": ["cell"]},
                        "original_width": 5,
                        "original_height": 6,
                    },
                ]
            }
        ],
    }
]
_SUPERVISELY = {
    "size": SIZE,
    "objects": [
        {
            "classTitle": "cell",
            "geometryType": "polygon",
            "points": {"exterior": [[0, 0], [4, 0], [4, 4]], "interior": [[[2, 1], [3, 1], [3, 2]]]},
        },
        {
            "classTitle": "cell",
            "geometryType": "bitmap",
            "bitmap": {"data": base64.b64encode(zlib.compress(png([[1, 0], [1, 1]]))).decode(), "origin": [1, 4]},
        },
    ],
}
_CORNERS = [{"x": 0, "y": 0}, {"x": 4, "y": 0}, {"x": 4, "y": 4}]
_DARWIN = {
    "version": "2.0",
    "item": {"name": "a.png", "slots": [{"slot_name": "0", **SIZE}]},
    "annotations": [
        {"id": "1", "name": "cell", "polygon": {"paths": [_CORNERS, _CORNERS[::-1], _CORNERS]}, "slot_names": ["0"]},
        {"id": "2", "name": "wall", "mask": {}},
        {
            "name": "__raster_layer__",
            "raster_layer": {"dense_rle": [0, 9, 1, 21], "mask_annotation_ids_mapping": {"2": 1}},
        },
    ],
}
_DARWIN_1 = {
    "dataset": "a",
    "image": {"filename": "a.png", **SIZE},
    "annotations": [
        {"name": "cell", "polygon": {"path": _CORNERS, "additional_paths": [_CORNERS, _CORNERS]}},
        {"name": "cell", "complex_polygon": {"path": [_CORNERS]}},
    ],
}
_ISAT = {
    "info": {"description": "ISAT", "name": "a.png", **SIZE},
    "objects": [
        {"category": "cell", "group": 1, "segmentation": [[0, 0], [4, 0], [4, 4]], "layer": 1.0, "iscrowd": False},
        {"category": "__background__", "group": 2, "segmentation": [[1, 1], [3, 1], [3, 3]], "layer": 2.0},
        {"category": "cell", "group": 3, "segmentation": [[0, 0], [4, 0], [4, 4]], "layer": 3.0, "iscrowd": True},
    ],
}
_LABELME_XML = b"""<annotation><filename>a.jpg</filename><source><sourceAnnotation>LabelMe</sourceAnnotation></source>
<object><name>cell</name><deleted>0</deleted><polygon><pt><x>0</x><y>0</y></pt><pt><x>4</x><y>0</y></pt><pt><x>4</x><y>4</y>
</pt></polygon></object><object><name>wall</name><deleted>1</deleted></object>
<imagesize><nrows>6</nrows><ncols>5</ncols></imagesize></annotation>"""
_CELLPOSE = np.array({"masks": np.eye(5, dtype=np.uint16), "flows": [np.zeros(3)], "filename": "a.png"}, object)
_ADE = {
    "annotation": {
        "object": [
            {"id": 1, "name": "cell", "name_ndx": 3, "instance_mask": "a/instance_000.png", "parts": {"part_level": 0}}
        ]
    }
}
_MAPILLARY = {"labels": [{"name": "sky", "instances": False}, {"name": "car", "instances": True}]}

_CHANNELS = np.zeros((1, 6, 5, 6), np.int32)
_CHANNELS[0, 1:4, 1:4] = [3, 2, 0, 0, 0, 1]


def _ome_zarr(first):
    """Files of an image with one label image, this one first."""

    def group(**ome):
        return text({"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **ome}}})

    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [6, 5],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [6, 5]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
    }
    scales = [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]
    files = {
        "a.zarr/labels/zarr.json": group(labels=["cells"]),
        "a.zarr/labels/cells/zarr.json": group(multiscales=scales),
        "a.zarr/labels/cells/0/zarr.json": text(array),
        "a.zarr/labels/cells/0/c/0/0": _CHANNELS[0, ..., 0].astype(np.uint8).tobytes(),
    }
    return {first: files[first], **files}


SEEDS: dict[str, tuple[Seed, ...]] = {
    "coco": (Seed({"a.json": text(_COCO)}, "a.json"),),
    "panoptic": (
        Seed({"a.json": text(_PANOPTIC), "a/a.png": block((7, 0, 0))}),
        Seed({"a/a.png": block((7, 0, 0)), "a.json": text(_PANOPTIC)}),
    ),
    "labelme": (Seed({"a.json": text(_LABELME)}),),
    "yolo": (
        Seed(
            {"labels/a.txt": b"0 0.2 0.2 0.8 0.2 0.8 0.8\n", "images/a.png": block(9), "data.yaml": b"names: [cell]\n"}
        ),
        Seed({"data.yaml": b"names:\n  0: cell\n", "labels/a.txt": b"0 0 0 1 0 1 1\n", "images/a.png": block(9)}),
    ),
    "segment-anything": (Seed({"sa_1.json": text(_SA)}),),
    "voc": (
        Seed({"SegmentationClass/a.png": indexed(3), "SegmentationObject/a.png": indexed(1)}),
        Seed({"SegmentationObject/a.png": indexed(1), "SegmentationClass/a.png": indexed(3)}),
    ),
    "ade20k": (
        Seed({"a_seg.png": block((10, 1, 1)), "a_atr.txt": b'001 # 0 # 0 # cell # cell # ""\n'}),
        Seed({"a_atr.txt": b'001 # 0 # 0 # cell # cell # ""\n', "a_seg.png": block((10, 1, 1))}),
        Seed({"a.json": text(_ADE), "a_seg.png": block((10, 1, 1)), "a/instance_000.png": block(255)}),
    ),
    "cityscapes": (Seed({"a_gtFine_instanceIds.png": block(26001, np.uint16)}),),
    "kitti": (Seed({"instance/a.png": block(26 * 256 + 1, np.uint16), "semantic/a.png": block(26)}),),
    "kitti360": (Seed({"instance/a.png": block(26001, np.uint16), "semantic/a.png": block(26)}),),
    "mots": (
        Seed({"instances/a.png": block(2001, np.uint16)}),
        Seed({"instances/labels.txt": b"car\nbus\n", "instances/a.png": block(2001, np.uint16)}),
    ),
    "mapillary": (
        Seed({"training/instances/a.png": block(257, np.uint16), "config.json": text(_MAPILLARY)}),
        Seed({"config.json": text(_MAPILLARY), "training/instances/a.png": block(257, np.uint16)}),
    ),
    "kaggle-csv": (
        Seed({"a.csv": b"ImageId,ClassId,EncodedPixels\na.png,1,8 3 14 3\n", "a.png": block(9)}),
        Seed({"a.csv": b"ImageId,EncodedPixels,Height,Width\na.png,8 3 14 3,6,5\n"}),
    ),
    "via": (
        Seed({"a.json": text({"a.png9": _VIA_FILE}), "a.png": block(9)}),
        Seed({"a.json": text({"_via_settings": {}, "_via_img_metadata": {"a.png9": _VIA_FILE}}), "a.png": block(9)}),
        Seed({"a.json": text(_VIA_3), "a.png": block(9)}),
    ),
    "cvat-xml": (Seed({"annotations.xml": _CVAT}),),
    "qupath": (
        Seed({"a.geojson": text(_QUPATH), "a.png": block(9)}),
        Seed({"a.geojson": text(_QUPATH["features"]), "a.png": block(9)}),
    ),
    "cellpose-npy": (Seed({"a_seg.npy": npy(_CELLPOSE)}),),
    "label-studio": (
        Seed({"a.json": text(_LABEL_STUDIO)}),
        Seed({"task-1-annotation-2-by-3-tag-cell-0.png": block(255)}),
    ),
    "supervisely": (
        Seed({"a/ann/a.png.json": text(_SUPERVISELY), "meta.json": text({"classes": [{"title": "cell"}]})}),
        Seed({"meta.json": text({"classes": [{"title": "cell"}]}), "a/ann/a.png.json": text(_SUPERVISELY)}),
    ),
    "darwin": (Seed({"a.json": text(_DARWIN)}), Seed({"a.json": text(_DARWIN_1)})),
    "isat": (Seed({"a.json": text(_ISAT)}),),
    "labelme-xml": (Seed({"a.xml": _LABELME_XML}),),
    "bdd100k": (Seed({"bitmasks/train/a.png": block((3, 0, 0, 1))}),),
    "roboflow": (
        Seed({"train/a_mask.png": block(1), "train/_classes.csv": b"Pixel Value, Class\n0, background\n1, cell\n"}),
        Seed({"train/_classes.csv": b"Pixel Value, Class\n0, background\n1, cell\n", "train/a_mask.png": block(1)}),
    ),
    "pannuke": (Seed({"fold1/masks.npy": npy(_CHANNELS)}),),
    "tissuenet": (Seed({"a.npz": npz(_CHANNELS[..., :2])}), Seed({"a.npz": npz(_CHANNELS[..., :2], np.savez)})),
    "tissuenet-nuclear": (Seed({"a.npz": npz(_CHANNELS[..., :2])}),),
    "ctc": (Seed({"01_GT/SEG/man_seg000.tif": tiff(_CHANNELS[0, ..., 0].astype(np.uint16))}),),
    "isaid": (
        Seed({"a_instance_id_RGB.png": block((7, 1, 0)), "a_instance_color_RGB.png": block((0, 0, 63))}),
        Seed({"a_instance_color_RGB.png": block((0, 0, 63)), "a_instance_id_RGB.png": block((7, 1, 0))}),
    ),
    "ome-zarr": (
        Seed(_ome_zarr("a.zarr/labels/cells/zarr.json")),
        Seed(_ome_zarr("a.zarr/labels/cells/0/zarr.json")),
        Seed(_ome_zarr("a.zarr/labels/zarr.json")),
    ),
    "colour-png": (
        Seed({"masks/a.png": block((64, 0, 0)), "label_colors.txt": b"0 0 0 background\n64 0 0 cell\n"}),
        Seed({"label_colors.txt": b"0 0 0 void\n64 0 0 cell\n", "masks/a.png": block((64, 0, 0))}),
        Seed({"labelmap.txt": b"background:0,0,0::\ncell:64,0,0::\n", "masks/a.png": block((64, 0, 0))}),
        Seed({"class_dict.csv": b"name,r,g,b\nback,0,0,0\ncell,64,0,0\n", "masks/a.png": block((64, 0, 0))}),
    ),
    "instance-png": (Seed({"a/masks/a.png": block(255), "a/masks/b.png": block(255)}),),
    "label-image": (
        Seed({"a.png": block(3)}, "a.png"),
        Seed({"a.npy": npy(np.array([[0, 1, 1, 70000]]))}, "a.npy"),
        Seed({"masks.npy": npy(_CHANNELS[..., 0]), "images.npy": npy(_CHANNELS[..., :3])}),
    ),
}
"""Data sets by the reader's name, one for each file that the reader depends on."""


def write_seed(seed, folder, main=None):
    """Write the data set, with `main` as its first file if given; path for the reader."""
    for index, (name, content) in enumerate(seed.files.items()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if index or main is None else main)
    return folder / seed.given


def main(folder):
    """Write all of them."""
    for name, seeds in SEEDS.items():
        for number, seed in enumerate(seeds):
            write_seed(seed, folder / f"{name}-{number}")
            corpus = folder / "main" / name
            corpus.mkdir(parents=True, exist_ok=True)
            (corpus / str(number)).write_bytes(bytes([number]) + next(iter(seed.files.values())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
