"""Last lines of a command: what it wrote, and the commands to run next."""

import sys
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING

from segprep.paths.anypath import AnyPath
from segprep.runs.scan import LEFT_OUT
from segprep.runs.settings import ALWAYS
from segprep.runs.update_info import UpdateInfo
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import StoreInfo

from .console import console
from .output import print_advice
from .progress import ProgressBar
from .render import contents, counted, duration, megabytes
from .updated import counts, lines

if TYPE_CHECKING:  # it imports what draws
    from segprep.runs.demo import DemoInfo


def written(
    store: AnyPath,
    info: StoreInfo,
    progress: ProgressBar,
    part: str | None = None,
    update: UpdateInfo | None = None,
) -> str:
    """Line for a store after a run: what was written, or that nothing was to do; of an update, also lines of what it did.

    Of an interrupted run, it has the masks that were written now; of a part, its masks.
    """
    below = [] if update is None else lines(update)
    return "\n".join([_written(store, info, progress, part, update), *below])


def _written(
    store: AnyPath, info: StoreInfo, progress: ProgressBar, part: str | None, update: UpdateInfo | None
) -> str:
    stage = progress.written()
    if info.status == "complete" and stage is None:
        return f"{store} is up to date: nothing to do ({contents(store, info)})"
    if info.status != "complete":
        masks = f"{stage.masks if stage else 0:,} of {counted(info.masks, 'mask')}"
        return f"wrote part {part} of {store}: {masks}; {_size_and_time(store)}"
    left_out = sum(problem.kind == LEFT_OUT for problem in info.problems)
    notes = [f"{left_out:,} left out"] * bool(left_out)
    if update is not None:
        return f"updated {store}: {contents(store, info, [*counts(update), *notes])} in {duration(console.seconds)}"
    if stage and stage.before:
        notes.append(f"{stage.masks - stage.before:,} written now")
    return f"wrote {store}: {contents(store, info, notes)} in {duration(console.seconds)}"


def print_next(store: AnyPath, info: StoreInfo) -> None:
    """Print the commands to run next: to look at a store, to use it, or to complete it."""
    if info.status != "complete":
        print_advice("once all parts are written, run the same command without --part to complete the store:")
        print_advice(f"next: segprep {join(_without_part(sys.argv[1:]))}", prefix="")
        return
    print_advice(f"look: segprep preview {quote(str(store))} -o {quote(report_of(store))}", prefix="")
    print_advice(f"use:  segprep.open({in_python(str(store))})[0][{in_python(_shown_target(info))}]", prefix="")


def print_splits(store: AnyPath) -> None:
    """Print how to use a split of a store."""
    print_advice(f'use:  segprep.open({in_python(str(store))}, split="train")', prefix="")


def print_demo(info: "DemoInfo") -> None:
    """Print the commands to run next with a demo data set."""
    folder = Path(info.folder)
    data = info.folder if folder.name not in {"", ".."} else str(folder.resolve())  # the store is to lie beside it
    options = "--preset crowded"
    if any(problem.left_out for problem in info.problems):
        options += " --on-error skip-mask"
    elif info.layout == "masks":
        options += " --instances-from watershed"
    print_advice(f"next: segprep check {quote(data)}", prefix="")
    print_advice(f"      segprep weights {quote(data)} {quote(f'{data}.zarr')} {options}", prefix="")
    print_advice(f"      segprep preview {quote(f'{data}.zarr')} -o {quote(f'{data}.html')}", prefix="")


def report_of(store: AnyPath) -> str:
    """Name of the report of a store: beside it, or in the working directory for one in a bucket.

    >>> report_of(Path("a/coins.zarr")), report_of(Path("."))
    ('a/coins.html', 'preview.html')
    """
    if store.name in {"", ".."}:
        return "preview.html"
    name = f"{store.name.removesuffix('.zarr') or 'preview'}.html"
    return str(store.with_name(name)) if isinstance(store, Path) else name


def in_python(text: str) -> str:
    r"""String as Python source, in double quotes where it has no character to escape.

    >>> print(in_python("coins.zarr"), in_python('"a"\n'))
    "coins.zarr" '"a"\n'
    """
    return repr(text) if not text.isprintable() or set(text) & {'"', "\\"} else f'"{text}"'


def _shown_target(info: StoreInfo) -> str:
    """Target that is named as an example: the first that was asked for."""
    names = [target.name for target in info.targets]
    return next((name for name in names if name not in ALWAYS), names[0])


def _without_part(arguments: list[str]) -> list[str]:
    """Arguments of the command without ``--part``.

    >>> _without_part(["weights", "a", "b", "--part", "1/2", "--part=2/2", "--w0", "5"])
    ['weights', 'a', 'b', '--w0', '5']
    """
    pairs = zip(arguments, ["", *arguments], strict=False)
    return [word for word, before in pairs if before != "--part" and word.partition("=")[0] != "--part"]


def _size_and_time(store: AnyPath) -> str:
    return f"{megabytes(bytes_on_disk(store))} in {duration(console.seconds)}"
