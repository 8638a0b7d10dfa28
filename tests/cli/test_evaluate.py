"""`segprep evaluate` on real files: stores, label images, COCO results, and what is refused."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import segprep_
from oracles.metrics import STUFF, THINGS, label_pair, panoptic_pair
from PIL import Image

import segprep
from segprep.masks.rle import bitmap_runs, runs_string
from segprep.masks.touching import touching_pairs
from segprep.store.metadata import read_info
from segprep.training.metrics import Score, boundary_f, mean_ap, score, separated_pairs

SEEDS = range(12)
GOLDEN = json.loads((Path(__file__).parents[1] / "training" / "golden.json").read_text(encoding="utf-8"))
FIELDS = [
    *(
        "predictions",
        "truth",
        "images",
        "true_instances",
        "predicted_instances",
        "mean_ap",
        "at_threshold",
        "thresholds",
    ),
    *("panoptic", "boundary_f", "touching_pairs", "separated_pairs", "classes", "per_class", "tolerance", "missing"),
    "problems",
]


def write(folder, name, labels):
    """Write a label image."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint16)).save(path)


def encoded(bitmap):
    return {"size": list(bitmap.shape), "counts": runs_string(bitmap_runs(bitmap))}


def detections(labels, image_id, category_id=7, **more):
    """COCO results of the instances of a label image."""
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": encoded(labels == number),
            "score": 0.9,
            **more,
        }
        for number in np.unique(labels[labels > 0])
    ]


@pytest.fixture(scope="module")
def pairs():
    """Truth and prediction of each image."""
    return [label_pair(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def data(pairs, tmp_path_factory):
    """Folder of ``truth`` and ``found`` as label images, and as a COCO file and a list of results."""
    folder = tmp_path_factory.mktemp("evaluate")
    images, annotations, results = [], [], []
    for number, (truth, prediction) in enumerate(pairs):
        write(folder / "truth", f"labels/{number:02}.png", truth)
        write(folder / "found", f"{number:02}.tif", prediction)
        height, width = truth.shape
        images.append({"id": 100 + number, "file_name": f"{number:02}.jpg", "height": height, "width": width})
        annotations += [
            {"id": len(annotations) + index, **each} for index, each in enumerate(detections(truth, 100 + number))
        ]
        results += detections(prediction, 100 + number)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "cell"}]}
    (folder / "coco.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stores(data):
    """Stores of truth and predictions."""
    for name in ("truth", "found", "coco.json"):
        source = data / name
        segprep.preprocess(source, data / f"{source.stem}.zarr", targets=(), split=(0.5, 0.5), workers=1)
    return data


def scores_of(ended):
    """Scores that the command has printed as JSON."""
    assert ended.returncode == 0, ended
    return json.loads(ended.stdout)


def without_names(scores):
    return {name: value for name, value in scores.items() if name not in {"predictions", "truth", "problems"}}


def test_the_installed_command_prints_a_few_lines(data):
    ended = segprep_("evaluate", data / "found", data / "truth", "--workers", "1")
    lines = ended.stdout.splitlines()
    assert (ended.returncode, len(lines)) == (0, 6), ended
    assert lines[0].startswith(f"{data / 'found'} against {data / 'truth'}: 12 images, ")
    assert [line[:18].strip() for line in lines[1:]] == [
        *("mean AP 0.50:0.95", "at IoU 0.5", "panoptic quality", "boundary F", "touching pairs"),
    ]
    assert "segprep: compare 12/12 masks" in ended.stderr.splitlines()


def test_figures_are_those_of_the_images(data, pairs, segprep_here):
    found = scores_of(segprep_here("evaluate", data / "found", data / "truth", "--json", "--workers", 1))
    assert list(found) == ["schema", "schema_version", *FIELDS]
    pooled = sum((score(*pair) for pair in pairs), Score())
    assert found["images"] == 12
    assert found["mean_ap"] == pytest.approx(np.mean([mean_ap(*pair) for pair in pairs]))
    assert found["boundary_f"] == pytest.approx(np.mean([boundary_f(*pair) for pair in pairs]))
    assert [found["touching_pairs"], found["separated_pairs"]] == np.sum(
        [separated_pairs(*pair) for pair in pairs], axis=0
    ).tolist()
    at = found["at_threshold"]
    assert at == found["thresholds"][0]
    assert [at[name] for name in ("tp", "fp", "fn")] == [pooled.tp, pooled.fp, pooled.fn]
    assert [at[name] for name in ("precision", "recall", "f1")] == [pooled.precision, pooled.recall, pooled.f1]
    assert (at["pooled_ap"], at["ap"]) == (pooled.ap, pytest.approx(np.mean([score(*pair).ap for pair in pairs])))
    assert found["panoptic"]["all"] == {
        "pq": pytest.approx(pooled.pq),
        "sq": pytest.approx(pooled.sq),
        "rq": pytest.approx(pooled.f1),
        "classes": 1,
    }
    assert (found["true_instances"], found["predicted_instances"]) == (pooled.tp + pooled.fn, pooled.tp + pooled.fp)


def test_the_threshold_changes_what_matches(data, pairs, segprep_here):
    arguments = ("evaluate", data / "found", data / "truth", "--json", "--threshold", 0.75, "--tolerance", 0)
    found = scores_of(segprep_here(*arguments, "--workers", 1))
    assert found["at_threshold"]["tp"] == sum(score(*pair, 0.75).tp for pair in pairs)
    assert found["boundary_f"] == pytest.approx(np.mean([boundary_f(*pair, 0) for pair in pairs]))
    assert found["thresholds"][0]["tp"] == sum(score(*pair).tp for pair in pairs)


@pytest.mark.parametrize(
    ("predictions", "truth"),
    [
        ("found.zarr", "truth.zarr"),
        ("found", "truth.zarr"),
        ("found.zarr", "truth"),
        ("found", "coco.json"),
        ("results.json", "coco.json"),
    ],
)
def test_every_form_of_the_same_masks_scores_alike(predictions, truth, stores, segprep_here):
    expected = scores_of(segprep_here("evaluate", stores / "found", stores / "truth", "--json", "--workers", 1))
    found = scores_of(segprep_here("evaluate", stores / predictions, stores / truth, "--json", "--workers", 1))
    assert without_names(found) == without_names(expected)


def test_results_score_alike_against_a_store_of_their_truth(stores, segprep_here):
    common = ("--json", "--workers", 1, "--per-class")
    expected = scores_of(segprep_here("evaluate", stores / "results.json", stores / "coco.json", *common))
    arguments = (stores / "results.json", stores / "coco.zarr", "--annotations", stores / "coco.json")
    assert without_names(scores_of(segprep_here("evaluate", *arguments, *common))) == without_names(expected)
    assert [each["name"] for each in expected["classes"]] == ["cell"]


def test_results_may_name_images_by_their_keys(stores, tmp_path, segprep_here):
    results = json.loads((stores / "results.json").read_text(encoding="utf-8"))
    named = [{**each, "image_id": f"{each['image_id'] - 100:02}.jpg"} for each in results]
    (tmp_path / "named.json").write_text(json.dumps(named), encoding="utf-8")
    ours, theirs = (
        scores_of(segprep_here("evaluate", *arguments, "--json", "--workers", 1))
        for arguments in (
            (tmp_path / "named.json", stores / "coco.zarr"),
            (stores / "results.json", stores / "coco.json"),
        )
    )
    assert without_names(ours) == without_names(theirs)


def test_a_split_compares_its_masks_alone(stores, segprep_here):
    dataset = segprep.open(stores / "truth.zarr", split="val")
    found = scores_of(
        segprep_here("evaluate", stores / "found", stores / "truth.zarr", "--split", "val", "--json", "--workers", 1)
    )
    assert 0 < found["images"] == len(dataset) < 12
    assert found["true_instances"] == dataset.class_instances.sum()


@pytest.mark.slow
def test_processes_give_the_same_scores(data, tmp_path):
    ended = [
        segprep_(
            "evaluate", data / "found", data / "truth", "--json", "--workers", count, "--per-image", tmp_path / count
        )
        for count in ("1", "2")
    ]
    assert scores_of(ended[0]) == scores_of(ended[1])
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_scores_of_each_image_are_rows_of_csv(data, pairs, tmp_path, segprep_here):
    file = tmp_path / "scores.csv"
    ended = segprep_here("evaluate", data / "found", data / "truth", "--workers", 1, "--per-image", file)
    assert ended.returncode == 0, ended
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["key"] for row in rows] == [f"labels/{seed:02}.png" for seed in SEEDS]
    assert {row["predicted"] for row in rows} == {"True"}
    for row, pair in zip(rows, pairs, strict=True):
        own = score(*pair)
        assert [int(row[name]) for name in ("tp", "fp", "fn")] == [own.tp, own.fp, own.fn]
        expected = [own.precision, own.f1, own.ap, mean_ap(*pair), own.pq, own.sq, boundary_f(*pair)]
        names = ("precision", "f1", "ap", "mean_ap", "pq", "sq", "boundary_f")
        np.testing.assert_allclose([float(row[name]) for name in names], expected)


def test_a_missing_prediction_counts_as_an_empty_one_and_is_named(data, pairs, tmp_path, segprep_here):
    shutil.copytree(data / "found", tmp_path / "some")
    (tmp_path / "some" / "03.tif").unlink()
    ended = segprep_here("evaluate", tmp_path / "some", data / "truth", "--json", "--workers", 1)
    found = scores_of(ended)
    assert found["missing"] == ["labels/03.png"]
    assert "segprep: warning: 1 image without a prediction, in which nothing was found: labels/03.png" in ended.stderr
    expected = [mean_ap(truth, truth * 0 if seed == 3 else other) for seed, (truth, other) in enumerate(pairs)]
    assert found["mean_ap"] == pytest.approx(np.mean(expected))


def test_an_image_without_a_detection_is_not_missing(data, tmp_path, segprep_here):
    (tmp_path / "results.json").write_text("[ ]\n", encoding="utf-8")
    found = scores_of(segprep_here("evaluate", tmp_path / "results.json", data / "coco.json", "--json", "--workers", 1))
    assert (found["missing"], found["predicted_instances"], found["images"]) == ([], 0, 12)


def test_detections_of_low_scores_can_be_left_out(data, tmp_path, segprep_here):
    results = json.loads((data / "results.json").read_text(encoding="utf-8"))
    doubtful = [{**each, "score": 0.1} for each in results]
    (tmp_path / "results.json").write_text(json.dumps([*results, *doubtful]), encoding="utf-8")
    arguments = ("evaluate", tmp_path / "results.json", data / "coco.json", "--json", "--workers", 1)
    repeated, clean = (
        scores_of(segprep_here(*arguments, *more))["at_threshold"] for more in ((), ("--min-score", 0.5))
    )
    assert (repeated["tp"], repeated["fp"]) == (clean["tp"], clean["fp"] + len(results))
    assert (
        clean
        == scores_of(segprep_here("evaluate", data / "results.json", data / "coco.json", "--json", "--workers", 1))[
            "at_threshold"
        ]
    )


def test_detections_that_cannot_be_drawn_are_a_warning(data, tmp_path, segprep_here):
    bad = {"image_id": 100, "category_id": 7, "segmentation": [[1, 2, 3, 4]], "score": 1}
    results = [*json.loads((data / "results.json").read_text(encoding="utf-8")), bad]
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    ended = segprep_here("evaluate", tmp_path / "results.json", data / "coco.json", "--workers", 1)
    where = f"00.jpg: result {len(results) - 1}: 4"
    assert f"segprep: warning: polygon of fewer than 6 numbers: 1 left out: {where}" in ended.stderr.splitlines()


def test_foreground_masks_are_components_as_everywhere(data, pairs, tmp_path, segprep_here):
    for number, (_, prediction) in enumerate(pairs):
        write(tmp_path / "binary", f"{number:02}.png", 255 * (prediction > 0))
    ended = segprep_here("evaluate", tmp_path / "binary", data / "truth", "--json", "--workers", 1)
    report = segprep.check(tmp_path / "binary")
    assert scores_of(ended)["predicted_instances"] == report.instances > 12
    assert "warning: foreground masks, whose connected components are the instances" in ended.stderr


# --- classes ---------------------------------------------------------------------------------------------------------


def write_panoptic(folder, number, segments):
    """Write segments in the format of COCO panoptic; one JSON file per folder."""
    labels, kinds = segments
    name = f"{number}.png"
    rgb = np.stack([labels % 256, labels // 256, labels // 65536], axis=2).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / name)
    infos = [{"id": label, "category_id": kind, "iscrowd": 0} for label, kind in kinds.items()]
    return {"image_id": number, "file_name": name, "segments_info": infos}


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory):
    """Folders of panoptic truth and predictions."""
    folder = tmp_path_factory.mktemp("panoptic")
    categories = [{"id": code, "name": f"class {code}", "isthing": int(code in THINGS)} for code in (*THINGS, *STUFF)]
    for side, name in enumerate(("truth", "found")):
        annotations = [write_panoptic(folder / name / "panoptic", seed, panoptic_pair(seed)[side]) for seed in SEEDS]
        document = {"annotations": annotations, "categories": categories}
        (folder / name / "panoptic.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_panoptic_quality_per_class_is_that_of_panopticapi(panoptic, segprep_here):
    found = scores_of(
        segprep_here("evaluate", panoptic / "found", panoptic / "truth", "--per-class", "--json", "--workers", 1)
    )
    totals = {}
    for golden in GOLDEN["panopticapi"]["pairs"][: len(SEEDS)]:
        for code, each in golden["classes"].items():
            totals[code] = totals.get(code, Score()) + Score(**each)
    assert {str(each["code"]) for each in found["classes"]} == set(totals)
    for each in found["classes"]:
        expected = totals[str(each["code"])]
        assert [each["tp"], each["fp"], each["fn"]] == [expected.tp, expected.fp, expected.fn]
        np.testing.assert_allclose([each["pq"], each["sq"], each["rq"]], [expected.pq, expected.sq, expected.f1])
    for group, codes in (("all", totals), ("things", map(str, THINGS)), ("stuff", map(str, STUFF))):
        expected = np.mean([totals[code].pq for code in codes])
        assert found["panoptic"][group]["pq"] == pytest.approx(expected)
    assert found["at_threshold"]["tp"] == sum(totals[str(code)].tp for code in THINGS)


def test_per_class_prints_a_line_for_each_class(panoptic, segprep_here):
    ended = segprep_here("evaluate", panoptic / "found", panoptic / "truth", "--per-class", "--workers", 1)
    assert [line[:7] for line in ended.stdout.splitlines()[-4:]] == [f"class {code}" for code in (*THINGS, *STUFF)]


def test_classes_of_other_names_are_refused_where_they_count(panoptic, data, segprep_here):
    ended = segprep_here("evaluate", panoptic / "found", data / "coco.json", "--per-class", "--workers", 1)
    assert ended.returncode == 3
    assert (
        "has classes that the truth does not have: class 1, class 2, class 3 and 1 more; --per-class needs"
        in ended.stderr
    )


# --- refusals --------------------------------------------------------------------------------------------------------


def failed(ended, status):
    """Last line on stderr of a command that has failed."""
    assert (ended.returncode, ended.stdout) == (status, ""), ended
    return ended.stderr.splitlines()[-1]


def test_a_prediction_without_truth_is_refused(data, tmp_path, segprep_here):
    shutil.copytree(data / "found", tmp_path / "found")
    write(tmp_path / "found", "99.tif", np.ones((4, 4)))
    line = failed(segprep_here("evaluate", tmp_path / "found", data / "truth", "--workers", 1), 3)
    assert "no truth for the predictions '99.tif'; name each as its mask ('labels/00.png'), or remove it" in line


def test_a_prediction_of_another_size_is_refused(data, pairs, tmp_path, segprep_here):
    shutil.copytree(data / "found", tmp_path / "found")
    write(tmp_path / "found", "05.tif", np.tile(pairs[5][1], (2, 2)))
    line = failed(segprep_here("evaluate", tmp_path / "found", data / "truth", "--workers", 1), 3)
    height, width = pairs[5][0].shape
    assert (
        f"labels/05.png: the prediction has {2 * height} x {2 * width} pixels, the truth {height} x {width}; " in line
    )
    assert "resize predictions" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 5}, "result 0: the truth has no image_id 5; give the truth of these images"),
        (
            {"category_id": 1},
            "result 0: the truth has no category_id 1; use the ids of the truth, or leave out per_class",
        ),
        ({"segmentation": {"size": [1, 2], "counts": "02"}}, "result 0: its runs have the size (1, 2) instead of"),
    ],
    ids=["image", "category", "size"],
)
def test_results_that_do_not_fit_the_truth_are_refused(change, message, data, tmp_path, segprep_here):
    results = json.loads((data / "results.json").read_text(encoding="utf-8"))
    (tmp_path / "results.json").write_text(json.dumps([results[0] | change, *results[1:]]), encoding="utf-8")
    ended = segprep_here("evaluate", tmp_path / "results.json", data / "coco.json", "--per-class", "--workers", 1)
    assert message.replace("per_class", "--per-class") in failed(ended, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": 100, "bbox": [1, 2, 3, 4], "score": 1}]', "has no segmentation; give the results of instance"),
        ('[{"image_id": 100, "segmentation": ', "not a valid list of COCO results"),
        ('[{"image_id": 100, "segmentation": [], "score": "high"}]', "not a valid list of COCO results"),
    ],
    ids=["boxes", "cut", "score"],
)
def test_bad_results_are_named(text, message, data, tmp_path, segprep_here):
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    ended = segprep_here("evaluate", tmp_path / "results.json", data / "coco.json", "--workers", 1)
    assert f"{tmp_path / 'results.json'}: {message}" in failed(ended, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "1.5"), "--threshold 1.5: must be an IoU from 0 to below 1"),
        (("--tolerance", "-1"), "--tolerance -1: must be from 0 to 100 pixels"),
        (("--min-score", "0.5"), "--min-score 0.5: only COCO results have scores"),
        (("--annotations", "coco.json"), "--annotations coco.json: only COCO results need the image ids in it"),
        (("--split", "test"), "--split test: no mask of"),
        (("--split", "all"), "Invalid value for '--split'"),
    ],
)
def test_invalid_options_are_usage_errors(options, message, data, segprep_here):
    assert message in failed(segprep_here("evaluate", data / "found", data / "truth", "--workers", 1, *options), 2)


def test_a_csv_file_that_cannot_be_written_is_known_before_the_run(data, tmp_path, segprep_here):
    ended = segprep_here("evaluate", data / "found", data / "truth", "--per-image", tmp_path / "no" / "scores.csv")
    assert failed(ended, 6).endswith("scores.csv: cannot be written: No such file or directory")
    assert "scan" not in ended.stderr


@pytest.mark.parametrize("is_truth", [False, True])
def test_an_incomplete_store_is_refused(is_truth, data, tmp_path, segprep_here):
    root = tmp_path / "part.zarr"
    segprep.preprocess(data / "truth", root, targets=(), part=(1, 40), workers=1)
    assert read_info(root).status == "incomplete"
    arguments = (data / "found", root) if is_truth else (root, data / "truth")
    assert "is incomplete" in failed(segprep_here("evaluate", *arguments, "--workers", 1), 5)


def test_no_such_predictions(data, segprep_here):
    assert "nowhere: no such file or folder" in failed(segprep_here("evaluate", "nowhere", data / "truth"), 3)


# --- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nuclei_found_exactly_score_1_and_their_components_less(dsb2018_store, data_dir, tmp_path):
    exact = segprep.evaluate(data_dir / "dsb2018" / "stage1_train", dsb2018_store)
    assert (exact.images, exact.mean_ap, exact.boundary_f) == (48, 1, 1)
    dataset = segprep.open(dsb2018_store)
    touching = sum(touching_pairs(dataset.mask(key)) for key in dataset.keys)
    assert exact.touching_pairs == exact.separated_pairs == touching > 600
    for key in dataset.keys:
        write(tmp_path / "components", f"{key}.png", 255 * (dataset.array(key, "labels") > 0))
    merged = segprep.evaluate(tmp_path / "components", dsb2018_store)
    assert merged.mean_ap < 1
    assert merged.separated_pairs < 0.2 * merged.touching_pairs
