"""Errors of segprep, one class for each kind of remedy.

A message is a line, rarely several: where, what, the value, the remedy. Parameters are written as in Python, ``sigma=-1``;
the command line writes them as its options, ``--sigma -1``, prints the lines, and ends with `exit_code`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

IS_A_BUG = "this is a bug in segprep"


class SegprepError(Exception):
    """Base class of the errors that segprep foresees; never raised itself. Its arguments are the lines of the message."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class SegprepWarning(UserWarning):
    """A run continues, but its result may not be what the caller expects."""


class OptionError(SegprepError):
    """A parameter has a value that makes no sense, or does not fit the data or another parameter."""

    exit_code = 2


class InputError(SegprepError):
    """The input is missing, cannot be read, or is ambiguous."""

    exit_code = 3


class OutputError(SegprepError):
    """The output exists with other settings, is locked, or is not a segprep store."""

    exit_code = 4


class IntegrityError(SegprepError):
    """A store is incomplete or damaged."""

    exit_code = 5


class StorageError(SegprepError):
    """A file system, a bucket or a cluster cannot be reached, read or written."""

    exit_code = 6


class JobError(SegprepError):
    """A job failed in an unforeseen way: a bug in segprep."""

    exit_code = 70


def some(items: Iterable[object], *, most: int = 20, separator: str = ", ") -> str:
    """Items in one line, of which only the first are listed, so that no message grows with the data.

    Examples
    --------
    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = [*map(str, items)]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return separator.join(shown[:most]) + more


def escape_controls(text: str) -> str:
    r"""Text on one line: it may quote from files and stores, which may contain the control codes of terminals.

    Examples
    --------
    >>> print(escape_controls("größe\n"))
    größe\n
    """
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class TargetError(OptionError):
    """A target that is not part of segprep raised an exception, or returned an array that its attributes do not allow."""


def is_foreign(thing: object) -> bool:
    """True for an object of a class that is not part of segprep: its errors are not bugs in segprep."""
    return type(thing).__module__.partition(".")[0] != "segprep"


@contextmanager
def foreign_errors(what: str, kind: type[SegprepError]) -> Iterator[None]:
    """Turn any exception of code that is not part of segprep into an error of this kind, after the words of `what`."""
    try:
        yield
    except (kind, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{what}: {type(error).__name__}: {error}") from error


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Question after an error message, with the choice that is closest to a value; empty if none is close.

    Examples
    --------
    >>> did_you_mean("Color_PNG", ["coco", "colour-png"]), did_you_mean("wibble", ["coco"])
    ("; did you mean 'colour-png'?", '')
    """
    plain = {choice.lower().replace("_", "-"): choice for choice in choices}
    close = get_close_matches(value.lower().replace("_", "-"), plain, n=1)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise OptionError if the value of a parameter is not among its choices.

    Examples
    --------
    >>> check_choice("border_on", "al", ["background", "all"])
    Traceback (most recent call last):
    segprep.errors.OptionError: border_on='al': choose one of background, all; did you mean 'all'?
    """
    choices = list(choices)
    if value in choices:
        return
    hint = did_you_mean(str(value), [choice for choice in choices if isinstance(choice, str)])
    raise OptionError(f"{name}={value!r}: choose one of {', '.join(map(str, choices))}{hint}")


def check_fields(values: Any) -> None:
    """Raise OptionError for a field of a dataclass that has a value of another type.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Blur:
    ...     radius: int | None = None
    >>> check_fields(Blur("wide"))
    Traceback (most recent call last):
    segprep.errors.OptionError: radius='wide': must be an integer or None
    """
    import msgspec  # noqa: PLC0415 - not for `segprep --help`

    for name, annotation in _annotations(type(values)).items():  # type: ignore[arg-type]  # a class is hashable
        value = getattr(values, name)
        if value is msgspec.UNSET:
            continue
        if get_origin(annotation) is Literal:
            check_choice(name, value, get_args(annotation))
            continue
        try:
            msgspec.convert(value.item() if type(value).__module__ == "numpy" else value, annotation)
        except (msgspec.ValidationError, ValueError):
            raise OptionError(f"{name}={value!r}: must be {type_words(annotation)}") from None


@cache
def _annotations(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def type_words(annotation: Any) -> str:
    """Type in words.

    >>> type_words(int | Literal["falk2019"]), type_words(tuple[int, int] | None)
    ("an integer or 'falk2019'", 'a pair of numbers or None')
    """
    words = {float: "a number", int: "an integer", bool: "True or False", str: "a string", NoneType: "None"}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return "a pair of numbers" if len(arguments) == 2 and ... not in arguments else "a tuple of numbers"  # noqa: PLR2004
    if origin is dict:
        return "a dictionary"
    return words.get(annotation) or " or ".join(map(type_words, arguments)) or f"a {annotation.__name__}"
