"""Refs that are not part of segprep work wherever those of segprep do, and their failures are not bugs in segprep."""

from dataclasses import dataclass

import numpy as np
import pytest

import segprep
from segprep import ClassTable, InputError, InstanceMask, MaskSet, OptionError, Reader, Workers
from segprep.masks.classes import class_table

ONE = Workers(processes=1)


def mask_of(number=1):
    """Mask of two instances."""
    planes = np.zeros((1, 6, 8), np.int32)
    planes[0, 1:3, 1 : 4 + number], planes[0, 4:, 5:] = 1, 2
    return InstanceMask(planes, np.array([0, 1, 1], np.int32))


@dataclass(frozen=True)
class Ref:
    """Mask made by a function."""

    key: str
    make: object = mask_of
    split: str | None = None

    def load(self):
        return self.make()


def made(planes=((1, 2),), classes=(0, 1, 1), dtype=np.int32, **others):
    """Function that makes a mask."""
    return lambda: InstanceMask(np.array([planes], dtype), np.array(classes, np.int32), **others)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: None, "returned NoneType, not an InstanceMask"),
        (made(dtype=np.int64), r"planes is int64 of shape \(1, 1, 2\); must be a \(K, H, W\) int32 array"),
        (made(planes=(1, 2)), r"planes is int32 of shape \(1, 2\)"),
        (lambda: InstanceMask([[[1]]], np.array([0, 1], np.int32)), "planes is a list"),
        (made(classes=(1, 1, 1)), r"classes is .*; must be a \(N \+ 1,\) int32 array that begins with 0"),
        (made(classes=(0, 1)), "planes hold the instances 1 to 2, but classes has 1 to 1"),
        (made(planes=((-1, 1),)), "planes hold the instances -1 to 1"),
        (made(planes=((1, 1),)), "instance 2 has no pixel"),
        (made(classes=(0, 1, 2)), "instance 2 has the class code 2; must be from 1 to 1"),
        (made(ignore=np.zeros((1, 3), bool)), r"ignore is bool of shape \(1, 3\); must be a \(1, 2\) bool array"),
        (made(stuff=np.full((1, 2), 9, np.int32)), "stuff holds the class codes 9 to 9; must be from 0 to 1"),
        (made(problems=("a",)), "problems must be a tuple of Problem"),
        (
            lambda: InstanceMask(np.array([[[1, 2]], [[1, 0]]], np.int32), np.array([0, 1, 1], np.int32)),
            "instance 1 has pixels in 2 planes; must be one",
        ),
    ],
)
def test_a_failure_names_the_mask_and_the_ref(tmp_path, make, message):
    refs = [Ref("good"), Ref("bad", make)]
    with pytest.raises(InputError, match=rf"bad: load\(\) of Ref: {message}"):
        segprep.preprocess(refs, tmp_path / "out.zarr", workers=ONE)
    info = segprep.preprocess(refs, tmp_path / "out.zarr", workers=ONE, on_error="skip-mask")
    assert (info.masks, [problem.key for problem in info.problems]) == (1, ["bad"])
    assert "bad" in {problem.key for problem in segprep.check(refs, workers=ONE).problems}


@pytest.fixture
def refs():
    return [Ref("a"), Ref("b"), Ref("c")]


@pytest.fixture
def root(refs, tmp_path):
    """Store made from the refs."""
    segprep.preprocess(refs, tmp_path / "out.zarr", classes=["cell"], workers=ONE)
    return tmp_path / "out.zarr"


def test_a_store_is_verified_and_repaired_with_the_refs_that_it_was_made_from(root, refs, files_of):
    before = files_of(root)
    report = segprep.verify(root, deep=True, against=refs, workers=ONE)
    assert (report.compared, report.findings) == (3, ())
    (root / "6x8/weights/c/0/0/0").write_bytes(b"damaged")
    report = segprep.repair(root, refs, workers=ONE)
    assert ([finding.path for finding in report.repaired], report.findings) == (["6x8/weights/c/0/0/0"], ())
    assert files_of(root) == before


def test_a_folder_is_not_what_a_store_of_refs_was_made_from(root, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(OptionError, match=r"was made from 'refs', .* give the refs that it was made from"):
        segprep.verify(root, against=tmp_path / "data", workers=ONE)


def test_refs_that_have_changed_are_not_damage(root):
    others = [Ref("a"), Ref("b", lambda: mask_of(2)), Ref("c", lambda: mask_of(3))]
    with pytest.raises(InputError, match=r"the data have changed since .*: 2 of 3 masks .* differ \(b, c\)"):
        segprep.verify(root, against=others, workers=ONE)


def find_texts(path, options):  # noqa: ARG001
    """Find *.txt."""
    refs = tuple(Ref(file.stem) for file in sorted(path.glob("*.txt")))
    return MaskSet("anything", class_table([(None, "cell")]), refs) if refs else None


def test_a_reader_may_be_given_as_the_format(tmp_path):
    reader, data, root = Reader("texts", find_texts), tmp_path / "data", tmp_path / "out.zarr"
    data.mkdir()
    with pytest.raises(InputError, match=r"data: not the layout of the reader 'texts'"):
        segprep.check(data, format=reader, workers=ONE)
    for name in "ab":
        (data / f"{name}.txt").touch()
    assert segprep.find(data, format=reader).format == "texts"
    assert segprep.check(data, format=reader, workers=ONE).masks == 2
    assert segprep.preprocess(data, root, format=reader, workers=ONE).source_format == "texts"
    assert segprep.verify(root, against=data, format=reader, workers=ONE).compared == 2
    assert segprep.repair(root, data, format=reader, workers=ONE).findings == ()
    with pytest.raises(OptionError, match=r"was made from 'texts', which segprep does not read: .* Reader as format"):
        segprep.verify(root, against=data, workers=ONE)


@pytest.mark.parametrize(
    ("find", "error", "message"),
    [
        (lambda *_: 1 / 0, InputError, "the reader 'bad' failed: ZeroDivisionError"),
        (lambda *_: [], OptionError, "the reader 'bad' returned list; must be a MaskSet or None"),
    ],
)
def test_a_failure_of_a_reader_is_not_a_bug_in_segprep(tmp_path, find, error, message):
    with pytest.raises(error, match=message):
        segprep.find(tmp_path, format=Reader("bad", find))


def test_what_is_shown_fits_on_a_line(root, refs):
    assert repr(mask_of()) == "<InstanceMask of 6 x 8 pixels: 2 instances>"
    assert repr(MaskSet("own", ClassTable(()), tuple(refs))) == "<MaskSet of own: 3 masks, 0 classes>"
    assert repr(segprep.verify(root)).startswith(f"<VerifyReport of {str(root)!r}: 4 shards, ")
    (root / "6x8/weights/c/0/0/0").unlink()
    assert repr(segprep.verify(root)).endswith("; damaged: 6x8/weights/c/0/0/0>")


def test_the_arrays_of_a_mask_are_read_only(root):
    for mask in (mask_of(), segprep.open(root).mask(0)):
        for array in (mask.planes, mask.labels, mask.classes, mask.class_map, mask.visible):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_a_mask_that_the_type_of_its_weights_cannot_hold_is_found_before_anything_is_written(tmp_path):
    def tiny():
        planes = np.zeros((1, 400, 400), np.int32)
        planes[0, 7, 7] = 1
        return InstanceMask(planes, np.array([0, 1], np.int32))

    refs = [Ref("good"), *(Ref(f"tiny{index}", tiny) for index in range(12))]
    for rule, message in (("per-image", "weights reach 80010"), ("deshpande2018", "class weights go down to 6.25e-06")):
        with pytest.raises(OptionError, match=rf"^tiny0, .*, tiny9 and 2 more: {message}.*dtype='float32'"):
            segprep.preprocess(refs, tmp_path / "out.zarr", class_weights=rule, workers=ONE)
        assert not (tmp_path / "out.zarr").exists() or not list((tmp_path / "out.zarr").iterdir())
        segprep.preprocess(refs, tmp_path / rule, class_weights=rule, dtype="float32", workers=ONE)
