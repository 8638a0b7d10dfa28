import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError, OptionError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, find


def write(file, *, shape=(4, 5), at=np.s_[1:3, 1:3]):
    """Write one instance."""
    pixels = np.zeros(shape, np.uint8)
    pixels[at] = 255
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def test_every_file_is_an_instance_in_the_order_of_names(tmp_path):
    write(tmp_path / "cell/masks/b.png", at=np.s_[0, 0])
    write(tmp_path / "cell/masks/a.PNG", at=np.s_[1:3, 1:3])
    masks = find(tmp_path)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key, mask.shape) == ("instance-png", "cell", (4, 5))
    assert mask.areas.tolist() == [0, 4, 1]
    assert mask.classes.tolist() == [0, 1, 1]
    assert [entry.name for entry in masks.classes.entries] == ["background", "instance"]


def test_instances_that_overlap_lose_no_pixel(tmp_path):
    write(tmp_path / "cell/masks/a.png")
    write(tmp_path / "cell/masks/b.png", at=np.s_[2:4, 1:4])
    assert find(tmp_path).refs[0].load().areas.tolist() == [0, 4, 6]


def test_images_lie_a_few_folders_deep_and_are_sorted(tmp_path):
    for key in ("b/x/y/1", "a", "b/2"):
        write(tmp_path / key / "masks/1.png")
        write(tmp_path / key / "images/1.png")
    assert [ref.key for ref in find(tmp_path).refs] == ["a", "b/2", "b/x/y/1"]


def test_litter_and_links_are_skipped(tmp_path):
    write(tmp_path / "data/cell/masks/1.png")
    write(tmp_path / "elsewhere/cell/masks/1.png")
    for name in ("._1.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / "data/cell/masks" / name).write_text("litter")
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere/cell")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data")
    (tmp_path / "data/cell/masks/2.png").symlink_to(tmp_path / "elsewhere/cell/masks/1.png")
    (ref,) = find(tmp_path / "data").refs
    assert ref.load().areas.tolist() == [0, 4]


def test_a_file_without_foreground_is_left_out_and_recorded(tmp_path):
    write(tmp_path / "cell/masks/1.png", at=np.s_[:0])
    write(tmp_path / "cell/masks/2.png")
    mask = find(tmp_path).refs[0].load()
    assert mask.areas.tolist() == [0, 4]
    assert mask.problems == (Problem("no foreground", "1.png"),)


def test_instances_of_different_sizes_are_refused(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    write(tmp_path / "cell/masks/2.png", shape=(5, 4))
    with pytest.raises(InputError, match=r"2\.png: 5 x 4 pixels, but 1\.png has 4 x 5; all must be of one size"):
        find(tmp_path).refs[0].load()


def test_the_limit_of_pixels_reaches_the_ref(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    (ref,) = find(tmp_path, options=ReadOptions(max_pixels=19)).refs
    with pytest.raises(InputError, match=r"1\.png: 4 x 5 pixels are more than max_pixels=19"):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_a_folder_that_was_emptied_meanwhile_is_refused(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    (ref,) = find(tmp_path).refs
    (tmp_path / "cell/masks/1.png").unlink()
    with pytest.raises(InputError, match=r"its files are gone"):
        ref.load()


def test_a_split_of_label_images_is_no_image(tmp_path):
    for number in range(2):
        write(tmp_path / f"train/images/{number}.png")
        write(tmp_path / f"train/masks/{number}.png")
    with pytest.raises(InputError, match="no known layout"):
        find(tmp_path, format="instance-png")
    assert find(tmp_path / "train").format == "label-image"


def test_one_image_may_be_given_by_itself(tmp_path):
    write(tmp_path / "cell/images/cell.png")
    for number in range(2):
        write(tmp_path / f"cell/masks/{number}.png")
    masks = find(tmp_path / "cell")
    assert (masks.format, [ref.key for ref in masks.refs]) == ("instance-png", ["cell"])


LAYOUTS = {
    "classes in folders": (
        ["cell/images/cell.png", "cell/masks/nucleus/1.png", "cell/masks/nucleus/2.png", "cell/masks/wall/1.png"],
        {"cell": ["nucleus", "nucleus", "wall"]},
    ),
    "one image with classes in folders": (
        ["images/cell.png", "masks/nucleus/1.png", "masks/wall/1.png"],
        {"data": ["nucleus", "wall"]},
    ),
    "one image with classes in names": (
        ["cell/images/a.jpg", "cell/masks/a_wall_1.png", "cell/masks/a_2.png"],
        {"cell": ["instance", "wall"]},
    ),
    "folders by picture": (
        ["images/a.tif", "images/b.tif", "images/c.tif", "masks/a/1.png", "masks/a/2.png", "masks/b/x.PNG"],
        {"a": ["instance", "instance"], "b": ["instance"]},
    ),
    "folders by picture and class": (
        ["images/a.jpg", "images/b.jpg", "masks/a/wall/1.png", "masks/a/nucleus/1.png", "masks/b/wall/1.png"],
        {"a": ["nucleus", "wall"], "b": ["wall"]},
    ),
    "a folder by the one picture": (["Images/a.jpg", "Masks/a/1.png"], {"a": ["instance"]}),
    "folders by picture in splits": (
        ["train/images/a.jpg", "train/images/b.jpg", "train/masks/a/1.png", "val/images/a.jpg", "val/masks/a/1.png"],
        {"train/a": ["instance"], "val/a": ["instance"]},
    ),
    "names with a number": (
        ["images/a.jpg", "images/a_1.jpg", "masks/a_1_7.png", "masks/a_7.png", "masks/a_8.png"],
        {"a": ["instance", "instance"], "a_1": ["instance"]},
    ),
    "names with the word mask": (
        ["images/a.jpg", "images/b.jpg", "masks/a_mask_1.png", "masks/a_mask_2.png", "masks/b_Mask_0.png"],
        {"a": ["instance", "instance"], "b": ["instance"]},
    ),
    "names with a class": (
        ["images/a.jpg", "images/b.jpg", "masks/a_big_cell_1.png", "masks/a_wall_1.png", "masks/b_wall_9.png"],
        {"a": ["big_cell", "wall"], "b": ["wall"]},
    ),
    "names in splits": (
        [f"{part}/{name}" for part in ("train", "test") for name in ("images/a.jpg", "images/b.jpg")]
        + [f"{part}/masks/a_{number}.png" for part in ("train", "test") for number in (1, 2)],
        {"test/a": ["instance", "instance"], "train/a": ["instance", "instance"]},
    ),
    "names without a number": (
        [
            "images/a.jpg",
            "images/b.jpg",
            "masks/a_class_leaf.png",
            "masks/a_stem.png",
            "masks/b leaf.png",
            "masks/b-1f2e.png",
        ],
        {"a": ["leaf", "stem"], "b": ["leaf", "instance"]},
    ),
    "labels in place of masks": (
        ["images/a.jpg", "images/b.jpg", "labels/a_1.png", "labels/a_2.png", "labels/b_1.png"],
        {"a": ["instance", "instance"], "b": ["instance"]},
    ),
    "splits inside of folders": (
        [f"{part}/train/{name}" for part, name in (("imgs", "a.jpg"), ("imgs", "b.jpg"), ("masks", "a_1.png"))]
        + ["masks/train/a_2.png", "masks/train/b_1.png"],
        {"train/a": ["instance", "instance"], "train/b": ["instance"]},
    ),
    "beside their images": (
        ["cell (1).png", "cell (2).png", "cell (1)_mask.png", "cell (1)_mask_1.png", "cell (2)_mask.png"],
        {"cell (1)": ["instance", "instance"], "cell (2)": ["instance"]},
    ),
    "Label Studio beside images": (
        [
            "images/x.jpg",
            "images/y.jpg",
            *(f"masks/task-1-annotation-2-by-3-tag-leaf-{number}.png" for number in (0, 1)),
        ],
        {"task-1-annotation-2": ["leaf", "leaf"]},
    ),
    "BMP": (["a/masks/1.bmp", "a/masks/2.bmp"], {"a": ["instance", "instance"]}),
    "GIF": (["a/masks/1.gif", "a/masks/2.gif"], {"a": ["instance", "instance"]}),
    "TIFF by name": (
        ["images/a.tif", "images/b.tif", "masks/a_1.tif", "masks/a_2.tif", "masks/b_1.tif"],
        {"a": ["instance", "instance"], "b": ["instance"]},
    ),
    "JPEG": (
        ["images/a.jpg", "images/b.jpg", "masks/a_1.jpg", "masks/a_2.JPEG", "masks/b_1.png"],
        {"a": ["instance", "instance"], "b": ["instance"]},
    ),
}


@pytest.mark.parametrize(("files", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_folders_and_names_give_the_images_and_classes(tmp_path, files, expected):
    for name in files:
        write(tmp_path / "data" / name)
    masks = find(tmp_path / "data")
    names = [entry.name for entry in masks.classes.entries]
    assert masks.format == "instance-png"
    assert {ref.key: [names[code] for code in ref.load().classes[1:]] for ref in masks.refs} == expected
    assert names == ["background", *sorted({name for classes in expected.values() for name in classes})]
    assert all((ref.load().areas[1:] == 4).all() for ref in masks.refs)
    assert {problem.kind for _, problem in masks.problems} <= {"image without a mask"}


@pytest.mark.parametrize(
    "files",
    [
        ["cell/masks/1-wall.png", "cell/masks/2-nucleus.png", "cell/masks/3.png"],
        ["cell/images/a.png", "cell/masks/x/1-wall.png", "cell/masks/x/2-nucleus.png", "cell/masks/x/3.png"],
    ],
)
def test_a_pattern_may_give_the_classes(tmp_path, files):
    for name in files:
        write(tmp_path / name)
    masks = find(tmp_path, options=ReadOptions(class_pattern=r"-(?P<class>[a-z]+)[.]"))
    assert [entry.name for entry in masks.classes.entries[1:]] == ["instance", "nucleus", "wall"]
    assert masks.refs[0].load().classes.tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"class_pattern='\(': not a regular expression"),
        ("([a-z]+)", r"has no group of the class; write it as \(\?P<class>\.\.\.\)"),
        ("(?P<class>z+)", r"class_pattern='\(\?P<class>z\+\)': matches no name of a file, such as '1\.png'"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(tmp_path, pattern, message):
    write(tmp_path / "cell/masks/1.png")
    with pytest.raises(OptionError, match=message):
        find(tmp_path, options=ReadOptions(class_pattern=pattern))


def test_a_pattern_for_another_format_is_refused(tmp_path):
    write(tmp_path / "1.png")
    with pytest.raises(OptionError, match="is label-image; only instance-png has classes in names of files"):
        find(tmp_path, options=ReadOptions(class_pattern="(?P<class>1)"))


def test_splits_around_folders_of_images_are_kept(tmp_path):
    for part in ("test", "train", "val"):
        write(tmp_path / part / "images/a.png")
        write(tmp_path / part / "masks/a/1.png")
    assert [ref.split for ref in find(tmp_path).refs] == ["test", "train", "val"]


OTHERS = {
    "one mask for each picture": ["images/a.png", "images/b.png", "masks/a_1.png", "masks/b_1.png"],
    "masks named as the pictures": ["images/a.png", "images/a_1.png", "masks/a.png", "masks/a_1.png"],
    "masks mostly of no image": [
        "images/a.png",
        "images/b.png",
        *(f"masks/{name}.png" for name in ("a_1", "a_2", "c", "d")),
    ],
    "no pictures": ["masks/a_1.png", "masks/a_2.png"],
}


@pytest.mark.parametrize("files", OTHERS.values(), ids=OTHERS)
def test_names_that_do_not_tell_of_several_instances_are_label_images(tmp_path, files):
    for name in files:
        write(tmp_path / name)
    assert find(tmp_path).format == "label-image"


UNKNOWN = {
    "folder of no picture": ["images/a.jpg", "images/b.jpg", "masks/a/1.png", "masks/c/1.png"],
    "folders without pictures": ["data/masks/a/1.png", "data/masks/b/1.png"],
    "empty folder": ["images/a.jpg", "images/b.jpg", "masks/a/notes.txt"],
}


@pytest.mark.parametrize("files", UNKNOWN.values(), ids=UNKNOWN)
def test_folders_that_may_mean_something_else_are_refused(tmp_path, files):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("nothing")
        else:
            write(tmp_path / name)
    with pytest.raises(InputError, match="no known layout"):
        find(tmp_path, format="instance-png")


def bitmap_image(mode):
    """Picture of one instance of 2 x 2 pixels in one of the ways that programs write it."""
    pixels = np.zeros((4, 5), np.uint8)
    pixels[1:3, 1:3] = 255
    grey = Image.fromarray(pixels)
    if mode == "0/1":
        return Image.fromarray(pixels // 255)
    if mode == "16 bits":
        return Image.fromarray(pixels.astype(np.uint16) * 257)
    if mode == "palette":
        image = Image.fromarray(pixels // 255).convert("P")
        image.putpalette([9, 9, 9, 0, 0, 0])
        return image
    return grey if mode == "0/255" else grey.convert(mode)


@pytest.mark.parametrize("mode", ["0/255", "0/1", "1", "palette", "16 bits", "LA", "RGB", "RGBA"])
def test_an_instance_may_be_written_in_any_way(tmp_path, mode):
    write(tmp_path / "cell/masks/1.png")
    bitmap_image(mode).save(tmp_path / "cell/masks/2.png")
    mask = find(tmp_path).refs[0].load()
    assert mask.areas.tolist() == [0, 4, 4]
    assert len(mask.planes) == 2
    np.testing.assert_array_equal(mask.planes[0] > 0, mask.planes[1] > 0)


def test_of_a_jpeg_what_is_at_least_half_of_white_is_the_instance(tmp_path):
    pixels = np.zeros((24, 32), np.uint8)
    pixels[5:14, 7:20] = 255
    noisy = Image.fromarray(pixels)
    (tmp_path / "cell/masks").mkdir(parents=True)
    noisy.save(tmp_path / "cell/masks/1.jpg", quality=90)
    decoded = np.asarray(Image.open(tmp_path / "cell/masks/1.jpg"))
    mask = find(tmp_path).refs[0].load()
    assert np.count_nonzero(decoded) > np.count_nonzero(pixels)
    np.testing.assert_array_equal(mask.planes[0], pixels > 0)


def test_faint_greys_alone_are_no_foreground(tmp_path):
    for number, grey in enumerate((127, 128)):
        file = tmp_path / f"cell/masks/{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), grey, np.uint8)).save(file, quality=100)
    mask = find(tmp_path).refs[0].load()
    assert (mask.areas.tolist(), mask.problems) == ([0, 64], (Problem("no foreground", "0.jpg"),))


def test_a_jpeg_in_colour_is_refused(tmp_path):
    (tmp_path / "cell/masks").mkdir(parents=True)
    Image.new("RGB", (5, 4)).save(tmp_path / "cell/masks/1.jpg")
    with pytest.raises(InputError, match=r"1\.jpg: an image in RGB; a JPEG of an instance must be grey"):
        find(tmp_path).refs[0].load()


def test_the_size_of_a_jpeg_is_checked_before_its_pixels(tmp_path):
    write(tmp_path / "cell/masks/1.jpg")
    file = tmp_path / "cell/masks/1.jpg"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"1\.jpg: 4 x 5 pixels are more than max_pixels=19"):
        find(tmp_path, options=ReadOptions(max_pixels=19)).refs[0].load()
    with pytest.raises(InputError, match=r"1\.jpg: cannot be read as JPEG: "):
        find(tmp_path).refs[0].load()


@pytest.mark.slow
def test_dsb2018_has_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/dsb2018.json").read_text())
    refs = find(data_dir / "dsb2018/stage1_train").refs
    found = {}
    for ref in refs:
        mask = ref.load()
        height, width = mask.shape
        found[ref.key] = (height, width, len(mask.classes) - 1, np.count_nonzero(mask.labels), mask.areas.sum())
    names = ("h", "w", "instances", "union_pixels", "sum_instance_pixels")
    assert found == {key: tuple(fact[name] for name in names) for key, fact in facts["per_image"].items()}
    assert (len(refs), sum(counts[2] for counts in found.values())) == (48, 2889)


def test_a_mask_of_no_image_is_left_out_and_named(tmp_path):
    for name in (
        "images/a.png",
        "images/b.png",
        "images/d.png",
        "masks/a_1.png",
        "masks/a_2.png",
        "masks/b_x.png",
        "masks/c.png",
    ):
        write(tmp_path / name)
    masks = find(tmp_path)
    assert [ref.key for ref in masks.refs] == ["a", "b"]
    assert masks.problems == (
        (tmp_path.name, Problem("image without a mask", "d", left_out=False)),
        ("masks", Problem("among the masks, but not read", "c.png")),
    )


def test_images_with_an_empty_folder_of_masks_are_empty_and_those_without_one_are_named(tmp_path):
    write(tmp_path / "data/a/masks/1.png")
    for name in "abc":
        write(tmp_path / f"data/{name}/images/{name}.png")
    (tmp_path / "data/b/masks").mkdir()
    masks = find(tmp_path / "data")
    assert [(ref.key, ref.load().areas.tolist(), ref.load().shape) for ref in masks.refs] == [
        ("a", [0, 4], (4, 5)),
        ("b", [0], (4, 5)),
    ]
    assert masks.problems == (("data", Problem("image without a mask", "c", left_out=False)),)
    assert masks.notices == (("data", Problem("images without instances are empty masks", "b", left_out=False)),)


def test_a_size_that_is_not_the_images_is_named(tmp_path):
    write(tmp_path / "cell/images/a.png", shape=(5, 4))
    write(tmp_path / "cell/masks/1.png")
    where = "4 x 5 pixels, but a.png has 5 x 4 (transposed)"
    assert find(tmp_path).refs[0].load().problems == (Problem("size differs from the image's", where, left_out=False),)


def test_what_is_not_read_among_the_masks_is_named(tmp_path):
    for name in ("1.png", "2.bmp"):
        write(tmp_path / "cell/masks" / name)
    (tmp_path / "cell/masks/3.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "cell/masks/4.png").mkdir()
    (tmp_path / "cell/masks/notes.txt").write_text("none")
    masks = find(tmp_path)
    assert [ref.load().areas.tolist() for ref in masks.refs] == [[0, 4]]
    where = "3 (2.bmp, 4.png/, 3.png (a link or no file))"
    assert masks.problems == (("cell/masks", Problem("among the masks, but not read", where)),)
    assert [notice for _, notice in masks.notices] == [
        Problem("other files among the masks are not read", "notes.txt", left_out=False)
    ]
