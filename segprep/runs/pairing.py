"""Pairing of predictions and truth by their keys."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from segprep.errors import InputError, some
from segprep.paths.anypath import without_suffix

MOST_NAMED = 3
"""Keys that a message names."""


def paired(predictions: Sequence[str], truth: Sequence[str], where: str) -> list[int | None]:
    """Index of the prediction of each truth, None where there is none; `where` are the predictions, for messages.

    Keys pair if they are equal, or else equal but for their last suffix (``a.tif`` and ``a.png``, or ``a``). If this
    does not pair every prediction, folders are left out too (``predicted/a.png`` and ``labels/a.png``), in all keys.
    InputError if a prediction has no truth, or pairs are ambiguous even then.

    Examples
    --------
    >>> paired(["b.tif", "a.tif"], ["a.png", "b.png", "c.png"], "predictions")
    [1, 0, None]
    """
    reasons = []
    for shorten in (str, lambda key: PurePosixPath(key).name):
        own, reason = _paired(predictions, truth, shorten)
        if reason is None:
            return [own.get(index) for index in range(len(truth))]
        reasons.append(reason)
    raise InputError(f"{where}: {reasons[-1]}")


def _paired(
    predictions: Sequence[str], truth: Sequence[str], shorten: Callable[[str], str]
) -> tuple[dict[int, int], str | None]:
    """Index of the prediction by that of its truth; and the reason why a prediction has none or is one of several."""
    exact, loose = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for index, key in enumerate(map(shorten, truth)):
        exact[key].append(index)
        for form in {key, without_suffix(key)}:
            loose[form].append(index)
    own: dict[int, int] = {}
    unknown = []
    for number, key in enumerate(predictions):
        short = shorten(key)
        found = exact.get(short) or sorted({*loose.get(short, ()), *loose.get(without_suffix(short), ())})
        if not found:
            unknown.append(key)
        elif len(found) > 1:
            names = some((truth[index] for index in found), most=MOST_NAMED)
            return own, f"prediction {key!r} may be that of several masks ({names}); name it as its mask"
        elif own.setdefault(found[0], number) != number:
            other = predictions[own[found[0]]]
            return own, f"predictions {other!r} and {key!r} are both of {truth[found[0]]!r}; remove one"
    if unknown:
        names = some(map(repr, unknown), most=MOST_NAMED)
        return own, f"no truth for the predictions {names}; name each as its mask ({truth[0]!r}), or remove it"
    return own, None
