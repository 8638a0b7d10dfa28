"""segprep: precomputed ground truth for segmentation networks.

A *reader* finds masks and hands out *refs*. A ref loads one `InstanceMask` where it runs. A *product* computes one
array from one mask. The pipeline *scans* all masks once, *plans* a *layout* from what it saw, and *writes*: one task
fills one *shard* of every product. A training loop *opens* the *store*.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segprep.errors import SegprepError
    from segprep.instances import InstanceRule
    from segprep.loader import open  # noqa: A004 - segprep.open, as in zarr.open and tifffile.open
    from segprep.mask import ClassTable, InstanceMask
    from segprep.pipeline import Rules, preprocess
    from segprep.products import Border, Boundaries, Classes, Distance, Labels, Weights
    from segprep.readers import ReadOptions
    from segprep.resplit import split_store
    from segprep.splits import SplitRule
    from segprep.workers import Workers

__version__: str

_HOMES = {
    "Border": "products",
    "Boundaries": "products",
    "ClassTable": "mask",
    "Classes": "products",
    "Distance": "products",
    "InstanceMask": "mask",
    "InstanceRule": "instances",
    "Labels": "products",
    "ReadOptions": "readers",
    "Rules": "pipeline",
    "SegprepError": "errors",
    "SplitRule": "splits",
    "Weights": "products",
    "Workers": "workers",
    "open": "loader",
    "preprocess": "pipeline",
    "split_store": "resplit",
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
    "split_store",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("segprep")
    if name not in _HOMES:
        raise AttributeError(f"module 'segprep' has no attribute {name!r}")
    return getattr(import_module(f"segprep.{_HOMES[name]}"), name)
