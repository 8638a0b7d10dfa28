"""Options that commands share."""

from collections.abc import Callable
from typing import Any, TypeAlias

import click

from segprep.paths.anypath import AnyPath, parse_path

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Canvas(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """Height and width in pixels, written HxW."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse ``512x640``."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
            self.fail(f"{value!r} is not of the form 512x640", param, ctx)
        return int(height), int(width)


class PathType(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """File or folder, or the address of one in a bucket."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AnyPath:  # noqa: ARG002
        """Parse ``data/`` or ``s3://bucket/data``."""
        return parse_path(value)


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """So many numbers with commas between them."""

    def __init__(self, *names: str) -> None:
        self.name = ",".join(names)
        self.count = len(names)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parse ``0.8,0.1,0.1``."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self.count:
            self.fail(f"{value!r} is not {self.count} numbers, as {self.name}", param, ctx)
        return numbers


class Part(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """One of so many parts."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse ``2/8``."""
        number, _, count = str(value).partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            self.fail(f"{value!r} is not of the form 2/8, the second of eight parts", param, ctx)
        return int(number), int(count)


class Separation(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """Pixels, or the name of a rule."""

    name = "PX|falk2019"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Parse ``2`` or ``falk2019``."""
        text = str(value)
        if text != "falk2019" and not text.isdecimal():
            self.fail(f"{value!r} is neither pixels nor falk2019", param, ctx)
        return text if text == "falk2019" else int(text)


def option_group(*decorators: Decorator) -> Decorator:
    """Decorators as one; the first option comes first in the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def choice(option: str, *choices: str, text: str, name: str | None = None) -> Decorator:
    """Option with a few values, of which the first is the default."""
    names = [option] if name is None else [option, name]
    return click.option(*names, type=click.Choice(choices), default=choices[0], show_default=True, help=text)


data: Decorator = click.argument("data", type=PathType())
store: Decorator = click.argument("store", type=PathType())
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
debug: Decorator = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback for an error.")

FORMATS = (
    "coco",
    "panoptic",
    "labelme",
    "yolo",
    "segment-anything",
    "voc",
    "ade20k",
    "cityscapes",
    "kitti",
    "mots",
    "mapillary",
    "colour-png",
    "instance-png",
    "label-image",
)
TARGETS = ("weights", "border", "boundaries", "distance")
PRESETS = ("paper", "deshpande2018", "falk2019")
FORMULAS = (
    *("inverse", "inverse-sqrt", "median-frequency", "enet", "effective-number", "dice", "pos-weight", "wbce"),
    *("focal-alpha", "none"),
)

reading = option_group(
    click.option("--format", type=click.Choice(FORMATS), help="Format of DATA.  [default: found out]"),
    choice("--crowd", "ignore", "instance", text="What COCO's iscrowd regions are."),
    click.option("--max-pixels", default=2**28, show_default=True, help="Refuse larger masks."),
    click.option("--max-instances", default=2**20, show_default=True, help="Refuse masks with more instances."),
    click.option("--class-pattern", metavar="REGEX", help="Class by file name: (?P<class>...), for instance-png."),
)
"""How masks are read."""

instances = option_group(
    choice(
        "--instances-from",
        *("as-is", "components", "watershed"),
        text="Where instances come from; other than as-is, values of label images are classes.",
    ),
    click.option(
        "--connectivity", type=click.Choice([4, 8]), default=8, show_default=True, help="Of components and watershed."
    ),
    click.option("--min-distance", default=5, show_default=True, help="Pixels between centres, for watershed."),
    choice("--overlap", "smallest", "last", "first", "error", text="Which instance is in front where some overlap."),
    click.option(
        "--separate",
        type=Separation(),
        default=0,
        show_default=True,
        help="Make pixels within so many of another instance background; 1 or 2 for cells that touch.",
    ),
)
"""How instances are told apart."""

splitting = option_group(
    click.option(
        "--split",
        metavar="TRAIN,VAL,TEST|FILE",
        help="Shares, or a JSON or CSV file.  [default: train/ val/ test/ folders or splits.json|csv in DATA, or all train]",
    ),
    click.option("--seed", default=0, show_default=True, help="Another seed, another split."),
    click.option("--group", metavar="REGEX", help="Keep masks together whose names give the same match."),
    click.option("--stratify", is_flag=True, help="Balance classes over the splits."),
    click.option("--folds", type=int, metavar="K", help="Also give each mask a fold."),
)
"""How masks are split."""

border = option_group(
    click.option("--w0", default=10.0, show_default=True, help="Height of the border term."),
    click.option("--sigma", default=5.0, show_default=True, help="Width of the border term, in pixels."),
    choice("--border-on", "background", "all", text="Where the border term is: also inside instances?"),
    choice("--single-instance", "zero", "d1", text="Border term of an image with one instance."),
    choice("--border-between", "all", "same-class", text="Whose distances make the border term: sum it over classes?"),
)
"""Border term of the weights."""

class_weighting = option_group(
    click.option(
        "--class-weights",
        metavar="NAME|FILE",
        default="inverse",
        show_default=True,
        help=f"Weight of each class: {', '.join(FORMULAS)} over the train split; per-image; or a JSON file by class name.",
    ),
    choice("--absent-class", "zero", "cap", "error", text="Weight of a class without a pixel."),
    click.option("--normalise", is_flag=True, help="Scale class weights to a mean of 1 over the pixels."),
    click.option("--clip-class-weights", type=Numbers("LO", "HI"), help="Least and largest class weight."),
)
"""First term of the weights."""

running = option_group(
    click.option("--workers", type=int, help="Processes on this machine.  [default: one per core]"),
    click.option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Use the Dask cluster of this scheduler: tcp://, tls:// or its file.",
    ),
)
"""Where the work is done."""
