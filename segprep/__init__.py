"""segprep: precomputed ground truth for segmentation networks.

A *reader* finds masks and returns *refs*. A ref loads one `InstanceMask` where it runs. A *target* computes one array from
one mask. A run *scans* all masks once, *plans* a *layout* from their statistics, and *writes*: one job fills one *shard* of
every target. A training loop *opens* the *store*.
"""

import logging
from typing import TYPE_CHECKING

logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from segprep.errors import InputError as InputError
    from segprep.errors import IntegrityError as IntegrityError
    from segprep.errors import JobError as JobError
    from segprep.errors import OptionError as OptionError
    from segprep.errors import OutputError as OutputError
    from segprep.errors import SegprepError as SegprepError
    from segprep.errors import SegprepWarning as SegprepWarning
    from segprep.errors import StorageError as StorageError
    from segprep.errors import TargetError as TargetError
    from segprep.kernels.border import border_weights as border_weights
    from segprep.kernels.boundaries import boundaries as boundaries
    from segprep.kernels.distance import signed_distance as signed_distance
    from segprep.kernels.nearest import nearest_two as nearest_two
    from segprep.masks.classes import ClassTable as ClassTable
    from segprep.masks.downsampling import Downsampling as Downsampling
    from segprep.masks.instances import InstanceRule as InstanceRule
    from segprep.masks.mask import InstanceMask as InstanceMask
    from segprep.masks.mask import MaskRef as MaskRef
    from segprep.masks.splits import SplitRule as SplitRule
    from segprep.readers import MaskSet as MaskSet
    from segprep.readers import Reader as Reader
    from segprep.readers import ReadOptions as ReadOptions
    from segprep.readers import find as find
    from segprep.report.preview import Preview as Preview
    from segprep.report.preview import preview as preview
    from segprep.runs.check import check as check
    from segprep.runs.demo import demo as demo
    from segprep.runs.describe import class_weights as class_weights
    from segprep.runs.describe import describe as describe
    from segprep.runs.doctor import doctor as doctor
    from segprep.runs.estimate import Estimate as Estimate
    from segprep.runs.estimate import estimate as estimate
    from segprep.runs.evaluate import evaluate as evaluate
    from segprep.runs.preprocess import preprocess as preprocess
    from segprep.runs.repair import repair as repair
    from segprep.runs.resplit import resplit as resplit
    from segprep.runs.verify import verify as verify
    from segprep.store.opening import open as open  # noqa: A004 - as zarr.open
    from segprep.store.schema import StoreInfo as StoreInfo
    from segprep.targets import Border as Border
    from segprep.targets import Boundaries as Boundaries
    from segprep.targets import Classes as Classes
    from segprep.targets import Distance as Distance
    from segprep.targets import Labels as Labels
    from segprep.targets import Target as Target
    from segprep.targets import Weights as Weights
    from segprep.targets.weights import PRESETS as PRESETS
    from segprep.workers.jobs import Workers as Workers

    __version__: str

_NAMES = {
    "runs.preprocess": ("preprocess",),
    "runs.check": ("check",),
    "runs.demo": ("demo",),
    "runs.doctor": ("doctor",),
    "runs.verify": ("verify",),
    "runs.repair": ("repair",),
    "runs.resplit": ("resplit",),
    "runs.describe": ("describe", "class_weights"),
    "runs.evaluate": ("evaluate",),
    "runs.estimate": ("estimate", "Estimate"),
    "report.preview": ("preview", "Preview"),
    "store.opening": ("open",),
    "store.schema": ("StoreInfo",),
    "readers": ("find", "MaskSet", "Reader", "ReadOptions"),
    "masks.mask": ("MaskRef", "InstanceMask"),
    "masks.classes": ("ClassTable",),
    "masks.downsampling": ("Downsampling",),
    "masks.instances": ("InstanceRule",),
    "masks.splits": ("SplitRule",),
    "targets": ("Target", "Labels", "Classes", "Weights", "Border", "Boundaries", "Distance"),
    "targets.weights": ("PRESETS",),
    "workers.jobs": ("Workers",),
    "kernels.border": ("border_weights",),
    "kernels.nearest": ("nearest_two",),
    "kernels.distance": ("signed_distance",),
    "kernels.boundaries": ("boundaries",),
    "errors": (
        *("SegprepError", "OptionError", "InputError", "OutputError"),
        *("IntegrityError", "StorageError", "JobError", "TargetError", "SegprepWarning"),
    ),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
"""Module of each public name. Modules are imported at the first use of a name, so that ``segprep --help`` is quick."""

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604 - strings


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - not a name of this module

    if name == "__version__":
        return import_module("importlib.metadata").version("segprep")
    if name not in _MODULES:
        raise AttributeError(f"module 'segprep' has no attribute {name!r}")
    return getattr(import_module(f"segprep.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
