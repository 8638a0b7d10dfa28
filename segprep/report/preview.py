"""Report of a store or of a data set, written to a file."""

import os
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segprep.drawing.strip import strip
from segprep.errors import OptionError, OutputError, StorageError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import storage
from segprep.report.choice import chosen_masks
from segprep.report.gaps import by_gap
from segprep.report.page import MARK, page
from segprep.report.samples import Sample, fitted_samples, samples_of
from segprep.report.subject import Subject, data_subject, stored_subject
from segprep.runs.scan import Classes
from segprep.runs.settings import Data, Settings, Targets
from segprep.store.metadata import is_store
from segprep.targets import Labels
from segprep.workers.jobs import Progress, Workers, no_progress

TARGETS = "weights,distance"
"""Targets of a data set that are shown by default."""
_SUFFIXES = (".html", ".htm", ".png")
_START = 2000
"""Bytes of a file in which its mark is found."""


@dataclass(frozen=True)
class Preview:
    """Report that was written.

    Attributes
    ----------
    output : Path
        The file.
    bytes : int
        Its size.
    masks : int
        Number of masks of the data.
    shown : tuple of str
        Keys of the masks that it shows.
    """

    output: Path
    bytes: int
    masks: int
    shown: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The report itself, by which a notebook shows it."""
        contents = self.output.read_bytes()
        if self.output.suffix.lower() == ".png":
            return f'<img alt="{escape(self.shown[0])}" src="data:image/png;base64,{b64encode(contents).decode()}">'
        style = "width:100%;height:80vh;border:0"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{escape(contents.decode())}"></iframe>'


def preview(  # noqa: PLR0913 - all but two are keywords
    data: Data,
    output: str | os.PathLike[str],
    *,
    key: str | None = None,
    count: int = 12,
    choice_seed: int = 0,
    images: str | os.PathLike[str] | AnyPath | None = None,
    targets: Targets | None = None,
    classes: Classes = None,
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Preview:
    """Write a report of a store, or of a data set before any store of it exists.

    A page of HTML is one file that needs no network: contents, problems, classes with their weights by each formula, splits,
    and some masks with their image and every target. A PNG shows one mask.

    Parameters
    ----------
    data : path, or sequence of MaskRef
        A store, or a data set as for `segprep.preprocess`. All masks of a data set are read once.
    output : path
        File to write, whose name ends with ``.html`` or ``.png``. An earlier report is replaced, any other file is not.
    key : str, optional
        Name of the mask to show; by default `count` are chosen for a page: those with the most instances, some with the
        smallest gaps between instances, some with problems, some without an instance, and random ones. A PNG shows the mask
        with the most instances by default.
    count : int
        Number of masks on a page.
    choice_seed : int
        Random seed of the choice.
    images : path, optional
        Folder of the images, as in `segprep.open` and `segprep.preprocess`.
    targets, classes, workers, progress, **settings
        As in `segprep.preprocess`, for a data set; a store shows the targets that it has.

    Returns
    -------
    Preview
        The file, its size, and the keys of the masks that it shows.

    Raises
    ------
    OptionError
        If there is no such key, or the name of the output ends otherwise, or a setting is given for a store.
    OutputError
        If the output is a file that is not a report.
    InputError, IntegrityError, StorageError
        As in `segprep.preprocess` and `segprep.open`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> preview(folder / "cells.png", folder / "report.html").shown
    ('cells.png',)
    """
    file = Path(output)
    _check_output(file)
    if count < 1:
        raise OptionError(f"count={count}: must be at least 1")
    workers = Workers.of(workers)
    folder = None if images is None else workers.place(images, "images")
    subject = _subject(data, folder, targets, classes, workers, progress, settings)
    is_png = file.suffix.lower() == ".png"
    chosen = _chosen(subject, key, 1 if is_png else count, choice_seed)
    progress("draw", 0, len(chosen))
    samples = samples_of(subject, chosen, lambda done: progress("draw", done, len(chosen)))
    contents = _png(samples[0]) if is_png else page(subject, fitted_samples(samples)).encode()
    try:
        storage(file).put(contents)
    except OSError as error:
        raise StorageError(f"output={str(file)!r}: cannot be written: {error.strerror}") from error
    return Preview(file, len(contents), len(subject.keys), tuple(sample.key for sample in samples))


def _subject(
    data: Data,
    images: AnyPath | None,
    targets: Targets | None,
    classes: Classes,
    workers: Workers,
    progress: Progress,
    settings: Settings,
) -> Subject:
    """Subject of a store or of a data set."""
    if isinstance(data, str | os.PathLike | BucketPath) and is_store(root := workers.place(data, "data")):
        given = [*settings, *([] if targets is None else ["targets"]), *([] if classes is None else ["classes"])]
        if given:
            raise OptionError(f"{given[0]}: no effect on {root}, which is a store; leave it out")
        return stored_subject(root, images)
    return data_subject(data, images, TARGETS if targets is None else targets, classes, workers, progress, **settings)


def _chosen(subject: Subject, key: str | None, count: int, seed: int) -> dict[int, str]:
    """Indices of the masks to show, with the reasons."""
    if key is not None:
        if key not in subject.keys:
            raise OptionError(f"key={key!r}: no such mask; the first of {len(subject.keys):,} is {subject.keys[0]!r}")
        return {subject.keys.index(key): "chosen"}
    named = {problem.key for problem in subject.problems}
    with_problem = {index for index, name in enumerate(subject.keys) if name in named}
    instances, close = subject.tables["instance_count"], list[int]()
    if 1 < count < len(instances):
        pixels = subject.tables["height"].astype(np.int64) * subject.tables["width"]
        close = by_gap(instances, pixels, partial(_labels, subject), seed)
    return chosen_masks(instances, with_problem, count, seed, close=close)


def _labels(subject: Subject, index: int) -> NDArray[Any]:
    """Labels of one mask."""
    return next(values for name, values in subject.arrays(index) if name == Labels.name)


def _check_output(file: Path) -> None:
    """Raise an error for an output that is not to be written, before any mask is read."""
    if file.suffix.lower() not in _SUFFIXES:
        raise OptionError(f"output={str(file)!r}: must end with .html or .png")
    try:
        with file.open("rb") as opened:
            is_ours = MARK.encode() in opened.read(_START)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"output={str(file)!r}: cannot be written: {error.strerror}") from error
    if not is_ours:
        raise OutputError(f"{file}: exists and is not a report of segprep; choose another name")


def _png(sample: Sample) -> bytes:
    """PNG of the panels of one mask, with a mark by which it is recognised as a report."""
    notes, contents = PngInfo(), BytesIO()
    notes.add_text("Software", MARK)
    Image.fromarray(strip(sample.panels)).save(contents, "PNG", pnginfo=notes)
    return contents.getvalue()
