"""Classes of a data set."""

from collections.abc import Iterable
from dataclasses import dataclass

BACKGROUND = "background"
"""Name of class 0."""


@dataclass(frozen=True)
class ClassEntry:
    """One class: its number in segprep (0 is the background), its number in the source, or None, and its name.

    `is_thing` is True for a class with instances (car, nucleus), False for stuff (sky, background).
    """

    code: int
    id: int | None
    name: str
    is_thing: bool


@dataclass(frozen=True)
class ClassTable:
    """All classes of a data set, by code.

    Code 0 is always the background: a class with the number 0 in the source gets another code.

    Examples
    --------
    >>> table = class_table([(0, "cell"), (7, "debris")])
    >>> [(entry.code, entry.id, entry.name) for entry in table.entries]
    [(0, None, 'background'), (1, 0, 'cell'), (2, 7, 'debris')]
    """

    entries: tuple[ClassEntry, ...]

    def __len__(self) -> int:
        return len(self.entries)


def class_table(classes: Iterable[tuple[int | None, str] | tuple[int | None, str, bool]]) -> ClassTable:
    """Table of the background and of classes: number in the source, name, and True (the default) for one with instances.

    Class weights are given by name, so a class that is named as the background is gets another name.

    >>> table = class_table([(1, "background"), (2, "cell"), (7, "road", False)])
    >>> [(entry.code, entry.id, entry.name, entry.is_thing) for entry in table.entries[1:]]
    [(1, 1, 'background 2', True), (2, 2, 'cell', True), (3, 7, 'road', False)]
    """
    entries = [ClassEntry(0, None, BACKGROUND, is_thing=False)]
    for code, (id_, name, *is_thing) in enumerate(classes, start=1):
        entries.append(ClassEntry(code, id_, f"{BACKGROUND} 2" if name == BACKGROUND else name, is_thing=all(is_thing)))
    return ClassTable(tuple(entries))
