"""segprep: precomputed ground truth for segmentation networks.

A *reader* finds masks and hands out *refs*. A ref loads one `InstanceMask` where it runs. A *target* computes one
array from one mask. The pipeline *scans* all masks once, *plans* a *layout* from what it saw, and *writes*: one task
fills one *shard* of every target. A training loop *opens* the *store*.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segprep.errors import SegprepError
    from segprep.masks.classes import ClassTable
    from segprep.masks.instances import InstanceRule
    from segprep.masks.mask import InstanceMask
    from segprep.masks.splits import SplitRule
    from segprep.readers import ReadOptions
    from segprep.runs.preprocess import Rules, preprocess
    from segprep.runs.resplit import resplit
    from segprep.store.dataset import open  # noqa: A004 - segprep.open, as in zarr.open and tifffile.open
    from segprep.targets import Border, Boundaries, Classes, Distance, Labels, Weights
    from segprep.workers.jobs import Workers

__version__: str

_HOMES = {
    "Border": "targets",
    "Boundaries": "targets",
    "ClassTable": "masks.mask",
    "Classes": "targets",
    "Distance": "targets",
    "InstanceMask": "masks.mask",
    "InstanceRule": "masks.instances",
    "Labels": "targets",
    "ReadOptions": "readers",
    "Rules": "runs.preprocess",
    "SegprepError": "errors",
    "SplitRule": "masks.splits",
    "Weights": "targets",
    "Workers": "workers.jobs",
    "open": "store.dataset",
    "preprocess": "runs.preprocess",
    "resplit": "runs.resplit",
}
"""Module of each public name; imported when first used, so that ``segprep --help`` is quick."""

__all__ = [
    "Border",
    "Boundaries",
    "ClassTable",
    "Classes",
    "Distance",
    "InstanceMask",
    "InstanceRule",
    "Labels",
    "ReadOptions",
    "Rules",
    "SegprepError",
    "SplitRule",
    "Weights",
    "Workers",
    "__version__",
    "open",
    "preprocess",
    "resplit",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("segprep")
    if name not in _HOMES:
        raise AttributeError(f"module 'segprep' has no attribute {name!r}")
    return getattr(import_module(f"segprep.{_HOMES[name]}"), name)
