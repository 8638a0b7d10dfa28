"""Contents of the documents that are not results of the library as they are."""

from collections.abc import Sequence
from typing import Any

import msgspec

from segprep.paths.anypath import AnyPath
from segprep.runs.evaluate import Evaluation
from segprep.runs.update_info import UpdateInfo
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import ProblemInfo, StoreInfo
from segprep.training.evaluation import ClassScore, PanopticScore, ThresholdScore

from .regions import ignored_share


class StoreContents(StoreInfo, frozen=True, kw_only=True, omit_defaults=False):
    """Contents of a store, kept as its root attributes, with its path and size.

    Attributes
    ----------
    store : str
        Path of the store.
    bytes : int
        Size of all its files.
    ignored_share : float
        Share of the pixels that are ignored, from 0 to 1.
    """

    store: str
    bytes: int
    ignored_share: float


def store_contents(path: AnyPath, info: StoreInfo) -> StoreContents:
    """Contents of a store, its path, its size in bytes, and the share of ignored pixels."""
    return StoreContents(**_fields(path, info))


class RunContents(StoreContents, frozen=True, kw_only=True, omit_defaults=False):
    """Contents of a store that was written, with what an update has changed.

    Attributes
    ----------
    store : str
        Path of the store.
    bytes : int
        Size of all its files.
    ignored_share : float
        Share of the pixels that are ignored, from 0 to 1.
    update : UpdateInfo or null
        What an update has changed and written, of all its parts; null if the run was none.
    """

    update: UpdateInfo | None


def run_contents(path: AnyPath, info: StoreInfo, update: UpdateInfo | None) -> RunContents:
    """Contents of a store after a run, as in `store_contents`, and what an update has changed."""
    return RunContents(**_fields(path, info), update=update)


def _fields(path: AnyPath, info: StoreInfo) -> dict[str, Any]:
    share, size = ignored_share(info), bytes_on_disk(path)
    return msgspec.structs.asdict(info) | {"store": str(path), "bytes": size, "ignored_share": share}


class ClassWeights(msgspec.Struct, frozen=True):
    """Class weights of a store.

    Attributes
    ----------
    formula : str
        Name of the formula.
    vector : list of float
        Weights in the order of the class codes; the first is that of the background.
    weights : dict of float
        Weights by the name of the class.
    """

    formula: str
    vector: tuple[float, ...]
    weights: dict[str, float]


def class_weights(info: StoreInfo, formula: str, vector: Sequence[float]) -> ClassWeights:
    """Class weights by code and by name."""
    names = {entry.name: weight for entry, weight in zip(info.classes, vector, strict=True)}
    return ClassWeights(formula, tuple(vector), names)


class Recipe(msgspec.Struct, frozen=True):
    """How a store is made again: one of the two is given.

    Attributes
    ----------
    command : str or null
        Command line.
    config : str or null
        TOML file for ``--config``.
    """

    command: str | None = None
    config: str | None = None


class Completion(msgspec.Struct, frozen=True):
    """Script that completes commands in a shell.

    Attributes
    ----------
    shell : str
        Name of the shell.
    script : str
        Its script.
    """

    shell: str
    script: str


class Scores(msgspec.Struct, frozen=True):
    """Scores of predictions without those of each image; see `segprep.evaluate` for the fields."""

    predictions: str
    truth: str
    images: int
    true_instances: int
    predicted_instances: int
    mean_ap: float
    at_threshold: ThresholdScore
    thresholds: tuple[ThresholdScore, ...]
    panoptic: dict[str, PanopticScore]
    boundary_f: float
    touching_pairs: int
    separated_pairs: int
    classes: tuple[ClassScore, ...]
    per_class: bool
    tolerance: float
    missing: tuple[str, ...]
    problems: tuple[ProblemInfo, ...]


def scores(found: Evaluation) -> Scores:
    """Scores without those of each image."""
    return Scores(**{name: getattr(found, name) for name in Scores.__struct_fields__})


class Formats(msgspec.Struct, frozen=True):
    """Formats that are read: the layout of each, by the name that ``--format`` takes."""

    formats: dict[str, str]


class Schemas(msgspec.Struct, frozen=True):
    """Schemas of the documents: a summary of each, by its name."""

    schemas: dict[str, str]
