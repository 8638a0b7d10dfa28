"""Classes of a data set."""

from collections.abc import Iterable
from dataclasses import dataclass

BACKGROUND = "background"
"""Name of class 0."""


@dataclass(frozen=True)
class ClassEntry:
    """One class.

    Attributes
    ----------
    code : int
        Its number in segprep; 0 is the background.
    id : int or None
        Its number in the source; None where the source has none.
    name : str
        Its name.
    is_thing : bool
        Whether it has instances (car, nucleus) rather than being stuff (sky, background).
    """

    code: int
    id: int | None
    name: str
    is_thing: bool


@dataclass(frozen=True)
class ClassTable:
    """All classes of a data set, by code.

    Code 0 is the background, always: a class that the source calls 0 gets a code of its own.

    Examples
    --------
    >>> table = class_table([(0, "cell"), (7, "debris")])
    >>> [(entry.code, entry.id, entry.name) for entry in table.entries]
    [(0, None, 'background'), (1, 0, 'cell'), (2, 7, 'debris')]
    """

    entries: tuple[ClassEntry, ...]

    def __len__(self) -> int:
        return len(self.entries)


def class_table(things: Iterable[tuple[int | None, str]]) -> ClassTable:
    """Table of the background and of thing classes, given as (source id, name) in the order of their codes.

    Weights are told by names, so a thing that is called as the background is gets another one.

    Examples
    --------
    >>> [entry.name for entry in class_table([(0, "background"), (1, "cell")]).entries]
    ['background', 'background 2', 'cell']
    """
    entries = [ClassEntry(0, None, BACKGROUND, is_thing=False)]
    entries += [
        ClassEntry(code, id_, f"{BACKGROUND} 2" if name == BACKGROUND else name, is_thing=True)
        for code, (id_, name) in enumerate(things, start=1)
    ]
    return ClassTable(tuple(entries))


def things_and_stuff(rows: Iterable[tuple[int, str, bool]]) -> ClassTable:
    """Table of the background and of classes given as (source id, name, whether it is a thing), in the order of codes.

    Examples
    --------
    >>> [(entry.code, entry.id, entry.is_thing) for entry in things_and_stuff([(7, "road", False)]).entries]
    [(0, None, False), (1, 7, False)]
    """
    entries = [ClassEntry(0, None, "background", is_thing=False)]
    entries += [ClassEntry(code, id_, name, is_thing=thing) for code, (id_, name, thing) in enumerate(rows, start=1)]
    return ClassTable(tuple(entries))
