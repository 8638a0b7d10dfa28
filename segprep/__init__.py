"""segprep: precomputed ground truth for segmentation networks.

A *reader* finds masks and hands out *refs*. A ref loads one `InstanceMask` where it runs. A *product* computes one
array from one mask. The pipeline *scans* all masks once, *plans* a *layout* from what it saw, and *writes*: one task
fills one *shard* of every product. A training loop *opens* the *store*.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segprep.errors import SegprepError
    from segprep.loader import open  # noqa: A004 - segprep.open, as in zarr.open and tifffile.open
    from segprep.mask import ClassTable, InstanceMask
    from segprep.pipeline import preprocess
    from segprep.products import Classes, Labels, Weights
    from segprep.workers import Workers

__version__ = version("segprep")

_HOMES = {
    "ClassTable": "mask",
    "Classes": "products",
    "InstanceMask": "mask",
    "Labels": "products",
    "SegprepError": "errors",
    "Weights": "products",
    "Workers": "workers",
    "open": "loader",
    "preprocess": "pipeline",
}
"""Module of each public name; imported when first used, so that ``segprep --help`` is quick."""

__all__ = [
    "ClassTable",
    "Classes",
    "InstanceMask",
    "Labels",
    "SegprepError",
    "Weights",
    "Workers",
    "__version__",
    "open",
    "preprocess",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segprep' has no attribute {name!r}")
    return getattr(import_module(f"segprep.{_HOMES[name]}"), name)
