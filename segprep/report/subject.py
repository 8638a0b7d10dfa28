"""Subject of a report: a store, or a data set of which no store exists yet."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError
from segprep.masks.instances import load_mask
from segprep.masks.splits import SplitRule
from segprep.paths.anypath import AnyPath
from segprep.readers import image_pixels
from segprep.runs.findings import findings, touching_notice, touching_pairs
from segprep.runs.foreground import NOTICE, notice, scan_resolved
from segprep.runs.images import known_images
from segprep.runs.plan import doubts, plan
from segprep.runs.scan import OWN_REFS, Classes, chosen_data, masks_of, require_readable
from segprep.runs.settings import Data, Settings, Targets, run_rules
from segprep.store.images import ImageFolder
from segprep.store.opened import OpenedStore
from segprep.store.opening import open as open_store
from segprep.store.schema import ProblemInfo, StoreInfo
from segprep.store.selection import OpenTables
from segprep.store.tables import decode_keys
from segprep.targets import Classes as ClassesTarget
from segprep.targets import Labels
from segprep.targets.target import computed
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
    """Subject of a data set: all masks are read once, and the chosen ones again for their arrays."""
    chosen, rules = run_rules(settings, targets, None)
    if rules.tiling.tile is not None:
        raise OptionError(f"tile={rules.tiling.tile}: a preview of data shows complete masks; preview a store of tiles")
    source = chosen_data(data, workers)
    masks = masks_of(source, rules, classes)
    path = None if isinstance(source, tuple) else source
    name = OWN_REFS if path is None else path.absolute().name
    known = known_images(masks, path, name, images)
    with open_executor(workers, len(masks.refs)) as executor:
        found, rule = scan_resolved(executor, masks, rules, progress)
    require_readable(found, "skip-mask")
    mistakes, more = findings(found)
    planned = plan(
        name,
        found,
        targets=[Labels(), ClassesTarget(), *chosen],
        instances=rule,
        split=SplitRule(),
        data=path,
        reading=rules.reading,
        images=known,
    )
    refs, folder = found.refs(), images or (path if path is None or path.is_dir() else path.parent)
    fitted = [target for target in planned.targets if target is not None]
    keys, names = (decode_keys(planned.tables[table]) for table in ("key", "image"))

    def arrays(index: int) -> Iterator[tuple[str, NDArray[Any]]]:
        _, shown = load_mask(refs[index], rule, len(masks.classes))
        return ((target.name, computed(target, shown, keys[index])) for target in fitted)

    def image(index: int) -> NDArray[Any]:
        if folder is None or not names[index]:
            raise OptionError(f"the image of {keys[index]!r} is not known; give the folder of the images as images=DIR")
        file = ImageFolder(folder, "").file(names[index], keys[index])
        return image_pixels(file, found.stats[index].shape, keys[index], rule.resolution.factor)

    is_decided = (rules.instances.instances_from, rule.instances_from) == ("auto", "components")
    return Subject(
        info=planned.info,
        keys=keys,
        tables={table: np.asarray(planned.tables[table]) for table in _TABLES},
        problems=(*found.problems(), *mistakes),
        notices=(*([NOTICE] if is_decided else []), *more, *_touching(planned.info), *doubts(planned.info)),
        arrays=arrays,
        image=image,
        is_stored=False,
    )
