"""Finding masks: each reader knows one layout of files, and exactly one must recognise the data.

Special readers come first: a general one, which reads any label image or any folder of files per instance, is asked only
about data that no special reader recognises.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from segprep.errors import InputError, OptionError, SegprepWarning, check_choice, foreign_errors
from segprep.paths.anypath import AnyPath, parse_path
from segprep.paths.files import no_such_path
from segprep.paths.listing import listed_once
from segprep.readers import (
    ade20k,
    bdd100k,
    cellpose_npy,
    cityscapes,
    coco,
    colour_png,
    ctc,
    cvat_xml,
    darwin,
    instance_png,
    isaid,
    isat,
    kaggle_csv,
    kitti,
    kitti360,
    label_image,
    label_studio,
    labelme,
    labelme_xml,
    mapillary,
    mots,
    ome_zarr,
    pannuke,
    panoptic,
    qupath,
    roboflow,
    segment_anything,
    supervisely,
    tissuenet,
    tissuenet_nuclear,
    via,
    voc,
    yolo,
)
from segprep.readers._reader import MaskSet, Reader, ReadOptions
from segprep.readers._unrecognised import unrecognised

READERS: dict[str, Reader] = {
    module.READER.name: module.READER
    for module in (
        *(coco, panoptic, labelme, yolo, segment_anything, voc, ade20k, cityscapes, kitti, kitti360, mots),
        *(mapillary, kaggle_csv, via, cvat_xml, qupath, cellpose_npy, label_studio),
        *(supervisely, darwin, isat, labelme_xml, bdd100k, roboflow),
        *(pannuke, tissuenet, ctc, isaid, ome_zarr),
        *(colour_png, instance_png, label_image, tissuenet_nuclear),
    )
}
"""The readers by the names of their formats."""

CROWD_FORMATS = ("coco", "panoptic", "cityscapes", "kitti", "kitti360", "mots", "mapillary")
"""Formats with crowds, or with groups of instances that are not separated."""
_WITH_BOXES = (coco.READER.name, yolo.READER.name)


def find(
    data: str | os.PathLike[str] | AnyPath,
    *,
    format: str | Reader | None = None,  # noqa: A002 - the option's name
    options: ReadOptions | None = None,
) -> MaskSet:
    """Masks at a path, found but not yet read.

    Hidden files and links inside a folder are skipped, so that nothing outside of it is read.

    Parameters
    ----------
    data : path
        A file or folder.
    format : str or Reader, optional
        Name of a reader in `READERS`, or a `Reader`; by default the one that recognises the layout.
    options : ReadOptions, optional
        How masks are read.

    Raises
    ------
    InputError
        If there are no masks, or several readers recognise the layout.
    OptionError
        If an option has no such value.

    Examples
    --------
    >>> find("nowhere")
    Traceback (most recent call last):
    segprep.errors.InputError: nowhere: no such file or folder
    """
    path, options, readers = parse_path(data, "data"), options or ReadOptions(), _readers(format)
    if not isinstance(options, ReadOptions):
        raise OptionError(f"options={options!r}: must be ReadOptions")
    try:
        path.stat()
        with listed_once(path):
            masks = _found(path, readers, options)
    except RecursionError:
        raise InputError(f"{path}: its folders are nested too deeply") from None
    except OSError as error:
        reason = no_such_path(path) if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{path}: {reason}") from error
    if options.class_pattern is not None and masks.format != instance_png.READER.name:
        raise OptionError(
            f"class_pattern={options.class_pattern!r}: {path} is {masks.format}; "
            f"only {instance_png.READER.name} has classes in names of files"
        )
    if options.boxes_as_masks and masks.format not in _WITH_BOXES:
        raise OptionError(f"boxes_as_masks=True: {path} is {masks.format}; only {' and '.join(_WITH_BOXES)} have boxes")
    for name in ("background", "ignore"):
        if getattr(options, name) is not None and masks.format != label_image.READER.name:
            raise OptionError(
                f"{name}={getattr(options, name)}: {path} is {masks.format}; only {label_image.READER.name} has such a value"
            )
    if options.crowd != ReadOptions().crowd and masks.format not in CROWD_FORMATS:
        warnings.warn(
            f"crowd={options.crowd!r}: has no effect: {masks.format} has no crowds, only {', '.join(CROWD_FORMATS)}",
            SegprepWarning,
            stacklevel=2,
        )
    _check_keys(path, [ref.key for ref in masks.refs])
    return masks


def _readers(name: str | Reader | None) -> list[Reader]:
    """Readers to try."""
    if name is None:
        return list(READERS.values())
    if isinstance(name, Reader):
        return [name]
    check_choice("format", name, READERS)
    return [READERS[name]]


def _found(path: AnyPath, readers: Sequence[Reader], options: ReadOptions) -> MaskSet:
    """Answer of the one reader that recognises the layout."""
    if len(readers) == 1 and readers[0] not in READERS.values():
        return _foreign(path, readers[0], options)
    found = [masks for reader in readers if not reader.is_general if (masks := reader.find(path, options)) is not None]
    found = found or _generally(path, [reader for reader in readers if reader.is_general], options)
    if not found:
        raise unrecognised(path, readers, lambda reader, inside: reader.find(inside, options))
    if len(found) > 1:
        names = [masks.format for masks in found]
        layouts = ", and ".join(reader.layout for reader in readers if reader.name in names)
        raise InputError(
            f"{path}: matches several formats ({', '.join(names)}); choose one, as format={names[0]!r}: {layouts}"
        )
    return found[0]


def _foreign(path: AnyPath, reader: Reader, options: ReadOptions) -> MaskSet:
    """Answer of a reader that is not part of segprep, under the name of the reader."""
    with foreign_errors(f"{path}: the reader {reader.name!r} failed", InputError):
        masks = reader.find(path, options)
    if masks is None:
        raise InputError(f"{path}: not the layout of the reader {reader.name!r}")
    if not isinstance(masks, MaskSet):
        raise OptionError(
            f"format: the reader {reader.name!r} returned {type(masks).__name__}; must be a MaskSet or None"
        )
    return replace(masks, format=reader.name)


def _generally(path: AnyPath, readers: Iterable[Reader], options: ReadOptions) -> list[MaskSet]:
    """Answers of general readers; an error of one counts only if none before it recognises the layout."""
    answers: list[MaskSet] = []
    for reader in readers:
        try:
            masks = reader.find(path, options)
        except InputError:
            if not answers:
                raise
            continue
        if masks is not None:
            answers.append(masks)
    return answers


def _check_keys(path: AnyPath, keys: Iterable[str]) -> None:
    """Raise if there is no mask, or if names of masks are not unique or not printable."""
    counts = Counter(keys)
    if not counts:
        raise InputError(f"{path}: contains no mask; give a data set with at least one image")
    key, count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: {count} masks have the name {key!r}; names must be unique")
    unprintable = next((key for key in counts if not key.isprintable()), None)
    if unprintable is not None:
        raise InputError(f"{path}: the name {unprintable!a} has characters that cannot be written; rename the file")
