"""The names that `import segprep` offers, and the forms in which parameters may be written."""

import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import segprep
from segprep import Border, Distance, InstanceMask, SplitRule, Weights
from segprep.runs.preprocess import chosen_part
from segprep.runs.settings import run_rules, split_rule
from segprep.runs.write import Part
from segprep.store.opening import open as open_store
from segprep.targets.weights import PRESETS

NAMES = {name for name in segprep.__all__ if name != "__version__"}


def test_every_public_name_is_there_and_shown():
    assert dir(segprep) == sorted(segprep.__all__)
    for name in segprep.__all__:
        assert getattr(segprep, name) is not None


def test_type_checkers_see_the_same_names():
    source = Path(segprep.__file__).read_text(encoding="utf-8")
    imported = dict(
        re.findall(r"^    from segprep\.([\w.]+) import \w+ as (\w+)", source, re.MULTILINE)
        and [
            (name, module)
            for module, name in re.findall(r"^    from segprep\.([\w.]+) import \w+ as (\w+)", source, re.MULTILINE)
        ]
    )
    assert imported == segprep._MODULES


def test_verbs_are_functions_not_modules():
    for name in ("preprocess", "check", "verify", "repair", "resplit", "open", "find", "describe"):
        assert inspect.isfunction(getattr(segprep, name)), name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'proprocess'"):
        _ = segprep.proprocess


@pytest.mark.parametrize(
    ("targets", "settings", "made"),
    [
        ("weights,distance", {}, [Weights(), Distance()]),
        ("weights", {"sigma": 3}, [Weights(sigma=3.0)]),
        (["weights", Distance(dtype="float32")], {"sigma": "3"}, [Weights(sigma=3.0), Distance(dtype="float32")]),
        (Weights(sigma=3), {}, [Weights(sigma=3)]),
        ((), {}, []),
        ("weights", {"clip_class_weights": "0.1,10"}, [Weights(clip_class_weights=(0.1, 10.0))]),
        ("weights", {"class_weights": {"cell": 2}}, [Weights(class_weights={"cell": 2.0})]),
        ("weights", {"sigma": np.float32(3)}, [Weights(sigma=3.0)]),
        ("weights", {"preset": "falk2019", "sigma": 4}, [Weights(**{**vars(PRESETS["falk2019"]), "sigma": 4.0})]),
    ],
)
def test_targets_may_be_names_or_objects(targets, settings, made):
    assert run_rules(settings, targets, None)[0] == made


@pytest.mark.parametrize(
    ("split", "rule"),
    [
        (None, SplitRule()),
        ((0.8, 0.1, 0.1), SplitRule((0.8, 0.1, 0.1))),
        ("0.8,0.2", SplitRule((0.8, 0.2, 0.0))),
        (Path("splits.csv"), SplitRule(file="splits.csv")),
        ("splits.json", SplitRule(file="splits.json")),
        (SplitRule((0.5, 0.5, 0.0), seed=1), SplitRule((0.5, 0.5, 0.0), seed=1)),
    ],
)
def test_a_split_may_be_shares_or_a_file_or_a_rule(split, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("splits.csv", "splits.json"):
        (tmp_path / name).touch()
    assert split_rule(split, {}) == rule
    assert split_rule(split, {"seed": 7}).seed == 7


@pytest.mark.parametrize("part", ["3/8", (3, 8), Part(3, 8)])
def test_a_part_may_be_text_or_numbers(part):
    assert chosen_part(part) == Part(3, 8)


@pytest.mark.parametrize("canvas", [(512, 640), "512x640", [512, 640]])
def test_a_canvas_may_be_text_or_numbers(canvas):
    assert run_rules({"canvas": canvas}, (), None)[1].canvas == (512, 640)


def test_a_preset_brings_its_separation():
    assert run_rules({"preset": "falk2019"}, "weights", None)[1].instances.separate == "falk2019"
    assert run_rules({"preset": "falk2019", "separate": 1}, "weights", None)[1].instances.separate == 1
    assert run_rules({"preset": "crowded"}, "weights", None)[1].instances.separate == 1
    assert run_rules({"preset": "crowded", "separate": 0}, "weights", None)[1].instances.separate == 0
    assert run_rules({"preset": "paper"}, "weights", None)[1].instances.separate == 0


def test_the_parameters_that_are_given_go_before_those_of_a_preset():
    (weights, border), _ = run_rules({"preset": "crowded", "w0": 3, "class_weights": "enet"}, "weights,border", None)
    assert weights == Weights(w0=3, sigma=2.5, class_weights="enet")
    assert border == Border(w0=3, sigma=2.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigm": 5}, "sigm: no such setting; did you mean 'sigma'?"),
        ({"sigma": "wide"}, "sigma='wide': must be a number"),
        ({"canvas": "512"}, "canvas='512': must be a pair of numbers"),
        ({"canvas": (46341, 46341)}, r"canvas=\(46341, 46341\): must have at most 2147483647 pixels"),
        ({"distance_clip": 1e300}, r"distance_clip=1e\+300: must be above 0 and at most 2147483647 pixels"),
        ({"canvas": "0x512"}, r"canvas=\(0, 512\): height and width must be at least 1 pixel"),
        ({"separate": "far"}, "separate='far': must be an integer or 'falk2019'"),
        ({"on_error": "skip"}, "on_error='skip': choose one of skip-annotation, skip-mask, fail"),
        ({"format": "cocoo"}, "format='cocoo': choose one of .*; did you mean 'coco'?"),
        ({"preset": "falk"}, "preset='falk': choose one of paper, crowded, deshpande2018, falk2019"),
        ({"targets": "weigths"}, "targets='weigths': choose one of .*; did you mean 'weights'?"),
        ({"targets": "labels"}, "targets='labels': always written; leave it out"),
        ({"targets": "distance", "sigma": 3}, "sigma=3: belongs to the target weights; use targets='distance,weights'"),
        ({"targets": Weights(), "sigma": 3}, r"sigma=3: belongs to the target weights; set it in Weights\(...\)"),
        ({"split": (1,)}, r"split=\(1,\): give the shares of train, val and test"),
        ({"part": "9/8"}, "part='9/8': must be of the form '2/8'"),
        ({"part": "1/2", "overwrite": True}, "part='1/2' and overwrite=True exclude each other"),
        ({"min_distance": 9}, "min_distance=9: needs instances_from='components' or instances_from='watershed'"),
        ({"classes": ["cell"]}, "classes: the data set has its own"),
    ],
)
def test_an_error_names_the_parameter(parameters, message, tmp_path):
    with pytest.raises(segprep.OptionError, match=message):
        segprep.preprocess(tmp_path, tmp_path / "out.zarr", **parameters)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"data": None}, "data=None: must be a path, or a sequence of refs"),
        ({"data": [1]}, "data=.*: must be a path, or refs; 1 lacks key, split, load"),
        ({"store": None}, "store=None: must be a path"),
        ({"targets": Weights}, r"targets=Weights: is a class; give an object, Weights\(...\)"),
        ({"targets": [object()]}, "targets=<object .*>: must be names of targets, or objects; it lacks name"),
        ({"targets": ["weights", 3]}, "targets=3: must be names of targets"),
        ({"split": 0.8}, "split=0.8: give the shares of train, val and test"),
        ({"split": (0.8, "x")}, r"split=\(0.8, 'x'\): give the shares of train, val and test"),
        ({"part": 1}, "part=1: must be of the form '2/8'"),
        ({"workers": 2.5}, "workers=2.5: must be a number of processes"),
        ({"class_weights": 3}, "class_weights=3: must be the name of a formula, or weights by class name"),
        ({"format": 3}, "format=3: choose one of coco"),
    ],
)
def test_a_value_of_another_type_is_an_option_error(parameters, message, tmp_path):
    with pytest.raises(segprep.OptionError, match=message):
        segprep.preprocess(**{"data": tmp_path, "store": tmp_path / "out.zarr"} | parameters)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: segprep.Weights(sigma="x"), "sigma='x': must be a number"),
        (lambda: segprep.Weights(class_weights=3), "class_weights=3: must be a string or a dictionary"),
        (lambda: segprep.Boundaries(boundary_width="x"), "boundary_width='x': must be an integer"),
        (lambda: segprep.InstanceRule(separate="a"), "separate='a': must be an integer or 'falk2019'"),
        (lambda: segprep.InstanceRule(overlap="smalest"), "overlap='smalest': .*; did you mean 'smallest'"),
        (lambda: segprep.SplitRule(folds="a"), "folds='a': must be an integer or None"),
        (lambda: segprep.ReadOptions(crowd="ignored"), "crowd='ignored': choose .*; did you mean 'ignore'"),
        (lambda: segprep.Workers(scheduler=3), "scheduler=3: must be a string or None"),
        (lambda: segprep.border_weights(np.ones((3, 3), int), sigma="x"), "sigma='x': must be from"),
        (lambda: segprep.open(None), "store=None: must be a path"),
        (lambda: segprep.find(3), "data=3: must be a path"),
        (lambda: segprep.find("README.md", options=3), "options=3: must be ReadOptions"),
    ],
)
def test_a_value_of_another_type_is_an_option_error_everywhere(call, message):
    with pytest.raises(segprep.OptionError, match=message):
        call()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sample": "x"}, "sample='x': must be an integer"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"deep": "x"}, "deep='x': must be True or False"),
        ({"targets": "x"}, "targets='x': must be a list of classes of targets"),
        ({"targets": [3]}, "targets=3: must be classes of targets"),
    ],
)
def test_a_value_of_another_type_is_an_option_error_of_verify(coins_store, parameters, message):
    with pytest.raises(segprep.OptionError, match=message):
        segprep.verify(coins_store, **parameters)


def test_a_setting_of_another_function_is_named(tmp_path):
    with pytest.raises(segprep.OptionError, match="sigma: no setting of this function; it belongs to preprocess"):
        segprep.check(tmp_path, sigma=3)


def test_class_weights_name_their_own_parameter(coins_store):
    with pytest.raises(segprep.OptionError, match=r"^formula='foo': choose one of inverse"):
        segprep.class_weights(coins_store, "foo")


@dataclass(frozen=True)
class OwnRef:
    """A format that segprep does not know."""

    key: str
    split: str | None = None

    def load(self):
        planes = np.zeros((1, 6, 8), np.int32)
        planes[0, 1:3, 1:4], planes[0, 4:, 5:] = 1, 2
        return InstanceMask(planes, np.array([0, 1, 2], np.int32))


def test_data_may_be_refs_of_another_format(tmp_path):
    refs = [OwnRef("a"), OwnRef("b")]
    info = segprep.preprocess(refs, str(tmp_path / "out.zarr"), classes=["cell", "debris"], workers=1)
    assert (info.masks, info.instances, info.source_format) == (2, 4, "refs")
    assert [entry.name for entry in info.classes] == ["background", "cell", "debris"]
    assert open_store(tmp_path / "out.zarr").keys == ["a", "b"]
    assert segprep.preprocess(refs, tmp_path / "out.zarr", classes=["cell", "debris"]) == info
    report = segprep.check(refs, classes=["cell", "debris"])
    assert (report.source, report.masks, report.problems) == ("refs", 2, ())


def test_the_split_of_a_ref_is_one_of_three(tmp_path):
    with pytest.raises(segprep.OptionError, match="data: 'a' has split='foo': must be 'train', 'val', 'test' or None"):
        segprep.preprocess([OwnRef("a", "foo")], tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("refs", "message"), [([], "no mask"), ([OwnRef("a"), OwnRef("a")], "2 refs have the key 'a'")]
)
def test_refs_need_keys_of_their_own(refs, message, tmp_path):
    with pytest.raises(segprep.InputError, match=message):
        segprep.preprocess(refs, tmp_path / "out.zarr")


def test_class_weights_of_a_store_are_those_of_its_description(coins_store):
    info = segprep.describe(str(coins_store))
    for formula in ("inverse", "enet"):
        expected = [entry.weights[formula] for entry in info.classes]
        np.testing.assert_allclose(segprep.class_weights(coins_store, formula), expected)


@pytest.mark.parametrize("clip", ["0.1,10", (0.1, 10), [0.1, 10]])
def test_class_weights_are_clipped_however_the_limits_are_written(coins_store, clip):
    weights = segprep.class_weights(coins_store, "inverse", clip_class_weights=clip)
    assert (weights >= 0.1).all()
    assert (weights <= 10).all()


def test_class_weights_with_bad_limits_are_an_option_error(coins_store):
    with pytest.raises(segprep.OptionError, match="clip_class_weights=5: must be a pair of numbers"):
        segprep.class_weights(coins_store, clip_class_weights=5)


@pytest.mark.parametrize("name", ["overwrite", "reread"])
def test_a_flag_that_is_no_truth_value_is_an_option_error(tmp_path, name):
    with pytest.raises(segprep.OptionError, match=f"{name}='no': must be True or False"):
        segprep.preprocess(tmp_path, tmp_path / "out.zarr", **{name: "no"})


def test_workers_may_be_given_as_digits():
    assert segprep.Workers.of("2") == segprep.Workers(2)
