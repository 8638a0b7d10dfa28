import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, find_masks


def write(file, *, shape=(4, 5), at=np.s_[1:3, 1:3]):
    """Write one instance."""
    pixels = np.zeros(shape, np.uint8)
    pixels[at] = 255
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def test_every_file_is_an_instance_in_the_order_of_names(tmp_path):
    write(tmp_path / "cell/masks/b.png", at=np.s_[0, 0])
    write(tmp_path / "cell/masks/a.PNG", at=np.s_[1:3, 1:3])
    masks = find_masks(tmp_path)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key, mask.shape) == ("instance-png", "cell", (4, 5))
    assert mask.areas.tolist() == [0, 4, 1]
    assert mask.classes.tolist() == [0, 1, 1]
    assert [entry.name for entry in masks.classes.entries] == ["background", "instance"]


def test_instances_that_overlap_lose_no_pixel(tmp_path):
    write(tmp_path / "cell/masks/a.png")
    write(tmp_path / "cell/masks/b.png", at=np.s_[2:4, 1:4])
    assert find_masks(tmp_path).refs[0].load().areas.tolist() == [0, 4, 6]


def test_images_lie_a_few_folders_deep_and_are_sorted(tmp_path):
    for key in ("b/x/y/1", "a", "b/2"):
        write(tmp_path / key / "masks/1.png")
        write(tmp_path / key / "images/1.png")
    assert [ref.key for ref in find_masks(tmp_path).refs] == ["a", "b/2", "b/x/y/1"]


def test_litter_and_links_are_passed_over(tmp_path):
    write(tmp_path / "data/cell/masks/1.png")
    write(tmp_path / "elsewhere/cell/masks/1.png")
    for name in ("._1.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (tmp_path / "data/cell/masks" / name).write_text("litter")
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere/cell")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data")
    (tmp_path / "data/cell/masks/2.png").symlink_to(tmp_path / "elsewhere/cell/masks/1.png")
    (ref,) = find_masks(tmp_path / "data").refs
    assert ref.load().areas.tolist() == [0, 4]


def test_a_file_without_foreground_is_left_out_and_recorded(tmp_path):
    write(tmp_path / "cell/masks/1.png", at=np.s_[:0])
    write(tmp_path / "cell/masks/2.png")
    mask = find_masks(tmp_path).refs[0].load()
    assert mask.areas.tolist() == [0, 4]
    assert mask.faults == (("no foreground", "1.png"),)


def test_instances_of_different_sizes_are_refused(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    write(tmp_path / "cell/masks/2.png", shape=(5, 4))
    with pytest.raises(InputError, match=r"2\.png: 5 x 4 pixels, but 1\.png has 4 x 5; all must be of one size"):
        find_masks(tmp_path).refs[0].load()


def test_the_limit_of_pixels_reaches_the_ref(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    (ref,) = find_masks(tmp_path, options=ReadOptions(max_pixels=19)).refs
    with pytest.raises(InputError, match=r"1\.png: 4 x 5 pixels are more than the limit of 19"):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_a_folder_that_was_emptied_meanwhile_is_refused(tmp_path):
    write(tmp_path / "cell/masks/1.png")
    (ref,) = find_masks(tmp_path).refs
    (tmp_path / "cell/masks/1.png").unlink()
    with pytest.raises(InputError, match=r"no \.png file is left"):
        ref.load()


def test_a_split_of_label_images_is_no_image(tmp_path):
    for number in range(2):
        write(tmp_path / f"train/images/{number}.png")
        write(tmp_path / f"train/masks/{number}.png")
    with pytest.raises(InputError, match="no known layout"):
        find_masks(tmp_path, format="instance-png")
    assert find_masks(tmp_path / "train").format == "label-image"


def test_one_image_may_be_given_by_itself(tmp_path):
    write(tmp_path / "cell/images/cell.png")
    for number in range(2):
        write(tmp_path / f"cell/masks/{number}.png")
    masks = find_masks(tmp_path / "cell")
    assert (masks.format, [ref.key for ref in masks.refs]) == ("instance-png", ["cell"])


def test_dsb2018_has_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/dsb2018.json").read_text())
    refs = find_masks(data_dir / "dsb2018/stage1_train").refs
    found = {}
    for ref in refs:
        mask = ref.load()
        height, width = mask.shape
        found[ref.key] = (height, width, len(mask.classes) - 1, np.count_nonzero(mask.labels), mask.areas.sum())
    names = ("h", "w", "instances", "union_pixels", "sum_instance_pixels")
    assert found == {key: tuple(fact[name] for name in names) for key, fact in facts["per_image"].items()}
    assert (len(refs), sum(counts[2] for counts in found.values())) == (48, 2889)
