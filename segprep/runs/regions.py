"""Annotated regions of the masks of a data set, found by the class or the path that is given for them."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from segprep.errors import InputError, OptionError, did_you_mean, some
from segprep.masks.classes import ClassEntry, ClassTable
from segprep.masks.mask import MaskRef, Problem
from segprep.masks.regions import RegionRef, RegionRule
from segprep.paths.anypath import AnyPath, is_within, parse_path, without_suffix
from segprep.paths.files import exists
from segprep.readers import MaskSet, ReadOptions

logger = logging.getLogger(__name__)

FLAT_FORMATS = frozenset(
    {
        *("panoptic", "voc", "cityscapes", "kitti", "kitti360", "mots", "mapillary", "cellpose-npy", "pannuke"),
        *("tissuenet", "tissuenet-nuclear", "ctc", "isaid", "ome-zarr", "colour-png", "label-image"),
    }
)
"""Formats in which a pixel has one value, so that instances cut holes into a region that they lie on."""
UNUSED = "regions without a mask of their name"
"""Kind of the notice about regions that belong to no mask."""


def with_regions(masks: MaskSet, rule: RegionRule, reading: ReadOptions) -> MaskSet:
    """Masks whose pixels outside the annotated regions are ignored, if a rule gives regions.

    The class of the regions is removed from the classes. OptionError if there is neither such a class, beside others, nor
    such a path.
    """
    if rule.roi is None:
        return masks
    code = next((entry.code for entry in masks.classes.entries[1:] if entry.name == rule.roi), None)
    if code is None:
        return _of_path(masks, rule, reading)
    rule, n_classes, is_flat = replace(rule, code=code), len(masks.classes), masks.format in FLAT_FORMATS
    refs = tuple(RegionRef(ref, rule, n_classes, is_flat) for ref in masks.refs)
    kept = [entry for entry in masks.classes.entries if entry.code != code]
    if len(kept) == 1:
        raise OptionError(
            f"roi={rule.roi!r}: is the only class of the data, so no instance is left; give regions apart"
        )
    classes = ClassTable(tuple(replace(entry, code=number) for number, entry in enumerate(kept)))
    return replace(masks, classes=classes, refs=refs, regions=rule)


def with_class_of(classes: ClassTable, rule: RegionRule) -> ClassTable:
    """Classes of data with that of the regions, from those of a store.

    >>> table = ClassTable((ClassEntry(0, None, "background", False), ClassEntry(1, None, "cell", True)))
    >>> [entry.name for entry in with_class_of(table, RegionRule("roi", code=1)).entries]
    ['background', 'roi', 'cell']
    """
    if rule.code is None or rule.roi is None:
        return classes
    entries = [*classes.entries]
    entries.insert(rule.code, ClassEntry(rule.code, None, rule.roi, is_thing=True))
    return ClassTable(tuple(replace(entry, code=number) for number, entry in enumerate(entries)))


def found_again(rule: RegionRule, store: AnyPath, *data: AnyPath) -> RegionRule:
    """Rule of a store whose path, if nothing is there now, is that of the same name beside the data or the store.

    InputError if nothing is there either.
    """
    if rule.roi is None or not rule.is_path or _is_there(given := parse_path(rule.roi, "roi")):
        return rule
    for path in (place.absolute().parent / given.name for place in (*data, store)):
        if _is_there(path):
            return replace(rule, roi=str(path))
    raise InputError(
        f"{rule.roi}: no such file or folder; {store} was made with these regions: put {given.name} beside the data"
    )


def _is_there(path: AnyPath) -> bool:
    """True if a path of regions exists; InputError if that cannot be known, as of a bucket that does not answer."""
    try:
        return exists(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _of_path(masks: MaskSet, rule: RegionRule, reading: ReadOptions) -> MaskSet:
    """Masks with the regions that lie in a file or folder of their own."""
    assert rule.roi is not None  # noqa: S101 - the caller has seen it
    path = parse_path(rule.roi, "roi").absolute()  # workers may run elsewhere
    if not _is_there(path):
        names = [entry.name for entry in masks.classes.entries[1:]]
        raise OptionError(
            f"roi={rule.roi!r}: neither a class of the data ({some(names)}) nor a file or folder"
            f"{did_you_mean(rule.roi, names)}"
        )
    from segprep.readers import find  # noqa: PLC0415 - all formats, which workers do not need

    refs = [ref for ref in masks.refs if not _lies_in(ref, path)]
    if not refs:
        raise InputError(f"roi={rule.roi!r}: all masks of the data lie there; give the regions apart from the data")
    options = ReadOptions(max_pixels=reading.max_pixels, max_instances=reading.max_instances)
    set_of_regions = find(path, options=options)
    regions = set_of_regions.refs
    matched = matches([ref.key for ref in refs], [ref.key for ref in regions], rule.roi)
    if not any(number is not None for number in matched):
        raise InputError(
            f"roi={rule.roi!r}: no region has the name of a mask: regions {some((ref.key for ref in regions), most=3)}; "
            f"masks {some((ref.key for ref in refs), most=3)}"
        )
    logger.info("found %d files of regions in %s", len(regions), path)
    n_classes, form = len(masks.classes), set_of_regions.format
    limited = tuple(
        RegionRef(ref, rule, n_classes, region=None if number is None else regions[number], region_format=form)
        for ref, number in zip(refs, matched, strict=True)
    )
    unused = [ref.key for number, ref in enumerate(regions) if number not in matched]
    notice = Problem(UNUSED, some(unused, most=3), left_out=False)
    return replace(masks, refs=limited, regions=rule, notices=(*masks.notices, *[(rule.roi, notice)] * bool(unused)))


def _lies_in(ref: MaskRef, path: AnyPath) -> bool:
    """True if the file of a mask is in the folder of the regions, which a reader of the data may have found too."""
    file = getattr(ref, "file", None)
    return isinstance(file, type(path)) and is_within(file, path) and path.is_dir()


def matches(masks: Sequence[str], regions: Sequence[str], roi: str) -> list[int | None]:
    """Number of the region of each mask by its key, else by the key without suffix, else by the name without suffix.

    A single region of a single mask may have any name. InputError if several regions fit a mask, or several masks a region.

    >>> matches(["train/a.png", "b.png"], ["a.geojson", "c.geojson"], "regions")
    [0, None]
    """
    if len(masks) == len(regions) == 1:
        return [0]
    of_name: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(regions):
        for name in dict.fromkeys(_names(key)):
            of_name[name].append(number)
    found: list[int | None] = []
    mask_of: dict[int, str] = {}
    for key in masks:
        numbers: list[int] = next((of_name[name] for name in _names(key) if name in of_name), [])
        if len(numbers) > 1:
            raise InputError(f"roi={roi!r}: {key} has several regions: {some((regions[n] for n in numbers), most=3)}")
        for number in numbers:
            if number in mask_of:
                raise InputError(f"roi={roi!r}: the region {regions[number]} fits both {mask_of[number]} and {key}")
            mask_of[number] = key
        found.append(numbers[0] if numbers else None)
    return found


def _names(key: str) -> Iterator[str]:
    """Names by which a mask is matched, the most specific first."""
    plain = without_suffix(key)
    yield from (key, plain, plain.rpartition("/")[2])
