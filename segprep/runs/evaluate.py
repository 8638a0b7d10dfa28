"""Evaluation of predictions: each image is compared once, in any process, and its scores are added.

Predictions and truth are stores, data sets of any format, or refs; predictions may also be COCO results. What cannot be
paired is an error, so that no score is that of a part of the predictions. `segprep.training.metrics` computes what is
added here.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, OptionError, check_choice, some
from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import MaskRef
from segprep.masks.splits import SPLITS
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.readers import MaskSet
from segprep.readers.coco import CocoRef
from segprep.readers.coco_results import ResultImage, is_results, read_results
from segprep.runs.foreground import scan_resolved
from segprep.runs.pairing import paired
from segprep.runs.scan import OWN_REFS, chosen_data, key_range, masks_of
from segprep.runs.settings import Data, Rules, typed_value
from segprep.store.metadata import is_store
from segprep.store.opening import open as open_store
from segprep.store.schema import ProblemInfo
from segprep.store.stored_ref import StoredRef
from segprep.training.evaluation import ImageResult, Measures, Totals, image_result, totals
from segprep.training.matching import UNIQUE
from segprep.training.metrics import MAX_TOLERANCE, TOLERANCE
from segprep.workers.jobs import Executor, Job, Progress, Workers, no_progress, open_executor, run_jobs

BATCH = 8
"""Least number of images in one job."""
MOST_JOBS = 200
"""Largest number of jobs: each reads the tables of a store once."""
FOREGROUND = "foreground masks, whose connected components are the instances"
RESULTS = "coco-results"
"""Format of predictions that are a list of COCO results."""


class Evaluation(Totals, frozen=True, kw_only=True):
    """Scores of predictions: those of `segprep.training.evaluation.Totals`, and what was compared.

    Attributes
    ----------
    predictions, truth : str
        Paths, or ``refs``.
    per_class : bool
        True if only instances of one class match.
    tolerance : float
        That of the boundary F, in pixels.
    missing : tuple of str
        Keys of the images without a prediction, which count as images in which nothing was found.
    problems : tuple of ProblemInfo
        Invalid annotations and detections that were left out, and doubts about the data.
    """

    predictions: str
    truth: str
    per_class: bool
    tolerance: float
    missing: tuple[str, ...]
    problems: tuple[ProblemInfo, ...]


class _Side(NamedTuple):
    """Masks to compare: their path or ``refs``, their masks, and the rule of their instances."""

    source: str
    masks: MaskSet
    rule: InstanceRule = InstanceRule()
    problems: tuple[ProblemInfo, ...] = ()


class _Pair(NamedTuple):
    truth: MaskRef
    prediction: MaskRef | None


def evaluate(  # noqa: PLR0913 - keywords
    predictions: Data | MaskSet,
    truth: Data | MaskSet,
    *,
    threshold: float = UNIQUE,
    tolerance: float = TOLERANCE,
    per_class: bool = False,
    split: str | None = None,
    min_score: float = 0.0,
    annotations: str | os.PathLike[str] | AnyPath | None = None,
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Compare predicted with true instances.

    Keys of predictions and truth pair if they are equal, or else equal but for their suffix, or else but for their
    folders too. An image without a prediction counts as one in which nothing was found.

    Parameters
    ----------
    predictions : path, sequence of MaskRef, or MaskSet
        A store, a data set of any format that `segprep.find` reads, or a JSON list of COCO results.
    truth : path, sequence of MaskRef, or MaskSet
        A store, or a data set. Instances are complete, as they were read, also where a store separates them.
    threshold : float
        IoU above which instances match, for precision, recall, F1 and AP; from 0 to below 1.
    tolerance : float
        Tolerance of the boundary F in pixels, from 0 to 100.
    per_class : bool
        Match only instances of one class, by the names of the classes (by ids for COCO results), and score every class,
        stuff too. Otherwise classes do not count.
    split : str or None
        ``train``, ``val`` or ``test``: compare only the masks of this split of the truth.
    min_score : float
        Leave out COCO results with a lower score.
    annotations : path or None
        COCO file from which the truth was made, for the image ids of COCO results if the truth is a store.
    workers, progress
        As in `segprep.preprocess`.

    Returns
    -------
    Evaluation
        Scores of the data set, and of each image in `rows`.

    Raises
    ------
    InputError
        If predictions have no truth, or another size, or cannot be read.
    IntegrityError
        If a store is incomplete or damaged.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, pixels in (("truth", [[1, 1, 0, 2, 2]]), ("found", [[1, 1, 0, 0, 0]])):
    ...     (folder / name).mkdir()
    ...     Image.fromarray(np.array(pixels, np.uint8)).save(folder / name / "cells.png")
    >>> scores = evaluate(folder / "found", folder / "truth")
    >>> scores.images, scores.at_threshold.precision, scores.at_threshold.recall, scores.mean_ap
    (1, 1.0, 0.5, 0.5)
    """
    per_class, threshold = typed_value("per_class", per_class, bool), typed_value("threshold", threshold, float)
    tolerance, min_score = typed_value("tolerance", tolerance, float), typed_value("min_score", min_score, float)
    if not 0 <= threshold < 1:
        raise OptionError(f"threshold={threshold}: must be an IoU from 0 to below 1")
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise OptionError(f"tolerance={tolerance}: must be from 0 to {MAX_TOLERANCE} pixels")
    if split is not None:
        check_choice("split", split, SPLITS)
    workers = Workers.of(workers)
    true = _side(truth, workers, "truth")
    if isinstance(predictions, str | os.PathLike | BucketPath) and is_results(
        path := workers.place(predictions, "predictions")
    ):
        found = _of_results(path, true, per_class, min_score, annotations)
    else:
        _refuse_unused(min_score, annotations)
        found = _side(predictions, workers, "predictions")
    measures = _measures(found, true, threshold, tolerance, per_class)
    with open_executor(workers, len(true.masks.refs)) as executor:
        true, found = (_resolved(executor, side, progress) for side in (true, found))
        pairs = _pairs(found, true, split)
        compared = _compared(executor, pairs, (true, found), measures, progress)
    sums = totals([result for result, _ in compared], measures, true.masks.classes)
    problems = (*true.problems, *found.problems, *(item for _, items in compared for item in items))
    is_list = found.masks.format == RESULTS
    return Evaluation(
        **{name: getattr(sums, name) for name in Totals.__struct_fields__},
        predictions=found.source,
        truth=true.source,
        per_class=per_class,
        tolerance=tolerance,
        missing=() if is_list else tuple(row.key for row in sums.rows if not row.predicted),
        problems=tuple(dict.fromkeys(problems)),
    )


def _side(data: Data | MaskSet, workers: Workers, name: str) -> _Side:
    """Masks of a store or of a data set."""
    if isinstance(data, MaskSet):
        return _Side(data.format, data)
    if isinstance(data, str | os.PathLike | BucketPath):
        root = workers.place(data, name)
        if is_store(root):
            return _Side(str(data), _stored(root))
    source = chosen_data(data, workers, name)
    masks = masks_of(source, Rules())
    kinds = [
        ProblemInfo(problem.kind, key, problem.where, problem.left_out)
        for key, problem in (*masks.problems, *masks.notices)
    ]
    return _Side(OWN_REFS if isinstance(source, tuple) else str(data), masks, problems=tuple(kinds))


def _stored(root: AnyPath) -> MaskSet:
    """Masks of a store, as they were read for it."""
    dataset = open_store(root)
    keys = zip(dataset.keys, dataset.splits, strict=True)
    refs = tuple(StoredRef(dataset, index, key, split) for index, (key, split) in enumerate(keys))
    return MaskSet("segprep store", dataset.info.class_table, refs)


def _refuse_unused(min_score: float, annotations: object) -> None:
    """Raise OptionError for settings that only COCO results have."""
    if min_score:
        raise OptionError(f"min_score={min_score}: only COCO results have scores")
    if annotations is not None:
        raise OptionError(f"annotations={str(annotations)!r}: only COCO results need the image ids in it")


def _of_results(
    path: AnyPath, true: _Side, per_class: bool, min_score: float, annotations: str | os.PathLike[str] | AnyPath | None
) -> _Side:
    """COCO results, with the keys and the classes of the truth."""
    refs = true.masks.refs
    images = [ResultImage(ref.key, _shape(ref)) for ref in refs]
    class_ids: dict[int | str | None, int] = {
        entry.name if entry.id is None else entry.id: entry.code for entry in true.masks.classes.entries[1:]
    }
    ids = _image_ids(refs, annotations)
    found = read_results(path, images, ids, class_ids if per_class else None, min_score=min_score)
    return _Side(str(path), MaskSet(RESULTS, true.masks.classes, found))


def _shape(ref: MaskRef) -> tuple[int, int]:
    """Height and width of a mask, without reading it where that is known."""
    if isinstance(ref, StoredRef):
        height, width = ref.dataset.sizes[ref.index].tolist()
        return height, width
    return ref.shape if isinstance(ref, CocoRef) else ref.load().shape


def _image_ids(
    refs: Sequence[MaskRef], annotations: str | os.PathLike[str] | AnyPath | None
) -> dict[int | str | None, int]:
    """Index of each mask of the truth by its image id: in the truth, in the COCO file `annotations`, or else its key."""
    index_of = {ref.key: index for index, ref in enumerate(refs)}
    if annotations is None:
        return {ref.id if isinstance(ref, CocoRef) else ref.key: index for index, ref in enumerate(refs)}
    listed = masks_of(Workers().place(annotations, "annotations"), Rules()).refs
    ids = {ref.id: index_of[ref.key] for ref in listed if isinstance(ref, CocoRef) and ref.key in index_of}
    if len(ids) < len(refs):
        raise InputError(
            f"{annotations}: lists {len(ids)} of the {len(refs)} images of the truth by their names; give the COCO file that "
            "the truth was made from"
        )
    return ids


def _measures(found: _Side, true: _Side, threshold: float, tolerance: float, per_class: bool) -> Measures:
    """Parameters of the scores, with the class codes of the truth for those of the predictions."""
    if not per_class:
        return Measures(threshold, tolerance)
    ours, theirs = true.masks.classes.entries, found.masks.classes.entries
    things = frozenset(entry.code for entry in ours if entry.is_thing)
    if len(ours) == len(theirs) == 2:  # noqa: PLR2004 - the background and one class, whatever its name
        return Measures(threshold, tolerance, np.arange(2, dtype=np.int32), things)
    codes = {entry.name: entry.code for entry in ours}
    unknown = [entry.name for entry in theirs if entry.name not in codes]
    if unknown:
        raise InputError(
            f"{found.source}: has classes that the truth does not have: {some(unknown, most=3)}; per_class=True needs equal "
            f"names, as {some([entry.name for entry in ours[1:]], most=3)}"
        )
    class_of: NDArray[np.int32] = np.array([codes[entry.name] for entry in theirs], np.int32)
    return Measures(threshold, tolerance, class_of, things)


def _resolved(executor: Executor, side: _Side, progress: Progress) -> _Side:
    """Side whose label images are read as every command reads them: as foreground masks if all hold the same one value."""
    if side.masks.format != "label-image":
        return side
    found, rule = scan_resolved(executor, side.masks, Rules(), progress)
    if found.unreadable:
        raise InputError(
            *list(found.unreadable.values())[:10], f"{side.source}: {len(found.unreadable)} masks cannot be read"
        )
    masks = MaskSet(side.masks.format, side.masks.classes, found.refs())
    decided = [ProblemInfo(FOREGROUND, side.source, "all hold the same one value besides 0", left_out=False)]
    notices = decided if rule.instances_from == "components" else []
    return _Side(side.source, masks, rule, (*notices, *side.problems, *found.problems()))


def _pairs(found: _Side, true: _Side, split: str | None) -> list[_Pair]:
    """Each mask of the truth, or of its split, with its prediction."""
    refs, theirs = true.masks.refs, found.masks.refs
    own = paired([ref.key for ref in theirs], [ref.key for ref in refs], found.source)
    pairs = [
        _Pair(ref, None if index is None else theirs[index])
        for ref, index in zip(refs, own, strict=True)
        if split is None or ref.split == split
    ]
    if not pairs:
        raise OptionError(f"split={split!r}: no mask of {true.source} is in this split")
    return pairs


def _compared(
    executor: Executor, pairs: Sequence[_Pair], sides: tuple[_Side, _Side], measures: Measures, progress: Progress
) -> list[tuple[ImageResult, list[ProblemInfo]]]:
    """Result and problems of each pair."""
    size = max(BATCH, -(-len(pairs) // MOST_JOBS))
    batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    rules = tuple((side.rule, len(side.masks.classes)) for side in sides)
    jobs = [
        Job(f"evaluation of {key_range([pair.truth for pair in batch])}", _compare_batch, (batch, rules, measures))
        for batch in batches
    ]
    results: dict[int, list[tuple[ImageResult, list[ProblemInfo]]]] = {}
    done = 0
    progress("evaluate", done, len(pairs))
    for index, batch_results in run_jobs(executor, jobs):
        results[index] = batch_results
        done += len(batch_results)
        progress("evaluate", done, len(pairs))
    return [result for index in range(len(jobs)) for result in results[index]]


def _compare_batch(
    pairs: Sequence[_Pair], rules: tuple[tuple[InstanceRule, int], tuple[InstanceRule, int]], measures: Measures
) -> list[tuple[ImageResult, list[ProblemInfo]]]:
    """Result of each pair, and the problems of its masks."""
    results = []
    for pair in pairs:
        truth, _ = load_mask(pair.truth, *rules[0])
        prediction = None if pair.prediction is None else load_mask(pair.prediction, *rules[1])[0]
        if prediction is not None and prediction.shape != truth.shape:
            sizes = (f"{height} x {width}" for height, width in (prediction.shape, truth.shape))
            raise InputError(
                f"{pair.truth.key}: the prediction has {' pixels, the truth '.join(sizes)}; resize predictions to the size "
                "of the truth"
            )
        problems = [
            ProblemInfo(item.kind, ref.key, item.where, item.left_out)
            for ref, mask in zip(pair, (truth, prediction), strict=True)
            if ref is not None and mask is not None
            for item in mask.problems
        ]
        results.append((image_result(pair.truth.key, truth, prediction, measures), problems))
    return results
