"""Subject of a report: a store, or a data set of which no store exists yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.masks.tiles import TileRef
from segprep.paths.anypath import AnyPath
from segprep.readers import image_pixels, image_window
from segprep.runs.findings import findings, touching_notice, touching_pairs
from segprep.runs.foreground import NOTICE, notice, scan_resolved
from segprep.runs.images import known_images
from segprep.runs.listed import name_of
from segprep.runs.plan import Plan, doubts, plan
from segprep.runs.scan import Classes, Scan, chosen_data, masks_of, require_readable
from segprep.runs.settings import Data, Settings, Targets, run_rules
from segprep.runs.slides import rule_of_slides, slides_in, with_slides
from segprep.runs.tiled import in_tiles
from segprep.store.images import ImageFolder
from segprep.store.opened import OpenedStore
from segprep.store.opening import open as open_store
from segprep.store.schema import ProblemInfo, StoreInfo
from segprep.store.selection import OpenTables
from segprep.store.tables import decode_keys
from segprep.targets import Classes as ClassesTarget
from segprep.targets import Labels
from segprep.targets.parts import Loader
from segprep.targets.target import largest_reach
from segprep.workers.jobs import Progress, Workers, open_executor


@dataclass(frozen=True, eq=False)
class Subject:
    """Contents of a store, or of a data set as its store would be, and the arrays of single masks.

    Attributes
    ----------
    info : StoreInfo
        Contents.
    keys : list of str
        Name of each mask.
    tables : dict of str to array
        ``height``, ``width``, ``split``, ``instance_count`` of each mask.
    problems : tuple of ProblemInfo
        Problems of the data.
    notices : tuple of str
        Remarks about the data.
    arrays : callable
        Name and array of every target of the mask of an index, one after the other: together they may be large.
    image : callable
        Image of the mask of an index; an error of segprep if it is not known.
    is_stored : bool
        True for a store.
    """

    info: StoreInfo
    keys: list[str]
    tables: Mapping[str, NDArray[Any]]
    problems: tuple[ProblemInfo, ...]
    notices: tuple[str, ...]
    arrays: Callable[[int], Iterator[tuple[str, NDArray[Any]]]]
    image: Callable[[int], NDArray[Any]]
    is_stored: bool


_TABLES = ("height", "width", "split", "instance_count")


def stored_subject(root: AnyPath, images: AnyPath | None) -> Subject:
    """Subject of a store."""
    dataset = open_store(root, images=images)
    tables = OpenTables(OpenedStore(root, dataset.info))

    def arrays(index: int) -> Iterator[tuple[str, NDArray[Any]]]:
        return ((target.name, dataset.array(index, target.name)) for target in dataset.info.targets)

    return Subject(
        info=dataset.info,
        keys=dataset.keys,
        tables={name: tables[name] for name in _TABLES},
        problems=dataset.info.problems,
        notices=_notices(dataset.info),
        arrays=arrays,
        image=dataset.image,
        is_stored=True,
    )


def _notices(info: StoreInfo) -> tuple[str, ...]:
    """Remarks about a store."""
    return *filter(None, [notice(info)]), *_touching(info), *doubts(info)


def _touching(info: StoreInfo) -> Iterator[str]:
    """Remark about instances that touch, in words for Python and the command line."""
    if pairs := touching_pairs(info):
        yield touching_notice(pairs, "the preset crowded")


def data_subject(
    data: Data,
    images: AnyPath | None,
    targets: Targets,
    classes: Classes,
    workers: Workers,
    progress: Progress,
    **settings: Unpack[Settings],
) -> Subject:
    """Subject of a data set, or of its tiles: all masks are read once, and the chosen ones again for their arrays."""
    chosen, rules = run_rules(settings, targets, None)
    source = chosen_data(data, workers)
    complete = masks_of(source, rules, classes)
    masks = with_slides(complete, rules.tiling)
    path = None if isinstance(source, tuple) else source
    name = name_of(path)
    rules = replace(rules, instances=rule_of_slides(rules.instances, slides_in(masks), chosen))
    with open_executor(workers, len(masks.refs)) as executor:
        scanned, rule = scan_resolved(executor, masks, rules, progress)
    require_readable(scanned, "skip-mask")
    mistakes, more = findings(scanned)
    found = in_tiles(scanned, rules.tiling)
    planned = plan(
        name,
        found,
        targets=[Labels(), ClassesTarget(), *chosen],
        instances=rule,
        split=SplitRule(),
        data=path,
        reading=rules.reading,
        images=known_images(complete, path, name, images),
        tiling=rules.tiling,
    )
    keys, names = (decode_keys(planned.tables[table]) for table in ("key", "image"))
    folder = images or (path if path is None or path.is_dir() else path.parent)
    is_decided = (rules.instances.instances_from, rule.instances_from) == ("auto", "components")
    return Subject(
        info=planned.info,
        keys=keys,
        tables={table: np.asarray(planned.tables[table]) for table in _TABLES},
        problems=(*found.problems(), *mistakes),
        notices=(*([NOTICE] if is_decided else []), *more, *_touching(planned.info), *doubts(planned.info)),
        arrays=_arrays_of(found, planned, rule),
        image=partial(_image, found, folder, names, rule.resolution.factor),
        is_stored=False,
    )


def _arrays_of(found: Scan, planned: Plan, rule: InstanceRule) -> Callable[[int], Iterator[tuple[str, NDArray[Any]]]]:
    """Function that gives the name and array of each target of the mask of an index, which is loaded for it."""
    refs, fitted = found.refs(), [target for target in planned.targets if target is not None]
    loader = Loader(rule, len(found.masks.classes), reach=largest_reach(fitted))

    def arrays(index: int) -> Iterator[tuple[str, NDArray[Any]]]:
        mask = loader.load(refs[index])
        loader.close()
        return ((target.name, mask.array(target)) for target in fitted)

    return arrays


def _image(found: Scan, folder: AnyPath | None, names: Sequence[str], factor: int, index: int) -> NDArray[Any]:
    """Image of the mask or tile of an index, of which a large file is read in part."""
    ref, stats = found.masks.refs[index], found.stats[index]
    if folder is None or not names[index]:
        raise OptionError(f"the image of {ref.key!r} is not known; give the folder of the images as images=DIR")
    file = ImageFolder(folder, "").file(names[index], ref.key)
    if not isinstance(ref, TileRef):
        return image_pixels(file, stats.shape, ref.key, factor)
    part = image_window(file, ref.shape, ref.window, ref.key, factor)
    return part if part is not None else image_pixels(file, ref.shape, ref.key, factor)[ref.window.part]
