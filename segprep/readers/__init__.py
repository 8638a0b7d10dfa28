"""Readers of masks: one file per format, which makes one `Reader` and knows no other; `find` asks them all.

They are imported when `find` or `READERS` is used first, so that a process that reads a store, or masks of one format, does
not take the time for all: 0.2 s.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segprep.readers._find import READERS as READERS
    from segprep.readers._find import find as find
    from segprep.readers._paired import ImageNames as ImageNames
    from segprep.readers._paired import image_names as image_names
    from segprep.readers._pixels import image_pixels as image_pixels
    from segprep.readers._pixels import image_window as image_window
    from segprep.readers._reader import MAX_INSTANCES as MAX_INSTANCES
    from segprep.readers._reader import MAX_PIXELS as MAX_PIXELS
    from segprep.readers._reader import Crowd as Crowd
    from segprep.readers._reader import MaskSet as MaskSet
    from segprep.readers._reader import Reader as Reader
    from segprep.readers._reader import ReadOptions as ReadOptions

_MODULES = {
    "READERS": "_find",
    "find": "_find",
    "ImageNames": "_paired",
    "image_names": "_paired",
    "image_pixels": "_pixels",
    "image_window": "_pixels",
} | dict.fromkeys(("MAX_INSTANCES", "MAX_PIXELS", "Crowd", "MaskSet", "ReadOptions", "Reader"), "_reader")
"""Module of each name."""

__all__ = [*_MODULES]  # noqa: PLE0604 - strings


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - not a name of this module

    if name not in _MODULES:
        raise AttributeError(f"module 'segprep.readers' has no attribute {name!r}")
    return getattr(import_module(f"segprep.readers.{_MODULES[name]}"), name)
