"""Demo data set: drawn images of cells with their ground truth, for a first try without data."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np

from segprep.errors import OptionError, OutputError, check_choice
from segprep.masks.touching import list_touching
from segprep.paths.anypath import parse_path
from segprep.paths.bucket import BucketPath
from segprep.paths.files import exists, storage_errors
from segprep.runs.cells import CLASSES, CellImage, draw_cells
from segprep.runs.demo_files import DemoLayout, Piece, coco_file, piece
from segprep.runs.demo_mistakes import COPY, MISTAKES, SPLIT, Mistake
from segprep.store.schema import ProblemInfo
from segprep.workers.jobs import Progress, no_progress

_LIMITS = {"images": (1, 100_000), "size": (64, 2048), "seed": (0, 2**63 - 1)}
"""Least and largest value of each number."""
_SHAPES = ((1.0, 1.0), (1.0, 1.25), (0.75, 1.0))
"""Height and width of the images in turn, as factors of the size."""
_SPLITS = (SPLIT, SPLIT, SPLIT, "val", SPLIT, "test")
"""Splits of the images in turn."""
_EMPTY, _EMPTY_EVERY = 7, 16
"""Number of the first image without cells, and of the images from it to the next one."""


class DemoInfo(msgspec.Struct, frozen=True):
    """Contents of a demo data set as drawn, also where a mistake hides them.

    `sizes` counts the images by height and width, `splits` by split; `classes` counts the instances of each class.
    `problems` are the deliberate mistakes: `kind` and `key` as in the report of `segprep.check`, and in `where` what was done.
    """

    folder: str
    layout: DemoLayout
    images: int
    instances: int
    touching_pairs: int
    sizes: dict[str, int]
    splits: dict[str, int]
    classes: dict[str, int]
    problems: tuple[ProblemInfo, ...] = ()


def demo(
    folder: str | os.PathLike[str],
    *,
    layout: DemoLayout = "labels",
    images: int = 24,
    size: int = 256,
    seed: int = 0,
    with_problems: bool = False,
    progress: Progress = no_progress,
) -> DemoInfo:
    """Write a data set of drawn cells, which look like nuclei in fluorescence microscopy, many of them touching.

    Two thirds of the images are in ``train/``, and a sixth each in ``val/`` and ``test/``; a few have no cell. The image of
    each mask is found by `segprep.open`.

    Parameters
    ----------
    folder : path
        New or empty folder on this machine.
    layout : {"labels", "instances", "masks", "coco"}
        Label images; one PNG per instance, in folders of the classes; foreground masks with the values 0 and 255; or COCO.
        Label images and foreground masks have no classes.
    images : int
        Number of images, from 1 to 100000; the first ones are the same whatever the number.
    size : int
        Height and width of the first image, from 64 to 2048 pixels; others are a quarter wider, or less high.
    seed : int
        Random seed; the same seed gives the same files.
    with_problems : bool
        True to add images with mistakes that `segprep.check` finds.
    progress : Progress
        Callable that gets the number of images that are written.

    Returns
    -------
    DemoInfo
        Counts, and the mistakes.

    Raises
    ------
    OutputError
        If the folder is not empty, or a file.
    OptionError
        If a parameter is out of range.
    StorageError
        If the files cannot be written; those already written are removed.

    Examples
    --------
    >>> import tempfile
    >>> info = demo(tempfile.mkdtemp(), images=3, size=64)
    >>> info.images, info.sizes
    (3, {'64x64': 1, '64x80': 1, '48x64': 1})
    """
    _check(layout, {"images": images, "size": size, "seed": seed}, with_problems)
    root = _new_folder(folder)
    count = images + with_problems * (len(MISTAKES[layout]) + 1)
    pieces = _pieces(layout, images, (size, seed), with_problems)
    facts: list[_Facts] = []
    with storage_errors(root), _removed_on_error() as made:
        for drawn, mistake in pieces:
            _write(root, drawn.files, made)
            problems = [mistake.problem(layout, drawn, root.resolve().name)] if mistake else []
            facts.append(_facts(drawn, problems))
            progress("write", len(facts), count)
        if layout == "coco":
            for split in dict.fromkeys(fact.split for fact in facts):
                entries = [(fact.entry, fact.annotations) for fact in facts if fact.split == split]
                _write(root, dict([coco_file(split, entries)]), made)
    return _info(root, layout, facts)


class _Facts(NamedTuple):
    """Facts of an image that is written, without its pixels."""

    split: str
    shape: tuple[int, int]
    codes: list[int]
    touching: int
    entry: Mapping[str, Any]
    annotations: Sequence[Mapping[str, Any]]
    problems: list[ProblemInfo]


def _facts(drawn: Piece, problems: list[ProblemInfo]) -> _Facts:
    labels = drawn.cells.labels
    touching = len(list_touching(labels[np.newaxis]))
    height, width = labels.shape
    codes = drawn.cells.classes.tolist()
    return _Facts(drawn.split, (height, width), codes, touching, drawn.entry, drawn.annotations, problems)


def _info(root: Path, layout: DemoLayout, facts: Sequence[_Facts]) -> DemoInfo:
    codes = Counter(code for fact in facts for code in fact.codes)
    return DemoInfo(
        folder=str(root),
        layout=layout,
        images=len(facts),
        instances=codes.total(),
        touching_pairs=sum(fact.touching for fact in facts),
        sizes=dict(Counter(f"{height}x{width}" for height, width in (fact.shape for fact in facts))),
        splits=dict(Counter(fact.split for fact in facts)),
        classes={name: codes[code] for code, name in enumerate(CLASSES, start=1)},
        problems=tuple(problem for fact in facts for problem in fact.problems),
    )


def _check(layout: str, numbers: Mapping[str, object], with_problems: object) -> None:
    """Raise OptionError for a parameter that is out of range, or of another type."""
    check_choice("layout", layout, get_args(DemoLayout))
    for name, value in numbers.items():
        least, largest = _LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= largest:
            raise OptionError(f"{name}={value!r}: must be an integer from {least} to {largest}")
    check_choice("with_problems", with_problems, [False, True])


def _new_folder(folder: str | os.PathLike[str]) -> Path:
    """Path of a folder that does not exist or is empty."""
    root = parse_path(folder, "folder")
    if isinstance(root, BucketPath):
        raise OptionError(f"{root}: the demo is written to a folder of this machine; give its path")
    with storage_errors(root):
        if exists(root) and not root.is_dir():
            raise OutputError(f"{root}: is a file; give a new folder")
        if exists(root) and any(root.iterdir()):
            raise OutputError(f"{root}: is not empty; give a new folder")
    return root


def _pieces(
    layout: DemoLayout, images: int, size_and_seed: tuple[int, int], with_problems: bool
) -> Iterator[tuple[Piece, Mistake | None]]:
    """Images in their order, each with its mistake; those with mistakes come last."""
    for number in range(images):
        cells = _cells(number, *size_and_seed, is_empty=number % _EMPTY_EVERY == _EMPTY)
        yield piece(layout, cells, number, _SPLITS[number % len(_SPLITS)], f"cells{number:03}"), None
    for number, mistake in enumerate(MISTAKES[layout] if with_problems else (), start=images):
        cells = _cells(number, *size_and_seed)
        yield mistake.made(piece(layout, cells, number, SPLIT, f"cells{number:03}")), mistake
        if mistake is COPY:
            yield piece(layout, cells, number + 1, "val", f"cells{number + 1:03}"), None


def _cells(number: int, size: int, seed: int, *, is_empty: bool = False) -> CellImage:
    """Image of cells with this number."""
    height, width = (round(size * factor) for factor in _SHAPES[number % len(_SHAPES)])
    return draw_cells((seed, number), (height, width), is_empty=is_empty)


@contextmanager
def _removed_on_error() -> Iterator[list[Path]]:
    """List of new files and folders, which are removed if an error ends the context."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        with suppress(OSError):  # a folder in which someone else has put a file stays
            for path in reversed(made):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _write(root: Path, files: Mapping[str, bytes], made: list[Path]) -> None:
    """Write new files in a folder, and note them, and the folders made for them, in `made`."""
    for name, data in files.items():
        path = root / name
        folder = path if name.endswith("/") else path.parent
        for missing in reversed([*takewhile(lambda parent: not parent.exists(), (folder, *folder.parents))]):
            missing.mkdir()
            made.append(missing)
        if path != folder:
            with path.open("xb") as file:
                made.append(path)
                file.write(data)
