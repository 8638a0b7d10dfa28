"""Images of the masks in a run: found, given, kept, and restored."""

import json
import shutil
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError, SegprepWarning
from segprep.readers import find
from segprep.store.metadata import read_info
from segprep.store.schema import ImagesInfo

SHAPE = (5, 7)


def write(file, value, shape=SHAPE):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, np.uint8)
    pixels[1:3, 1 : 2 + value % 5] = 1 + value % 2
    pixels[4, 5] = 3
    Image.fromarray(pixels).save(file)


@pytest.fixture
def data(tmp_path):
    """Four label images without images."""
    for number in range(4):
        write(tmp_path / "labels" / f"{number}_mask.png", number)
    return tmp_path / "labels"


@pytest.fixture
def images(tmp_path):
    """Images of these masks, in another folder."""
    for number in range(4):
        write(tmp_path / "pictures" / "deep" / f"{number}.jpg", number)
    return tmp_path / "pictures"


def run(data, **options):
    """Path of the store of a data set, written by one process."""
    segprep.preprocess(data, data.with_name("out.zarr"), workers=1, **options)
    return data.with_name("out.zarr")


def names(root):
    """Names of the image files of a store, None where one is not known."""
    info = read_info(root)
    folder = root.parent / info.images.folder
    dataset = segprep.open(root)
    return [dataset.image_path(index).relative_to(folder).as_posix() for index in range(len(dataset))]


def stamps(root):
    """Time of the last change of each shard."""
    return {path: path.stat().st_mtime_ns for path in root.glob("[0-9]*/*/c/**/*") if path.is_file()}


def test_a_given_folder_has_the_images_by_name_and_a_run_without_it_keeps_them(data, images):
    root = run(data, images=images)
    assert read_info(root).images == ImagesInfo("pictures", is_given=True, known=4)
    assert names(root) == [f"deep/{number}.jpg" for number in range(4)]
    before, shards = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}, stamps(root)
    run(data)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    run(data, targets="border")
    assert names(root) == [f"deep/{number}.jpg" for number in range(4)]
    assert shards.items() <= stamps(root).items()


def test_missing_and_ambiguous_images_are_counted_in_a_warning(data, images):
    (images / "deep" / "0.jpg").unlink()
    shutil.copy(images / "deep" / "1.jpg", images / "1.jpg")
    with pytest.warns(SegprepWarning) as caught:
        root = run(data, images=images)
    assert [str(warning.message).partition(": ")[2] for warning in caught] == [
        "1 of 4 masks have no image (0_mask.png)",
        "1 of 4 masks fit several images, or share one, so none is stored (1_mask.png)",
    ]
    assert all(warning.filename == __file__ for warning in caught)
    assert read_info(root).images.known == 2


def test_two_masks_of_one_name_do_not_share_an_image(tmp_path):
    for folder in ("train", "val"):
        write(tmp_path / "data" / "labels" / folder / "0.png", 1)
    write(tmp_path / "pictures" / "0.jpg", 1)
    write(tmp_path / "pictures" / "a" / "1.jpg", 1)
    with pytest.raises(InputError, match=r"pictures: has no image of any of the 2 masks"):
        run(tmp_path / "data", images=tmp_path / "pictures")


def test_a_folder_without_any_of_the_images_or_none_is_refused_before_anything_is_written(data, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=r"nothing: has no image of any of the 4 masks; their names must agree"):
        run(data, images=tmp_path / "nothing")
    with pytest.raises(OptionError, match=r"images='.*missing': no such folder"):
        run(data, images=tmp_path / "missing")
    with pytest.raises(OptionError, match=r"images=3: must be a path"):
        run(data, images=3)
    assert not (tmp_path / "out.zarr").exists()


def test_no_warning_is_given_where_no_images_were_asked_for(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_info(run(data)).images == ImagesInfo("labels", is_given=False)


def test_a_renamed_image_is_noticed_and_no_shard_is_written_again(tmp_path):
    data = tmp_path / "data"
    for number in range(3):
        write(data / "masks" / f"{number}.png", number)
        write(data / "images" / f"{number}.png", number)
    root = run(data)
    shards = stamps(root)
    (data / "images" / "1.png").rename(data / "images" / "1.bmp")
    run(data)
    assert names(root) == ["images/0.png", "images/1.bmp", "images/2.png"]
    assert stamps(root) == shards
    assert segprep.verify(root).findings == ()


@pytest.fixture
def earlier(data, monkeypatch):
    """Store without a table of images, as earlier versions made it."""
    with monkeypatch.context() as patch:
        patch.setattr("segprep.runs.listed.known_images", lambda *_: None)
        root = run(data)
    assert not (root / "image").exists()
    assert "images" not in json.loads((root / "zarr.json").read_text("utf-8"))["attributes"]
    return root


def test_a_store_of_an_earlier_version_is_read_verified_repaired_and_split_as_before(earlier, data):
    before = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
    assert read_info(earlier).images is None
    with pytest.raises(OptionError, match=r"by a version that did not store the images; run segprep weights again"):
        segprep.open(earlier).image_path(0)
    assert segprep.open(earlier)[0]["labels"].shape == SHAPE
    assert segprep.verify(earlier, deep=True, against=data).findings == ()
    (earlier / "height" / "c" / "0").unlink()
    assert segprep.repair(earlier, data, workers=1).findings == ()
    assert {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()} == before
    segprep.resplit(earlier, (0.5, 0.5), stratify=True, workers=1)
    assert segprep.verify(earlier, deep=True).findings == ()
    assert read_info(earlier).images is None


def test_another_run_adds_the_images_to_a_store_of_an_earlier_version(earlier, data, images):
    shards = stamps(earlier)
    run(data, images=images)
    assert names(earlier) == [f"deep/{number}.jpg" for number in range(4)]
    assert stamps(earlier) == shards
    assert segprep.verify(earlier).findings == ()


def damage(root):
    """Damage the table of images."""
    (root / "image" / "c" / "0" / "0").write_bytes(b"damaged")


def test_a_damaged_table_of_images_is_found_and_made_again_from_the_data(tmp_path):
    data = tmp_path / "data"
    for number in range(2):
        write(data / "masks" / f"{number}.png", number)
        write(data / "images" / f"{number}.png", number)
    root = run(data)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    damage(root)
    assert [finding.path for finding in segprep.verify(root).findings] == ["image/c/0/0"]
    assert segprep.repair(root, data, workers=1).findings == ()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_damaged_table_of_given_images_is_made_again_by_a_run_with_their_folder(data, images):
    root = run(data, images=images)
    (root / "height" / "c" / "0").unlink()
    segprep.repair(root, data, workers=1)
    assert names(root) == [f"deep/{number}.jpg" for number in range(4)]
    damage(root)
    with pytest.raises(
        InputError, match=r"they are not in the data but in 'pictures': run weights again with this folder"
    ):
        segprep.repair(root, data, workers=1)
    run(data, images=images)
    assert segprep.verify(root, deep=True).findings == ()
    assert names(root) == [f"deep/{number}.jpg" for number in range(4)]


def test_another_split_keeps_the_images(data, images):
    root = run(data, images=images)
    segprep.resplit(root, (0.5, 0.5), refit=True, stratify=True, workers=1)
    assert names(root) == [f"deep/{number}.jpg" for number in range(4)]


@dataclass(frozen=True)
class OwnRef:
    """Ref that has an image."""

    ref: object
    key: str
    image: object
    split: str | None = None

    def load(self):
        return self.ref.load()


def test_an_attribute_of_given_refs_that_is_no_path_is_not_an_image(data, images):
    refs = [OwnRef(ref, ref.key, np.zeros(SHAPE)) for ref in find(data).refs]
    segprep.preprocess(refs, data.with_name("out.zarr"), workers=1)
    assert read_info(data.with_name("out.zarr")).images.known == 0
    segprep.preprocess(refs, data.with_name("out.zarr"), images=images, workers=1)
    assert names(data.with_name("out.zarr")) == [f"deep/{number}.jpg" for number in range(4)]


def test_given_refs_have_their_own_images_or_those_of_a_folder(data, images):
    refs = [
        OwnRef(ref, ref.key, images / "deep" / "3.jpg" if not number else None)
        for number, ref in enumerate(find(data).refs)
    ]
    root = data.with_name("out.zarr")
    segprep.preprocess(refs, root, workers=1)
    assert read_info(root).images == ImagesInfo("", is_given=False)
    segprep.preprocess(refs, root, images=images, workers=1)
    assert segprep.open(root).image_path(0).name == "3.jpg"
    assert segprep.open(root, images=images).image_path("1_mask.png").name == "1.jpg"
