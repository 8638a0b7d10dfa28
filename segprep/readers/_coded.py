"""PNG files whose values encode class and instance: the common parts of these formats."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.paths.anypath import AnyPath, name_in
from segprep.readers._image import label_values
from segprep.readers._labels import ranked
from segprep.readers._reader import MAX_INSTANCES, Crowd, ReadOptions, check_instances, with_split


class Meaning(NamedTuple):
    """Meaning of a value of a PNG; a group is several things that are not separated, and ignored pixels are unknown.

    `problem` is the kind of the problem with the value; empty if there is none.
    """

    kind: Literal["background", "thing", "group", "stuff", "ignore"]
    code: int = 0
    problem: str = ""


BACKGROUND = Meaning("background")
IGNORED = Meaning("ignore")


@dataclass(frozen=True)
class CodedValues:
    """Meanings of values: a class times `base`, plus an instance. Called with a value, it gives the value's meaning.

    `classes` are the meanings by class, `others` those of single values that are an exception; `problem` is the kind of
    the problem of a value of any other class.

    Examples
    --------
    >>> meaning = CodedValues(1000, {26: Meaning("thing", 14)}, "class is unknown", {26: Meaning("group", 14)})
    >>> [meaning(value).kind for value in (26001, 26, 27001)]
    ['thing', 'group', 'ignore']
    """

    base: int
    classes: Mapping[int, Meaning]
    problem: str
    others: Mapping[int, Meaning] = field(default_factory=dict)

    def __call__(self, value: int) -> Meaning:
        if value in self.others:
            return self.others[value]
        return self.classes.get(value // self.base) or Meaning("ignore", problem=self.problem)


@dataclass(frozen=True)
class CodedPngRef:
    """One PNG, and the meaning of its values."""

    key: str
    split: str | None
    file: AnyPath
    meaning: CodedValues
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the PNG; values without a meaning are ignored and recorded as problems."""
        return mask_of_values(
            label_values(self.file, max_pixels=self.options.max_pixels),
            self.meaning,
            crowd=self.options.crowd,
            max_instances=self.options.max_instances,
            where=str(self.file),
        )


def coded_refs(
    folder: AnyPath, files: Iterable[AnyPath], meaning: CodedValues, options: ReadOptions
) -> tuple[CodedPngRef, ...]:
    """One ref per file, in the given order, with keys relative to `folder`."""
    return tuple(CodedPngRef(*with_split(name_in(folder, file)), file, meaning, options) for file in files)


def mask_of_values(
    values: NDArray[Any],
    meaning: Callable[[int], Meaning],
    *,
    crowd: Crowd = "ignore",
    max_instances: int = MAX_INSTANCES,
    noun: str = "value",
    where: str = "mask",
) -> InstanceMask:
    """Mask in which each value of a thing is an instance, numbered in the order of values.

    `noun` is the word for a value in problems, `where` the file in messages.

    Examples
    --------
    >>> def meaning(value: int) -> Meaning:
    ...     return Meaning("thing", 5) if value > 9 else Meaning("stuff", value)
    >>> mask = mask_of_values(np.array([[3, 3, 20, 30]]), meaning)
    >>> mask.planes, mask.classes, mask.stuff
    (array([[[0, 0, 1, 2]]], dtype=int32), array([0, 5, 5], dtype=int32), array([[3, 3, 0, 0]], dtype=int32))
    """
    distinct, ranks = ranked(values)
    meanings = [meaning(value) for value in distinct.tolist()]
    as_thing = {"thing", "group"} if crowd == "instance" else {"thing"}
    is_thing = np.array([entry.kind in as_thing for entry in meanings], np.bool_)
    check_instances(where, int(is_thing.sum()), max_instances)
    is_stuff = np.array([entry.kind == "stuff" for entry in meanings], np.bool_)
    is_ignored = np.array([entry.kind in {"ignore", "group"} for entry in meanings], np.bool_) & ~is_thing
    codes = np.array([entry.code for entry in meanings], np.int32)
    numbers = np.where(is_thing, np.cumsum(is_thing), 0).astype(np.int32)
    return InstanceMask(
        numbers[ranks][np.newaxis],
        np.concatenate([np.zeros(1, np.int32), codes[is_thing]]),
        is_ignored[ranks] if is_ignored.any() else None,
        first_problems(
            Problem(entry.problem, f"{noun} {value}")
            for value, entry in zip(distinct.tolist(), meanings, strict=True)
            if entry.problem
        ),
        stuff=np.where(is_stuff, codes, 0).astype(np.int32)[ranks] if is_stuff.any() else None,
    )
