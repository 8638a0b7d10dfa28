"""Finding masks: each reader knows one layout of files, and exactly one must recognise what the user gives.

A reader is one file with a `Reader` callable and a ref. What its `find` says in the first line of its docstring is what
the user reads about the layout.
"""

from collections import Counter
from collections.abc import Iterable

from segprep.errors import InputError, OptionError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import storage
from segprep.paths.listing import Listing, listing
from segprep.readers import (
    ade20k,
    cityscapes,
    coco,
    colour_png,
    instance_png,
    kitti,
    label_image,
    labelme,
    mapillary,
    mots,
    panoptic,
    segment_anything,
    voc,
    yolo,
)
from segprep.readers._reader import MAX_INSTANCES, MAX_PIXELS, Crowd, MaskSet, Reader, ReadOptions

__all__ = ["MAX_INSTANCES", "MAX_PIXELS", "READERS", "Crowd", "Find", "MaskSet", "ReadOptions", "find_masks"]

READERS: dict[str, Reader] = {
    "coco": coco.find,
    "panoptic": panoptic.find,
    "labelme": labelme.find,
    "yolo": yolo.find,
    "segment-anything": segment_anything.find,
    "voc": voc.find,
    "ade20k": ade20k.find,
    "cityscapes": cityscapes.find,
    "kitti": kitti.find,
    "mots": mots.find,
    "mapillary": mapillary.find,
    "colour-png": colour_png.find,
    "instance-png": instance_png.find,
    "label-image": label_image.find,
}
"""The readers by the names that the user gives; the one that knows least of what it reads comes last."""

_CHILDREN = 10
"""Folders in which a data set is looked for before the user is told that there is none."""


def find_masks(
    path: AnyPath,
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    options: ReadOptions | None = None,
) -> MaskSet:
    """Masks at a path, found but not yet read.

    Hidden files and links inside the folder are passed over, so that nothing outside of it is read.

    Parameters
    ----------
    path : AnyPath
        A file or folder.
    format : str, optional
        Name of a reader in `READERS`; without it the one that recognises the layout.
    options : ReadOptions, optional
        How masks are read.

    Raises
    ------
    InputError
        Where nothing can be found, or it cannot be known what is meant.
    OptionError
        Where an option has no such value.

    Examples
    --------
    >>> from pathlib import Path
    >>> find_masks(Path("nowhere"))
    Traceback (most recent call last):
    segprep.errors.InputError: nowhere: no such file or folder
    """
    options = options or ReadOptions()
    readers = _readers(format)
    try:
        path.stat()
        with storage(path).listed_once():
            masks = _found(path, readers, options)
    except RecursionError:
        raise InputError(f"{path}: its folders lie too deep in each other") from None
    except OSError as error:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: {reason}") from error
    if options.class_pattern is not None and masks.format != "instance-png":
        raise OptionError(f"class_pattern: {path} is {masks.format}; only files of instance-png have classes by name")
    _check_keys(path, [ref.key for ref in masks.refs])
    return masks


def _found(path: AnyPath, readers: dict[str, Reader], options: ReadOptions) -> MaskSet:
    """Answer of the one reader that recognises the layout."""
    found = _answers(path, readers, options)
    if not found:
        raise InputError(f"{path}: no known layout{_advice(path, readers, options)}")
    return _only(path, found)


def _readers(name: str | None) -> dict[str, Reader]:
    """Readers to try."""
    if name is None:
        return READERS
    if name not in READERS:
        raise OptionError(f"format: {name!r} is unknown; choose one of {', '.join(READERS)}")
    return {name: READERS[name]}


def _answers(path: AnyPath, readers: dict[str, Reader], options: ReadOptions) -> list[MaskSet]:
    """What the readers recognise; label images are refused only where nobody else knows what the pictures are."""
    found: list[MaskSet] = []
    for name, find in readers.items():
        try:
            masks = find(path, options)
        except InputError:
            if not (found and name == "label-image"):
                raise
            continue
        if masks is not None:
            found.append(masks)
    return found


def _only(path: AnyPath, found: list[MaskSet]) -> MaskSet:
    """Answer of the one reader that had one."""
    if len(found) > 1:
        names = [masks.format for masks in found]
        raise InputError(f"{path}: looks like {' and '.join(names)}; say which, as --format {names[0]}")
    return found[0]


def _advice(path: AnyPath, readers: dict[str, Reader], options: ReadOptions) -> str:
    """What follows in the message where nothing is recognised: the folder that may be meant, or what was tried."""
    inside = listing(path) if path.is_dir() else Listing([], [])
    for child in inside.folders[:_CHILDREN]:
        if names := [name for name, find in readers.items() if name != "label-image" and _knows(find, child, options)]:
            return f", but {child.name}/ in it is {' or '.join(names)}; give {child}"
    for file in inside.with_suffix(".json")[:_CHILDREN] if "coco" in readers else []:
        try:
            coco.find(file, options)
        except InputError as error:
            return f"; {error}"
    return "; tried " + "; ".join(f"{name} ({_layout(find)})" for name, find in readers.items())


def _knows(find: Reader, path: AnyPath, options: ReadOptions) -> bool:
    """Whether a reader recognises a path without objecting."""
    try:
        return find(path, options) is not None
    except InputError:
        return False


def _layout(find: Reader) -> str:
    """Layout that a reader looks for, in its own words."""
    return (find.__doc__ or "").partition("\n")[0].removeprefix("Find ").rstrip(".")


def _check_keys(path: AnyPath, keys: Iterable[str]) -> None:
    """Raise where there is no mask, or where masks have no names of their own that can be written."""
    counts = Counter(keys)
    if not counts:
        raise InputError(f"{path}: no mask in it; give a data set with at least one image")
    key, count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: {count} masks have the name {key!r}; names must be unique")
    strange = next((key for key in counts if not key.isprintable()), None)
    if strange is not None:
        raise InputError(f"{path}: the name {strange!a} has characters that cannot be written; rename the file")
