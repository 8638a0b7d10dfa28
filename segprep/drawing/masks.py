"""Panels of one mask: its image and every target."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from segprep.drawing.panels import LARGEST, Panel, image_panel, nearest, target_panels
from segprep.errors import InputError, OptionError
from segprep.targets import Labels


def mask_panels(
    arrays: Iterable[tuple[str, NDArray[Any]]], classes: Sequence[str], image: Callable[[], NDArray[Any]]
) -> tuple[list[Panel], str]:
    """Panels of a mask, the image first, and the reason why there is no image, or an empty text.

    Parameters
    ----------
    arrays : iterable of (str, array)
        Name and array of each target, among them the labels.
    classes : list of str
        Name of each class code.
    image : callable
        The image; an error of segprep if it is not known.
    """
    panels, labels = list[Panel](), None
    for name, values in arrays:
        panels += target_panels(name, values, classes)
        if name == Labels.name:
            labels = nearest(values, LARGEST)
    if labels is None:
        return panels, "no labels"
    try:
        panels.insert(0, image_panel(image(), labels))
    except (OptionError, InputError) as error:
        return panels, str(error)
    return panels, ""
