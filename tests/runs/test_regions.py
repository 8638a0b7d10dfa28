"""Partly annotated images: pixels outside the annotated regions are ignored."""

import json
import os
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.coco import square
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError, OutputError
from segprep.masks.mask import InstanceMask
from segprep.masks.regions import NO_REGION, OUTSIDE, RegionRef
from segprep.readers import READERS
from segprep.runs.recipe import recipe
from segprep.runs.regions import FLAT_FORMATS, matches
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
SHAPE = (40, 50)
TARGETS = "weights,border,distance,boundaries"
SQUARES = [(4, 4, 6), (4, 11, 6), (20, 22, 8), (30, 40, 5)]
"""Cells of each image: the first two inside the region, the third sticks out, the fourth is outside."""
REGION = (2, 2, 24)
"""Square of the annotated region."""


def drawn(*squares, shape=SHAPE):
    """Label image of squares (y, x, side), numbered from 1."""
    labels = np.zeros(shape, np.uint8)
    for number, (y, x, side) in enumerate(squares, 1):
        labels[y : y + side, x : x + side] = number
    return labels


@pytest.fixture
def coco(tmp_path):
    """COCO file of two images whose category 1, ``roi``, is the annotated region; or without it and the last cell."""

    def write(name, images, *, with_regions):
        own = [square(image, 1, *REGION) for image in images] if with_regions else []
        cells = [
            square(image, 2, *item)
            for image in (1, 2)
            for item in SQUARES[: 4 if with_regions and image in images else 3]
        ]
        categories = [{"id": 1, "name": "roi"}] * with_regions + [{"id": 2, "name": "cell"}]
        size = {"height": SHAPE[0], "width": SHAPE[1]}
        files = [{"id": number, "file_name": f"{name}.png"} | size for number, name in enumerate("ab", 1)]
        annotations = [item | {"id": number} for number, item in enumerate([*own, *cells], 1)]
        (tmp_path / name).write_text(
            json.dumps({"images": files, "categories": categories, "annotations": annotations})
        )
        return tmp_path / name

    return write


def folder_of(path, **images):
    """Folder of images by their names."""
    path.mkdir()
    for name, values in images.items():
        Image.fromarray(values).save(path / f"{name}.png")
    return path


def arrays(store):
    """All arrays of a store by the name of the mask."""
    dataset = segprep.open(store, dtype="stored")
    return {dataset.keys[index]: dataset[index] for index in range(len(dataset))}


def require_ignored_outside(found, complete, region):
    """Raise unless arrays are those of the complete masks in the region, and ignored outside of it."""
    ignored = {"classes": 255, "boundaries": 255, "weights": 0, "border": 0, "distance": 0}
    assert found.keys() == complete.keys()
    for key, sample in found.items():
        for name, value in ignored.items():
            expected = np.where(region, complete[key][name], value)
            np.testing.assert_array_equal(sample[name], expected.astype(sample[name].dtype), err_msg=f"{key} {name}")


def test_targets_are_those_of_the_complete_masks_in_the_region_and_ignored_outside(coco, tmp_path):
    region = drawn(REGION) > 0
    info = segprep.preprocess(
        coco("roi.json", (1, 2), with_regions=True), tmp_path / "a.zarr", roi="roi", targets=TARGETS, workers=ONE
    )
    segprep.preprocess(coco("plain.json", (), with_regions=False), tmp_path / "b.zarr", targets=TARGETS, workers=ONE)
    require_ignored_outside(arrays(tmp_path / "a.zarr"), arrays(tmp_path / "b.zarr"), region)
    assert [(entry.code, entry.name, entry.all.instances) for entry in info.classes] == [
        (0, "background", 0),
        (1, "cell", 6),
    ]
    assert info.ignored_pixels == 2 * int((~region).sum())
    cells = drawn(*SQUARES[:3]) > 0
    assert [entry.all.pixels for entry in info.classes] == [
        2 * int((region & ~cells).sum()),
        2 * int((region & cells).sum()),
    ]
    assert [(item.kind, item.key, item.where) for item in info.problems] == [
        (OUTSIDE, "a.png", "y=30, x=40"),
        (OUTSIDE, "b.png", "y=30, x=40"),
    ]


@pytest.mark.parametrize("kind", ["png", "geojson", "coco"])
def test_regions_may_be_files_by_the_names_of_the_masks(kind, tmp_path):
    masks = folder_of(tmp_path / "masks", a=drawn(*SQUARES), b=drawn(*SQUARES))
    inside = folder_of(tmp_path / "inside", a=drawn(*SQUARES[:3]), b=drawn(*SQUARES[:3]))
    y, x, side = REGION
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    if kind == "png":
        binary = 255 * (drawn(REGION) > 0).astype(np.uint8)
        regions = folder_of(tmp_path / "regions", a=binary, b=binary)
    elif kind == "geojson":
        (regions := tmp_path / "regions").mkdir()
        for name in "ab":
            (regions / f"{name}.geojson").write_text(json.dumps([feature]))
    else:
        size = {"height": SHAPE[0], "width": SHAPE[1]}
        images = [{"id": number, "file_name": f"{name}.jpg"} | size for number, name in enumerate("ab", 1)]
        annotations = [square(number, 1, *REGION) | {"id": number} for number in (1, 2)]
        content = {"images": images, "categories": [{"id": 1, "name": "area"}], "annotations": annotations}
        (regions := tmp_path / "regions.json").write_text(json.dumps(content))
    options = {"targets": TARGETS, "workers": ONE}
    info = segprep.preprocess(masks, tmp_path / "a.zarr", roi=regions, **options)
    segprep.preprocess(inside, tmp_path / "b.zarr", **options)
    require_ignored_outside(arrays(tmp_path / "a.zarr"), arrays(tmp_path / "b.zarr"), drawn(REGION) > 0)
    assert (info.regions.roi, info.regions.code, info.instances) == (str(regions), None, 6)
    assert segprep.verify(tmp_path / "a.zarr", against=masks, workers=ONE).findings == ()


def corners(y, x, side):
    """Corners of a square as points [x, y]."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def write_labelme(folder, shapes):
    content = [{"label": name, "points": corners(*item), "shape_type": "polygon"} for name, item in shapes]
    size = {"imageHeight": SHAPE[0], "imageWidth": SHAPE[1], "imagePath": "a.jpg"}
    (folder / "a.json").write_text(json.dumps({"version": "5.5.0", "shapes": content} | size))


def write_qupath(folder, shapes):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*corners(*item), corners(*item)[0]]]},
            "properties": {"classification": {"name": name}},
        }
        for name, item in shapes
    ]
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    Image.new("RGB", SHAPE[::-1]).save(folder / "a.png")


def write_cvat(folder, shapes):
    points = [";".join(f"{x},{y}" for x, y in corners(*item)) for _, item in shapes]
    drawn = "".join(
        f'<polygon label="{name}" occluded="0" points="{at}" z_order="0"/>'
        for (name, _), at in zip(shapes, points, strict=True)
    )
    image = f'<image id="0" name="a.jpg" height="{SHAPE[0]}" width="{SHAPE[1]}">{drawn}</image>'
    (folder / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{image}</annotations>'
    )


def write_yolo(folder, shapes):
    (folder / "labels").mkdir()
    (folder / "images").mkdir()
    names = ["cell", "nerve", "roi"]
    (folder / "data.yaml").write_text(f"names: {json.dumps(names)}\n")
    lines = [
        " ".join([str(names.index(name)), *(f"{x / SHAPE[1]:.6f} {y / SHAPE[0]:.6f}" for x, y in corners(*item))])
        for name, item in shapes
    ]
    (folder / "labels" / "a.txt").write_text("\n".join(lines))
    Image.new("RGB", SHAPE[::-1]).save(folder / "images" / "a.png")


@pytest.mark.parametrize("write", [write_labelme, write_qupath, write_cvat, write_yolo])
def test_regions_are_a_class_of_every_format_of_outlines(write, tmp_path):
    shapes = [("nerve", SQUARES[0]), ("roi", REGION), ("cell", SQUARES[1]), ("nerve", SQUARES[2]), ("cell", SQUARES[3])]
    write(tmp_path, shapes)
    info = segprep.preprocess(tmp_path, tmp_path / "a.zarr", roi="roi", workers=ONE)
    assert [(entry.name, entry.all.instances) for entry in info.classes] == [
        ("background", 0),
        ("cell", 1),
        ("nerve", 2),
    ]
    expected = np.where(drawn(REGION) > 0, np.array([0, 2, 1, 2])[drawn(*SQUARES[:3])], 255)
    np.testing.assert_array_equal(segprep.open(tmp_path / "a.zarr")[0]["classes"], expected)


def test_stores_of_parts_and_workers_have_the_same_bytes(coco, tmp_path):
    data = coco("roi.json", (1, 2), with_regions=True)
    for name, steps in (
        ("a", [{"workers": ONE}]),
        ("b", [{"workers": 2}]),
        ("c", [{"part": "2/2", "workers": ONE}, {"part": "1/2", "workers": ONE}, {"workers": ONE}]),
    ):
        for step in steps:
            segprep.preprocess(data, tmp_path / f"{name}.zarr", roi="roi", **step)
    files = [
        {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        for store in (tmp_path / f"{name}.zarr" for name in "abc")
    ]
    assert files[0] == files[1] == files[2]


def test_pixels_of_other_classes_are_annotated_in_an_image_of_colours(tmp_path):
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[2:20, 2:20] = (0, 255, 0)
    colours[5:9, 5:9] = colours[30:34, 30:34] = (255, 0, 0)
    (data := tmp_path / "data").mkdir()
    folder_of(data / "masks", a=colours)
    (data / "label_colors.txt").write_text("0 0 0 background\n0 255 0 looked at\n255 0 0 cell\n")
    info = segprep.preprocess(data, tmp_path / "a.zarr", roi="looked at", workers=ONE)
    expected = np.full(SHAPE, 255)
    expected[2:20, 2:20] = 0
    expected[5:9, 5:9] = expected[30:34, 30:34] = 1
    np.testing.assert_array_equal(segprep.open(tmp_path / "a.zarr")[0]["classes"], expected)
    assert (info.source_format, [entry.name for entry in info.classes]) == ("colour-png", ["background", "cell"])


def test_a_crowd_behind_the_region_stays_ignored(coco, tmp_path):
    path = coco("roi.json", (1, 2), with_regions=True)
    content = json.loads(path.read_text())
    runs = np.zeros(SHAPE, np.uint8)
    runs[12:16, 6:10] = 1
    flat = runs.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    crowd = {"id": 99, "image_id": 1, "category_id": 2, "iscrowd": 1}
    content["annotations"].append(crowd | {"segmentation": {"counts": counts, "size": list(SHAPE)}})
    path.write_text(json.dumps(content))
    info = segprep.preprocess(path, tmp_path / "a.zarr", roi="roi", workers=ONE)
    assert info.ignored_pixels == 2 * int((drawn(REGION) == 0).sum()) + 16
    assert (arrays(tmp_path / "a.zarr")["a.png"]["classes"][12:16, 6:10] == 255).all()


def test_a_mask_without_a_region_is_refused_unless_its_meaning_is_given(coco, tmp_path):
    data = coco("roi.json", (1,), with_regions=True)
    with pytest.raises(InputError) as error:
        segprep.preprocess(data, tmp_path / "a.zarr", roi="roi", workers=ONE)
    assert "b.png: has no annotated region (no pixel of the class 'roi'); draw one, or say" in str(error.value)
    assert "1 of 2 masks cannot be read, nothing was written" in str(error.value)
    assert not (tmp_path / "a.zarr").exists()
    for meaning, ignored, instances in (("ignored", 40 * 50, 3), ("annotated", 0, 6)):
        store = tmp_path / f"{meaning}.zarr"
        info = segprep.preprocess(data, store, roi="roi", without_roi=meaning, workers=ONE)
        (notice,) = (item for item in info.problems if item.kind == NO_REGION)
        assert (notice.key, notice.where, notice.left_out) == ("b.png", f"completely {meaning}", False)
        assert (info.ignored_pixels, info.instances) == (int((drawn(REGION) == 0).sum()) + ignored, instances)
        assert segprep.verify(store, against=data, workers=ONE).findings == ()
    info = segprep.preprocess(data, tmp_path / "c.zarr", roi="roi", on_error="skip-mask", workers=ONE)
    assert info.masks == 1


def test_a_store_without_regions_says_nothing_of_them(coco, tmp_path):
    segprep.preprocess(coco("plain.json", (), with_regions=False), tmp_path / "a.zarr", workers=ONE)
    assert "roi" not in (tmp_path / "a.zarr" / "zarr.json").read_text()
    assert "regions" not in (tmp_path / "a.zarr" / "zarr.json").read_text()


def test_other_regions_are_refused_and_a_changed_file_of_regions_is_noticed(tmp_path):
    masks = folder_of(tmp_path / "masks", a=drawn(*SQUARES), b=drawn(*SQUARES))
    region = (drawn(REGION) > 0).astype(np.uint8)
    regions = folder_of(tmp_path / "regions", a=region, b=region)
    store, options = tmp_path / "a.zarr", {"roi": str(regions), "workers": ONE}
    first = segprep.preprocess(masks, store, **options)
    assert segprep.preprocess(masks, store, **options) == first
    with pytest.raises(OutputError, match="exists with other settings: other roi;"):
        segprep.preprocess(masks, store, workers=ONE)
    region[0] = 1
    Image.fromarray(region).save(regions / "a.png")
    os.utime(regions / "a.png", ns=(1, 1))
    with pytest.raises(OutputError, match=r"1 changed \(a\.png\)"):
        segprep.preprocess(masks, store, **options)
    again = segprep.preprocess(masks, store, overwrite=True, **options)
    assert again.ignored_pixels == first.ignored_pixels - region.shape[1]


def test_regions_are_the_same_from_every_working_directory(tmp_path, monkeypatch):
    for folder in ("project", "elsewhere"):
        (tmp_path / folder).mkdir()
    masks = folder_of(tmp_path / "project" / "masks", a=drawn(*SQUARES))
    regions = folder_of(tmp_path / "project" / "regions", a=(drawn(REGION) > 0).astype(np.uint8))
    store, options = tmp_path / "a.zarr", {"workers": ONE}
    monkeypatch.chdir(tmp_path / "project")
    segprep.preprocess(masks, store, roi="regions", **options)
    shard = next(path for path in sorted(store.rglob("c/*/0/0")) if "weights" in path.parts)
    before = shard.read_bytes(), shard.stat().st_mtime_ns
    monkeypatch.chdir(tmp_path / "elsewhere")
    for update, roi in ((False, str(regions)), (True, "../project/regions/")):
        segprep.preprocess(masks, store, roi=roi, update=update, **options)
        assert (shard.read_bytes(), shard.stat().st_mtime_ns) == before
    monkeypatch.chdir(tmp_path / "project")  # where the path is another one
    assert segprep.verify(store, against=masks, workers=ONE).findings == ()
    assert recipe(store, segprep.describe(store)).runs[0]["roi"] == "../project/regions/"
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.move(tmp_path / "project", tmp_path / "moved")
    assert "there is no ../project/regions/" in recipe(store, segprep.describe(store)).remarks[0]
    masks = tmp_path / "moved" / "masks"
    assert segprep.verify(store, against=masks, workers=ONE).findings == ()
    shard.write_bytes(b"")
    assert segprep.repair(store, masks, workers=ONE).findings == ()
    assert shard.read_bytes() == before[0]
    (tmp_path / "moved" / "regions").rename(tmp_path / "moved" / "other")
    with pytest.raises(InputError, match="with these regions: put regions beside the data"):
        segprep.verify(store, against=masks, workers=ONE)


def test_a_damaged_store_is_repaired_from_data_with_regions(coco, tmp_path):
    data, store = coco("roi.json", (1, 2), with_regions=True), tmp_path / "a.zarr"
    segprep.preprocess(data, store, roi="roi", workers=ONE)
    shutil.copytree(store, tmp_path / "before")
    shard = next(path for path in sorted(store.rglob("c/*/0/0")) if "weights" in path.parts)
    shard.write_bytes(shard.read_bytes()[:-1])
    assert segprep.repair(store, data, workers=ONE).findings == ()
    assert shard.read_bytes() == (tmp_path / "before" / shard.relative_to(store)).read_bytes()


def test_tiles_are_parts_of_masks_with_regions(coco, tmp_path):
    data, options = coco("roi.json", (1, 2), with_regions=True), {"roi": "roi", "targets": TARGETS, "workers": ONE}
    segprep.preprocess(data, tmp_path / "a.zarr", **options)
    segprep.preprocess(data, tmp_path / "b.zarr", tile=16, tile_overlap=4, **options)
    tiles, complete = segprep.open(tmp_path / "b.zarr", dtype="stored"), arrays(tmp_path / "a.zarr")
    for key in ("a.png", "b.png"):
        source = tiles.source(key)
        for name in ("classes", "weights", "border", "distance", "boundaries"):
            np.testing.assert_array_equal(source[name], complete[key][name])
    assert segprep.verify(tmp_path / "b.zarr", against=data, workers=ONE).findings == ()
    info = segprep.preprocess(data, tmp_path / "c.zarr", tile=16, keep_empty=0, **options)
    assert 0 < info.masks < len(tiles)


@dataclass(frozen=True)
class OwnRef:
    """Mask of one cell in each of three classes, the second of which is the region."""

    key: str
    split: str | None = None

    def load(self):
        planes = np.stack([drawn(*SQUARES[:2]), 3 * drawn(REGION)]).astype(np.int32)
        return InstanceMask(planes, np.array([0, 1, 3, 2], np.int32))


def test_regions_of_own_refs_are_a_class_of_theirs(tmp_path):
    refs, store = [OwnRef("a"), OwnRef("b")], tmp_path / "a.zarr"
    info = segprep.preprocess(refs, store, classes=["cell", "looked at", "nerve"], roi="looked at", workers=ONE)
    assert [(entry.name, entry.all.instances) for entry in info.classes] == [
        ("background", 0),
        ("cell", 2),
        ("nerve", 2),
    ]
    np.testing.assert_array_equal(segprep.open(store)[0]["classes"] == 255, drawn(REGION) == 0)
    assert segprep.verify(store, against=refs, workers=ONE).findings == ()


def test_an_unknown_class_lists_the_classes(coco):
    data = coco("roi.json", (1, 2), with_regions=True)
    with pytest.raises(OptionError) as error:
        segprep.check(data, roi="rio")
    assert str(error.value) == (
        "roi='rio': neither a class of the data (roi, cell) nor a file or folder; did you mean 'roi'?"
    )
    with pytest.raises(OptionError, match="is the only class of the data"):
        segprep.check([OwnRef("a")], classes=["roi"], roi="roi")
    with pytest.raises(OptionError, match="needs regions, as roi="):
        segprep.check(data, without_roi="ignored")


def test_regions_of_another_size_or_name_are_refused(tmp_path):
    masks = folder_of(tmp_path / "masks", a=drawn(*SQUARES), b=drawn(*SQUARES))
    other = folder_of(tmp_path / "other", c=drawn(REGION), d=drawn(REGION))
    with pytest.raises(
        InputError, match=r"no region has the name of a mask: regions c\.png, d\.png; masks a\.png, b\.png"
    ):
        segprep.check(masks, roi=other)
    small = folder_of(tmp_path / "small", a=drawn(REGION, shape=(40, 49)), b=drawn(REGION), c=drawn(REGION))
    report = segprep.check(masks, roi=small, workers=ONE)
    messages = [item.where for item in report.problems if item.key == "a.png"]
    assert messages == [f"a.png: its regions, a.png of {small}, have 40 x 49 pixels, but the mask has 40 x 50 pixels"]
    assert any("regions without a mask of their name" in line and "c.png" in line for line in report.notices)
    with pytest.raises(InputError, match="all masks of the data lie there"):
        segprep.check(masks, roi=masks)


def test_check_reports_the_share_of_ignored_pixels(coco):
    report = segprep.check(coco("roi.json", (1, 2), with_regions=True), roi="roi", workers=ONE)
    ignored = drawn(REGION) == 0
    assert (report.ignored_pixels, report.ignored_share) == (2 * int(ignored.sum()), pytest.approx(ignored.mean()))
    assert [entry.name for entry in report.classes] == ["background", "cell"]


def test_a_region_fits_one_mask():
    assert matches(["train/a.png", "val/b.png"], ["val/b.geojson", "train/a"], "r") == [1, 0]
    assert matches(["a.png"], ["regions.geojson"], "r") == [0]
    with pytest.raises(InputError, match=r"the region a\.png fits both train/a\.png and val/a\.png"):
        matches(["train/a.png", "val/a.png"], ["a.png", "b.png"], "r")
    with pytest.raises(InputError, match=r"a\.png has several regions: x/a\.png, y/a\.png"):
        matches(["a.png", "b.png"], ["x/a.png", "y/a.png"], "r")


def test_flat_formats_are_formats():
    assert READERS.keys() >= FLAT_FORMATS


def test_an_update_follows_regions_that_are_drawn_again_and_loads_no_other_mask(tmp_path, monkeypatch):
    images = {name: drawn(*SQUARES) for name in "abcd"}
    masks = folder_of(tmp_path / "masks", **images)
    regions = folder_of(tmp_path / "regions", **dict.fromkeys("abcd", drawn(REGION)))
    chosen = {"roi": str(regions), "targets": TARGETS, "workers": ONE}
    segprep.preprocess(masks, tmp_path / "a.zarr", **chosen)

    Image.fromarray(drawn((0, 0, 30))).save(regions / "b.png")
    with pytest.raises(OutputError, match="add update=True to follow the data"):
        segprep.preprocess(masks, tmp_path / "a.zarr", **chosen)
    loaded = []
    monkeypatch.setattr(RegionRef, "load", lambda ref, load=RegionRef.load: loaded.append(ref.key) or load(ref))
    segprep.preprocess(masks, tmp_path / "a.zarr", update=True, **chosen)

    assert set(loaded) == {"b.png"}
    segprep.preprocess(masks, tmp_path / "new.zarr", **chosen)
    found, new = arrays(tmp_path / "a.zarr"), arrays(tmp_path / "new.zarr")
    assert found.keys() == new.keys()
    for key, sample in found.items():
        for name in sample.keys() - {"key"}:
            np.testing.assert_array_equal(sample[name], new[key][name])
    with pytest.raises(OutputError, match="without_roi"):
        segprep.preprocess(masks, tmp_path / "a.zarr", update=True, without_roi="ignored", **chosen)
