"""Contents of a store, and class weights by its counts."""

import os

from segprep.paths.anypath import AnyPath, parse_path
from segprep.runs.settings import made_of
from segprep.store.metadata import read_info
from segprep.store.schema import StoreInfo, train_counts
from segprep.targets.class_weights import BETA, AbsentClass, ClassVector, Shaping
from segprep.targets.class_weights import class_weights as weights_of


def describe(store: str | os.PathLike[str] | AnyPath) -> StoreInfo:
    """Contents of a store.

    Raises
    ------
    IntegrityError
        If there is no store, or its metadata are damaged.
    """
    return read_info(parse_path(store))


def class_weights(
    store: str | os.PathLike[str] | AnyPath | StoreInfo,
    formula: str = "inverse",
    *,
    absent_class: AbsentClass = "zero",
    normalise: bool = False,
    clip_class_weights: str | tuple[float, float] | None = None,
    beta: float = BETA,
) -> ClassVector:
    """Class weights for a loss, by the counts of the train split.

    Parameters
    ----------
    store : path or StoreInfo
        The store, or its description.
    formula : str
        Name of a formula in `segprep.targets.class_weights.FORMULAS`.
    absent_class, normalise, clip_class_weights, beta
        As in `segprep.targets.class_weights.Shaping`.

    Returns
    -------
    (C,) float64 array
        In the order of the class codes; class 0 is the background.
    """
    info = store if isinstance(store, StoreInfo) else describe(store)
    given = {"normalise": normalise, "clip_class_weights": clip_class_weights, "beta": beta}
    shaping = made_of(Shaping, given | {"absent_class": absent_class})
    return weights_of(formula, train_counts(info), shaping)
