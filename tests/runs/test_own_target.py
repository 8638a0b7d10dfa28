"""A target that is not part of segprep works wherever those of segprep do."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import segprep
from segprep import Distance, SplitRule, Weights, Workers
from segprep.cli.commands import main
from segprep.errors import IntegrityError, OptionError, OutputError, SegprepWarning, TargetError
from segprep.runs.repair import repair
from segprep.runs.resplit import resplit
from segprep.runs.verify import verify
from segprep.store.metadata import read_info

ONE = Workers(processes=1)
SHARD = "12x16/centre/c/0/0/0"


@dataclass(frozen=True)
class Centre:
    """Distance of each pixel to the centroid of its instance, 0 on the background.

    Attributes
    ----------
    power : float
        Exponent of the distance.
    pixels : int
        Pixels of the instances in the train split, bound by `fit`.
    """

    power: float = 1.0
    pixels: int = 0

    name: ClassVar[str] = "centre"
    dtype: ClassVar[str] = "float32"
    fill: ClassVar[float] = float("nan")

    def fit(self, train, everything):  # noqa: ARG002 - as the protocol has it
        return replace(self, pixels=int(train.pixels[1:].sum()))

    def compute(self, mask):
        labels = mask.labels
        distance = np.zeros(labels.shape, np.float32)
        for number in np.unique(labels[labels > 0]):
            own = np.argwhere(labels == number)
            distance[labels == number] = np.hypot(*(own - own.mean(axis=0)).T) ** self.power
        return distance

    def check(self, values, facts):  # noqa: ARG002 - as the protocol has it
        return "is negative" if (values < 0).any() else None


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Folder of eight label images."""
    folder = tmp_path_factory.mktemp("own") / "labels"
    folder.mkdir()
    for index in range(8):
        values = np.zeros((12, 16), np.uint8)
        values[1 : 4 + index, 2:7], values[2:6, 9:14] = 1, 2
        Image.fromarray(values).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def made(labels, tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "out.zarr"
    segprep.preprocess(
        labels, root, targets=[Centre(power=2), Weights(class_weights="inverse")], split=(0.5, 0.5), workers=ONE
    )
    return root


@pytest.fixture
def root(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "out.zarr"))


def test_it_is_written_after_those_of_segprep_and_read_as_they_are(root):
    info = read_info(root)
    assert [target.name for target in info.targets] == ["labels", "classes", "weights", "centre"]
    assert info.targets[3].parameters["power"] == 2
    mask = segprep.open(root)["3.png"]
    expected = Centre(power=2).compute(segprep.open(root).mask(3))
    np.testing.assert_array_equal(mask["centre"], expected)
    assert expected.max() > 4


def test_a_rerun_changes_nothing(root, labels, files_of):
    before = files_of(root)
    segprep.preprocess(labels, root, targets=[Centre(power=2)], workers=ONE)
    assert files_of(root) == before


def test_a_run_resumes(root, labels, files_of):
    before = files_of(root)
    (root / SHARD).unlink()
    segprep.preprocess(labels, root, targets=[Centre(power=2)], workers=ONE)
    assert files_of(root) == before


def test_other_targets_are_added_to_it(root, labels):
    shard = (root / SHARD).read_bytes()
    segprep.preprocess(labels, root, targets=[Centre(power=2), Distance()], workers=ONE)
    assert [target.name for target in read_info(root).targets] == ["labels", "classes", "weights", "distance", "centre"]
    assert (root / SHARD).read_bytes() == shard


def test_it_is_added_to_others(labels, tmp_path):
    segprep.preprocess(labels, tmp_path / "out.zarr", targets=[Weights()], workers=ONE)
    segprep.preprocess(labels, tmp_path / "out.zarr", targets=[Centre()], workers=ONE)
    assert verify(tmp_path / "out.zarr", deep=True, against=labels, targets=[Centre], workers=ONE).findings == ()


def test_other_parameters_are_refused_and_replaced_on_request(root, labels):
    with pytest.raises(OutputError, match=r"settings: power=3 instead of power=2\.0; .*overwrite=True"):
        segprep.preprocess(labels, root, targets=[Centre(power=3)], workers=ONE)
    segprep.preprocess(labels, root, targets=[Centre(power=3)], overwrite=True, workers=ONE)
    assert verify(root, against=labels, targets=[Centre], workers=ONE).findings == ()


@pytest.mark.parametrize("options", [{}, {"deep": True}, {"deep": True, "against": True}])
def test_it_is_verified(root, labels, options):
    if "against" in options:
        options = options | {"against": labels}
    assert verify(root, targets=[Centre], workers=ONE, **options).findings == ()
    (root / SHARD).write_bytes((root / SHARD).read_bytes()[:-1])
    first, *_ = verify(root, targets=[Centre], workers=ONE, **options).findings
    assert (first.path, first.what.startswith("has ")) == (SHARD, True)


def test_it_is_repaired(root, labels, files_of):
    before = files_of(root)
    (root / SHARD).write_bytes(b"damaged")
    (root / "12x16/centre/zarr.json").unlink()
    report = repair(root, labels, targets=[Centre], workers=ONE)
    assert {finding.path for finding in report.repaired} == {SHARD, "12x16/centre/zarr.json"}
    assert report.findings == ()
    assert files_of(root) == before


def test_it_is_fitted_to_a_new_split(root, labels):
    before = read_info(root).targets[3].parameters["pixels"]
    resplit(root, SplitRule((0.25, 0.75, 0.0), seed=2), refit=True, targets=[Centre], workers=ONE)
    assert read_info(root).targets[3].parameters["pixels"] != before
    assert verify(root, deep=True, against=labels, targets=[Centre], workers=ONE).findings == ()


def test_without_its_class_a_store_is_opened_described_and_verified(root):
    assert segprep.open(root)[0]["centre"].shape == (12, 16)
    assert verify(root, workers=ONE).findings == ()
    assert CliRunner().invoke(main, ["info", str(root)]).exit_code == 0
    assert CliRunner().invoke(main, ["verify", str(root)]).exit_code == 0
    (root / SHARD).unlink()
    assert [finding.path for finding in verify(root, workers=ONE).findings] == [SHARD]


def test_without_its_class_a_deep_check_lists_it_as_unchecked(root, labels):
    report = verify(root, deep=True, against=labels, workers=ONE)
    assert (report.findings, report.unchecked, report.compared) == ((), ("centre",), 8)
    ended = CliRunner().invoke(main, ["verify", str(root), "--deep"])
    assert (ended.exit_code, "centre: values not checked" in ended.stdout) == (0, True)
    (root / SHARD).write_bytes(bytes(len((root / SHARD).read_bytes())))
    assert [finding.path for finding in verify(root, deep=True, workers=ONE).findings] == [SHARD]


def test_without_its_class_it_is_carried_by_what_does_not_touch_it(root, labels):
    array, shard = (root / "12x16/centre/zarr.json").read_bytes(), (root / SHARD).read_bytes()
    resplit(root, SplitRule((0.5, 0.25, 0.25)), workers=ONE)
    segprep.preprocess(labels, root, targets=[Distance()], workers=ONE)
    (root / "12x16/weights/c/0/0/0").write_bytes(b"damaged")
    assert repair(root, labels, workers=ONE).findings == ()
    assert ((root / "12x16/centre/zarr.json").read_bytes(), (root / SHARD).read_bytes()) == (array, shard)
    assert [target.name for target in read_info(root).targets] == ["labels", "classes", "weights", "distance", "centre"]
    assert verify(root, deep=True, against=labels, targets=[Centre], workers=ONE).findings == ()


@pytest.mark.parametrize(
    ("damaged", "call"),
    [
        (None, lambda root, _: resplit(root, SplitRule((0.5, 0.25, 0.25)), refit=True, workers=ONE)),
        (SHARD, lambda root, labels: repair(root, labels, workers=ONE)),
        ("12x16/centre/zarr.json", lambda root, labels: repair(root, labels, workers=ONE)),
        ("12x16/centre/zarr.json", lambda root, _: resplit(root, SplitRule((0.5, 0.25, 0.25)), workers=ONE)),
        (SHARD, lambda root, labels: segprep.preprocess(labels, root, targets=[Distance()], workers=ONE)),
    ],
)
def test_what_needs_its_class_says_so(root, labels, damaged, call, files_of):
    if damaged:
        (root / damaged).unlink()
    before = files_of(root)
    with pytest.raises(OptionError, match=r"target 'centre' .*: in Python, pass it as targets=\[\.\.\.\]"):
        call(root, labels)
    assert files_of(root) == before


def test_it_is_kept_and_computed_again_where_masks_change(root, labels, tmp_path, files_of):
    others = Path(shutil.copytree(labels, tmp_path / "labels"))
    Image.fromarray(np.ones((12, 16), np.uint8)).save(others / "0.png")
    with pytest.warns(SegprepWarning, match="dropped centre, which is not part of segprep"):
        segprep.preprocess(
            others, tmp_path / Path(shutil.copytree(root, tmp_path / "dropped")), overwrite=True, workers=ONE
        )
    segprep.preprocess(others, root, targets=[Centre(power=2)], split=(0.5, 0.5), overwrite=True, workers=ONE)
    segprep.preprocess(
        others,
        tmp_path / "fresh",
        targets=[Centre(power=2), Weights(class_weights="inverse")],
        split=(0.5, 0.5),
        workers=ONE,
    )
    assert files_of(root) == files_of(tmp_path / "fresh")


def test_the_run_that_made_a_store_is_accepted_after_another_split(root, labels, files_of):
    resplit(root, SplitRule((0.25, 0.75, 0.0), seed=2), targets=[Centre], workers=ONE)
    before = files_of(root)
    segprep.preprocess(labels, root, targets=[Centre(power=2), Weights(class_weights="inverse")], workers=ONE)
    segprep.preprocess(labels, root, targets=[Weights(class_weights="inverse")], reread=True, workers=ONE)
    assert files_of(root) == before
    with pytest.raises(OutputError, match=r"sigma=3 instead of sigma=5\.0"):
        segprep.preprocess(labels, root, targets=[Weights(sigma=3, class_weights="inverse")], workers=ONE)


def test_its_name_is_one_of_a_folder_and_of_no_other_target(labels, tmp_path):
    class Labels(Centre):
        name = "labels"

    class Outside(Centre):
        name = "../centre"

    class Key(Centre):
        name = "key"

    class Dashed(Centre):
        name = "my-centre"

    class Text(Centre):
        dtype = "str"

    for target, message in (
        (Labels(), "has the name of another target"),
        (Outside(), "is no valid name"),
        (Key(), "'key' is no valid name"),
        (Dashed(), "is no valid name"),
        (Text(), "Text: dtype='str': choose one of bool, float16"),
    ):
        with pytest.raises(OptionError, match=message):
            segprep.preprocess(labels, tmp_path / "out.zarr", targets=[target], workers=ONE)
    assert not (tmp_path / "out.zarr").exists()


def test_a_class_with_other_parameters_is_an_integrity_error(root):
    @dataclass(frozen=True)
    class Other(Centre):
        power: int = 1

    with pytest.raises(IntegrityError, match=r"'centre': its stored parameters do not fit .*Other"):
        verify(root, deep=True, targets=[Other], workers=ONE)


FAILURES = [
    (lambda _: 1 / 0, r"compute\(\): ZeroDivisionError: division by zero"),
    (lambda labels: segprep.border_weights(labels, sigma=-1), r"compute\(\): OptionError: sigma=-1"),
    (lambda _: None, r"compute\(\): returned NoneType; must be an array float32 \(12, 16\)"),
    (lambda labels: labels[:1].astype(np.float32), r"returned float32 \(1, 16\); must be an array float32 \(12, 16\)"),
    (lambda labels: labels.astype(np.float64), r"returned float64 \(12, 16\); must be an array float32 \(12, 16\)"),
    (lambda labels: np.full(labels.shape, np.nan, np.float32), r"returned NaN or infinity"),
    (lambda labels: labels.__setitem__(0, 1), r"compute\(\): ValueError: assignment destination is read-only"),
]


@pytest.mark.parametrize(("compute", "message"), FAILURES)
def test_its_failure_is_not_a_bug_in_segprep(labels, tmp_path, compute, message):
    @dataclass(frozen=True)
    class Failing(Centre):
        def compute(self, mask):
            return compute(mask.labels)

    with pytest.raises(TargetError, match=rf"0\.png: target 'centre': .*{message}"):
        segprep.preprocess(labels, tmp_path / "out.zarr", targets=[Failing()], workers=ONE)


def test_a_failure_of_its_other_methods_is_not_a_bug_in_segprep(root, labels, tmp_path):
    @dataclass(frozen=True)
    class Failing(Centre):
        def fit(self, *_):
            return 1 / 0

        def check(self, *_):
            return 1 / 0

    @dataclass(frozen=True)
    class Unfit(Centre):
        def unfit(self, *_):
            return 1 / 0

    for method, target in (("fit", Failing()), ("unfit", Unfit())):
        with pytest.raises(TargetError, match=rf"^target 'centre': {method}\(\): ZeroDivisionError"):
            segprep.preprocess(labels, tmp_path / "out.zarr", targets=[target], workers=ONE)
    with pytest.raises(TargetError, match=r"0\.png: target 'centre': check\(\): ZeroDivisionError"):
        verify(root, deep=True, targets=[Failing], workers=ONE)
