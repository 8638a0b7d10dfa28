"""Masks of a data set as they are found, before any of them is read."""

import logging
from typing import NamedTuple

from segprep.paths.anypath import AnyPath
from segprep.readers import MaskSet
from segprep.runs.images import known_images
from segprep.runs.plan import KnownImages
from segprep.runs.resume import covers_all_files, stat_fingerprint, stat_of_regions, with_region_files
from segprep.runs.scan import OWN_REFS, Classes, Source, masks_of
from segprep.runs.settings import Rules

logger = logging.getLogger(__name__)


class FoundData(NamedTuple):
    """Name and path of a data set, and the images of its masks, which lie in it or in a folder that is given."""

    name: str
    path: AnyPath | None
    images: KnownImages
    has_folder: bool


class Listed(NamedTuple):
    """Masks of a data set, what is known about it, and the fingerprint of its files, None if this does not cover all."""

    masks: MaskSet
    data: FoundData
    files: str | None


def listed(
    source: Source, rules: Rules, classes: Classes, images: AnyPath | None, out: AnyPath | None = None
) -> Listed:
    """Masks of a data set, without what lies in the store `out`; `images` is a folder of their images."""
    path = None if isinstance(source, tuple) else source
    name = name_of(path)
    logger.info("listing the files of %s", OWN_REFS if path is None else path)
    skipped = out or path
    files = regions = None
    if path is not None and skipped is not None:  # first: a later change is noticed next time
        files, regions = stat_fingerprint(path, skipped), stat_of_regions(rules.regions, skipped)
    masks = masks_of(source, rules, classes)
    if path is None or not covers_all_files(path, masks.format):
        files = None
    files = with_region_files(files, regions, masks.refs)
    return Listed(masks, FoundData(name, path, known_images(masks, path, name, images), images is not None), files)


def name_of(path: AnyPath | None) -> str:
    """Name of the data set at a path, or of given refs."""
    return OWN_REFS if path is None else path.absolute().name.encode(errors="replace").decode()
