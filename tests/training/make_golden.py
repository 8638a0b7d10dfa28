"""Scores of made pairs by StarDist and panopticapi: ``PYTHONPATH=tests python tests/training/make_golden.py``.

Needs ``pip install stardist`` and panopticapi (https://github.com/cocodataset/panopticapi, not on PyPI; the scores kept are
those of the functions of its evaluation.py at `COMMIT`). Writes ``golden.json`` beside this file.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from oracles.metrics import STUFF, THINGS, digest, label_pair, panoptic_pair
from panopticapi.evaluation import pq_compute_single_core
from PIL import Image
from stardist.matching import matching

HERE = Path(__file__).parent
COMMIT = "1ad5afa4ab681fd27249136545199ee42be5defe"
SEEDS = range(24)
THRESHOLDS = (0.3, 0.5, 0.75, 0.9)
FIELDS = ("tp", "fp", "fn", "precision", "recall", "accuracy", "f1", "mean_matched_score", "panoptic_quality")


def by_stardist(seed):
    """Scores of a pair of label images at each threshold."""
    truth, prediction = label_pair(seed)
    scores = [matching(truth, prediction, thresh=threshold)._asdict() for threshold in THRESHOLDS]
    return {
        "digest": digest(truth, prediction),
        "scores": [{name: float(each[name]) for name in FIELDS} for each in scores],
    }


def by_panopticapi(seed):
    """Counts of each class of a panoptic pair."""
    pair = panoptic_pair(seed)
    categories = {code: {"id": code, "isthing": int(code in THINGS)} for code in (*THINGS, *STUFF)}
    with tempfile.TemporaryDirectory() as folder:
        annotations = []
        for name, (segments, kinds) in zip(("truth", "found"), pair, strict=True):
            (Path(folder) / name).mkdir()
            rgb = np.stack([segments % 256, segments // 256, segments // 65536], axis=2).astype(np.uint8)
            Image.fromarray(rgb).save(Path(folder) / name / "a.png")
            infos = [
                {"id": label, "category_id": kind, "iscrowd": 0, "area": int((segments == label).sum())}
                for label, kind in kinds.items()
            ]
            annotations.append({"image_id": 1, "file_name": "a.png", "segments_info": infos})
        folders = [str(Path(folder) / name) for name in ("truth", "found")]
        found = pq_compute_single_core(0, [tuple(annotations)], *folders, categories)
    counts = {
        code: {"tp": each.tp, "fp": each.fp, "fn": each.fn, "iou": float(each.iou)}
        for code, each in found.pq_per_cat.items()
    }
    average, _ = found.pq_average(categories, isthing=None)
    return {
        "digest": digest(pair[0][0], pair[1][0]),
        "classes": counts,
        "average": {name: float(average[name]) for name in ("pq", "sq", "rq")},
    }


def main():
    """Write the scores."""
    document = {
        "stardist": {"version": version("stardist"), "thresholds": THRESHOLDS, "pairs": [*map(by_stardist, SEEDS)]},
        "panopticapi": {"version": COMMIT, "pairs": [*map(by_panopticapi, SEEDS)]},
    }
    (HERE / "golden.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
