import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, colour_png

BLACK, RED, GREEN, STRANGE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (1, 2, 3)
PALETTES = {
    "label_colors.txt": "# R G B name\n0 0 0 background\n255 0 0\tred car\n\n0 255 0 grass\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nred car:255,0,0::\ngrass:0,255,0::\n",
    "class_dict.csv": "name,r,g,b\nbackground,0,0,0\nred car,255,0,0\ngrass,0,255,0\n",
    "dataset_meta.json": json.dumps(
        {
            "label_map": {"7": "none of these", "8": "red car", "9": "grass"},
            "segmentation_colors": [BLACK, RED, GREEN],
            "background_label": "7",
        }
    ),
}


def write(file, *colours):
    """Write a picture of one row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([colours], np.uint8)).save(file)


def find(path, **options):
    return colour_png.find(path, ReadOptions(**options))


@pytest.fixture
def folder(tmp_path):
    """Data set of one mask without a palette."""
    write(tmp_path / "masks/a.png", RED, RED, GREEN, BLACK)
    return tmp_path


@pytest.mark.parametrize("name", PALETTES)
def test_every_palette_gives_the_same_classes(folder, name):
    (folder / name).write_text(PALETTES[name], "utf-8-sig")
    masks = find(folder)
    entries = [(entry.code, entry.name, entry.is_thing) for entry in masks.classes.entries]
    assert entries == [(0, "background", False), (1, "red car", False), (2, "grass", False)]
    mask = masks.refs[0].load()
    assert (masks.format, masks.refs[0].key) == ("colour-png", "masks/a.png")
    assert mask.stuff.tolist() == mask.class_map.tolist() == [[1, 1, 2, 0]]
    assert (mask.classes.tolist(), mask.ignore, mask.problems) == ([0], None, ())


def test_an_unknown_colour_is_ignored_and_reported_with_its_count(folder):
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    write(folder / "masks/a.png", RED, STRANGE, STRANGE, BLACK)
    mask = find(folder).refs[0].load()
    assert mask.stuff.tolist() == [[1, 0, 0, 0]]
    assert mask.ignore.tolist() == [[False, True, True, False]]
    assert mask.problems == (Problem("colour is not in the palette", "1,2,3: 2 pixels"),)


def test_thousands_of_unknown_colours_are_summed_up(folder):
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    write(folder / "masks/a.png", *((9, 9, number) for number in range(200)), (9, 9, 5))
    problems = find(folder).refs[0].load().problems
    assert len(problems) == 11
    assert problems[0].where == "9,9,5: 2 pixels"
    assert problems[-1].where == "190 more colours: 190 pixels"


@pytest.mark.parametrize("name", ["Void", "unlabelled", "ignore"])
def test_void_is_no_class_but_a_place_without_truth(folder, name):
    (folder / "label_colors.txt").write_text(f"0 0 0 {name}\n255 0 0 car\n0 255 0 grass\n")
    masks = find(folder)
    assert [entry.name for entry in masks.classes.entries] == ["background", "car", "grass"]
    mask = masks.refs[0].load()
    assert mask.ignore.tolist() == [[False, False, False, True]]
    assert mask.problems == ()


def test_a_palette_in_the_file_and_alpha_do_not_matter(folder):
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    with Image.open(folder / "masks/a.png") as picture:
        picture.quantize(4).save(folder / "masks/b.png")
        picture.convert("RGBA").save(folder / "masks/c.png")
    assert [ref.load().stuff.tolist() for ref in find(folder).refs] == [[[1, 1, 2, 0]]] * 3


@pytest.mark.parametrize("layout", ["{}annot/a.png", "{}_labels/a.png", "{}/masks/a.png", "masks/{}/a.png"])
def test_folders_of_splits_are_obeyed(tmp_path, layout):
    for split in ("train", "val", "test"):
        write(tmp_path / layout.format(split), RED)
    (tmp_path / "class_dict.csv").write_text(PALETTES["class_dict.csv"])
    assert sorted(ref.split for ref in find(tmp_path).refs) == ["test", "train", "val"]


def test_a_folder_of_cvat_without_splits_is_read(tmp_path):
    write(tmp_path / "defaultannot/a.png", RED)
    (tmp_path / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    assert [ref.key for ref in find(tmp_path).refs] == ["defaultannot/a.png"]


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1"])
def test_masks_of_one_channel_are_another_layout(tmp_path, mode):
    (tmp_path / "label_colors.txt").write_text("no palette at all")
    (tmp_path / "labels").mkdir()
    Image.new(mode, (3, 2)).save(tmp_path / "labels/a.png")
    assert find(tmp_path) is None


def test_colours_without_a_palette_are_another_layout(folder):
    assert find(folder) is None
    (folder / "dataset_meta.json").write_text('{"label_map": {"0": "car"}}')
    assert find(folder) is None
    assert find(folder / "masks/a.png") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("label_colors.txt", "0 0 background", r"colour 1: '0 0 background'; it needs a name and three numbers"),
        ("label_colors.txt", "0 0 256 sky", "from 0 to 255"),
        ("label_colors.txt", "car\nsky", "colour 1: 'car'; it needs a name"),
        ("label_colors.txt", "", "contains no colour"),
        ("label_colors.txt", "1 1 1 a\n1 1 1 b", "'a' and 'b' have the colour 1,1,1; give each its own"),
        ("labelmap.txt", "car:1,2::", "colour 1: '1 2 car'"),
        ("labelmap.txt", "car", "colour 1: 'car'"),
        ("class_dict.csv", "name,r,g,b\ncar,-1,0,0", "colour 1: '-1 0 0 car'"),
        ("class_dict.csv", f"{'x' * 200_000},1,2,3", "not valid CSV: field larger than field limit"),
        ("labelmap.txt", "\x07:\x1b[0m,2,3", "colour 1: "),
        ("dataset_meta.json", "[" * 10**5, "not a valid palette"),
        ("dataset_meta.json", '{"label_map": {}, "segmentation_colors": [[0, 0, 0]]}', "0 labels in label_map, but 1"),
    ],
)
def test_a_bad_palette_is_refused(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        find(folder)
    assert str(error.value).startswith(str(folder / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe0 0 0", b"0" * (2**20 + 1)], ids=["no UTF-8", "too long"])
def test_a_palette_that_is_no_short_text_is_refused(folder, content):
    (folder / "label_colors.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"label_colors\.txt: (begins with .*UTF-16|more than 1048576 bytes)"):
        find(folder)


def test_an_image_without_colours_among_the_others_is_refused(folder):
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    Image.new("L", (3, 2)).save(folder / "masks/b.png")
    with pytest.raises(InputError, match=r"b\.png: an image in L; classes are given by colours"):
        find(folder).refs[1].load()


def test_the_limit_of_pixels_reaches_the_ref(folder):
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    (ref,) = find(folder, max_pixels=3).refs
    with pytest.raises(InputError, match=r"a\.png: 1 x 4 pixels are more than max_pixels=3"):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_links_are_skipped(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "b.png", RED)
    (folder / "label_colors.txt").write_text(PALETTES["label_colors.txt"])
    (folder / "masks/b.png").symlink_to(elsewhere / "b.png")
    (folder / "labels").symlink_to(elsewhere)
    assert [ref.key for ref in find(folder).refs] == ["masks/a.png"]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("camvid_dataset", {"Animal": 5, "Archway": 2, "Bicyclist": 4, "Bridge": 1, "Child": 2, "Road": 2, "Sky": 2}),
        ("synthia_dataset/rand_custom_labelmap", {"sky": 3, "building": 2, "person": 2, "road": 3}),
        ("synthia_dataset/rand_meta_file", {"sky": 3, "building": 2, "person": 2, "road": 3}),
        ("common_semantic_segmentation_dataset/dataset", {"Animal": 3, "Bicyclist": 4, "Child": 2, "Road": 1}),
    ],
)
def test_samples_have_the_pixels_of_their_colours(data_dir, folder, expected):
    masks = find(data_dir / "formats" / folder)
    codes = np.concatenate([ref.load().class_map.ravel() for ref in masks.refs])
    found = {entry.name: np.count_nonzero(codes == entry.code) for entry in masks.classes.entries[1:]}
    assert expected.items() <= found.items()
    assert all(ref.load().problems == () for ref in masks.refs)
