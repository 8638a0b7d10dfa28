"""Stores and reports as text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from segprep.errors import OptionError, StorageError, escape_controls, some
from segprep.masks.downsampling import Downsampling
from segprep.masks.instances import InstanceRule
from segprep.masks.stats import Counts
from segprep.paths.anypath import AnyPath
from segprep.runs.audit import Finding
from segprep.runs.settings import setting_names
from segprep.runs.verify import VerifyReport
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import StoreInfo, TargetInfo, stored_target, target_types, train_counts
from segprep.store.tables import read_table
from segprep.targets import Target
from segprep.targets.target import fit

from .regions import regions_lines, share_text
from .tiles import tiles_lines

if TYPE_CHECKING:  # they import what draws, which most commands do not need
    from segprep.report.preview import Preview
    from segprep.runs.demo import DemoInfo

NAMED = 3
"""Items that a warning names."""
LARGE = 1000
"""Class weight above which there is a warning."""
SECONDS = 100
"""Seconds from which on a duration is shown in minutes."""
NAME_WIDTH = 24
"""Width of the column of class names."""


def _joined(lines: Iterable[str]) -> str:
    """Lines, in which names from data and stores begin no further line."""
    return "\n".join(map(escape_controls, lines))


def contents(path: AnyPath, info: StoreInfo, notes: Iterable[str] = ()) -> str:
    """Masks of a store, with notes about them, its targets and its size."""
    targets = ", ".join(target.name for target in info.targets)
    about = ", ".join([*notes, *([] if info.regions is None else [f"{share_text(info)} of the pixels ignored"])])
    masks = counted(info.masks, "mask") + f" ({about})" * bool(about)
    return f"{masks}, {counted(info.instances, 'instance')}; {targets}; {megabytes(bytes_on_disk(path))}"


def store_text(path: AnyPath, info: StoreInfo, warnings: Iterable[str] = ()) -> str:
    """Contents of a store, and lines of warnings."""
    return _joined(
        [
            f"{path}: {info.status}: {contents(path, info)}",
            f"source     {info.source} ({info.source_format}), written by segprep {info.segprep}",
            f"splits     {splits_text(path, info)}",
            f"images     {images_text(info)}",
            *tiles_lines(path, info),
            *regions_lines(info),
            f"pixels     {info.ignored_pixels:,} ignored, {info.hidden_pixels:,} hidden behind other instances",
            "",
            f"instances  {_instance_options(info.instance_rule)}",
            "",
            "target     options",
            *map(_target_line, info.targets),
            "",
            f"bucket      {'rows' if info.holes else 'masks':>9}",
            *(f"{bucket.name:<12}{bucket.rows:>9,}" for bucket in info.buckets),
            *[f"holes       {info.holes:>9,}: rows without a mask; --update --compact fills them"] * (info.holes > 0),
            "",
            f"code  {'class':<{NAME_WIDTH}}{'instances':>12}{'pixels':>16}",
            *(
                f"{entry.code:>4}  {cell(entry.name)}{entry.all.instances:>12,}{entry.all.pixels:>16,}"
                for entry in info.classes
            ),
            *warnings,
        ]
    )


def write_problems(path: Path, info: StoreInfo) -> None:
    """Write one JSON object per line for each problem."""
    lines = [msgspec.json.encode(problem) for problem in info.problems]
    with written(path, "problems"):
        path.write_bytes(b"".join(line + b"\n" for line in lines))


def check_writable(path: Path, name: str = "problems") -> None:
    """Raise StorageError if the file of an option cannot be written; its contents stay."""
    is_new = not path.exists()
    with written(path, name):
        path.open("ab").close()
        if is_new:
            path.unlink()


@contextmanager
def written(path: Path, name: str) -> Iterator[None]:
    """Context in which the file of the option `name` is written."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name}={str(path)!r}: cannot be written: {error.strerror}") from error


def preview_text(made: "Preview") -> str:
    """File of a report, and what it shows."""
    return _joined(
        [f"wrote {made.output}: shows {len(made.shown)} of {counted(made.masks, 'mask')}; {megabytes(made.bytes)}"]
    )


def demo_text(info: "DemoInfo") -> str:
    """Contents of a demo data set, and its mistakes."""
    classes = ", ".join(f"{count:,} {name}" for name, count in info.classes.items())
    cells = f"{counted(info.instances, 'cell')} ({classes}), {counted(info.touching_pairs, 'pair')} of them touch"
    lines = [f"{info.folder}: {info.layout}: {counted(info.images, 'image')}, {cells}"]
    if info.problems:
        lines.append(f"{counted(len(info.problems), 'mistake')}, each with the problem that segprep check reports:")
        lines += [f"    {problem.kind}: {problem.key}: {problem.where}" for problem in info.problems]
    return _joined(lines)


def findings_text(report: VerifyReport) -> str:
    """One line for each damaged or repaired object, and one for the store."""
    lines = [*(f"repaired: {_finding(finding)}" for finding in report.repaired), *map(_finding, report.findings)]
    lines += [f"{name}: values not checked: not part of segprep; check them in Python" for name in report.unchecked]
    if report.findings:
        end = (
            f"damaged: {counted(len(report.findings), 'problem')}. "
            f"Repair it with: segprep verify {quote(report.store)} --repair DATA"
        )
    else:
        again = f", {counted(report.compared, 'mask')} computed again" if report.compared else ""
        end = (
            f"undamaged: {counted(report.shards, 'shard')}, {counted(report.objects, 'object')}, "
            f"{megabytes(report.bytes)}{again}"
        )
    return _joined([*lines, f"{report.store}: {end}"])


def _finding(finding: Finding) -> str:
    return f"{finding.path}: {finding.what}" + (f" (masks: {finding.masks})" if finding.masks else "")


def split_warnings(path: AnyPath, info: StoreInfo) -> Iterator[str]:
    """One line if train is empty, for the classes that it lacks and val or test has, and for those that one of these lacks."""
    if info.status != "complete":
        return
    split_of, pixels = read_table(path, info, "split"), read_table(path, info, "class_pixels")
    names = np.array([escape_controls(entry.name) for entry in info.classes], object)[1:]
    if not (split_of == 0).any():
        yield f"no mask is in {info.splits[0]}; --split 1,0,0 puts all masks there"
    train, *others = ((pixels[split_of == code, 1:] > 0).any(axis=0) for code in range(len(info.splits)))
    for code, there in enumerate(others, start=1):
        for have, lack, has, lacks in (
            (there, train, info.splits[code], "train"),
            (train, there, "train", info.splits[code]),
        ):
            if (split_of == code).any() and (lost := names[have & ~lack]).size:
                yield f"{counted(lost.size, 'class', 'classes')} of {has} without a pixel in {lacks}: {some(lost, most=NAMED)}"


def class_warnings(
    info: StoreInfo, vector: Sequence[float], option: str = "--class-weights", *, is_doubted: bool = False
) -> Iterator[str]:
    """One line for the classes without a pixel in train, and one for those whose weight would drown the others.

    The second is left out where `segprep.runs.plan.doubts` names the largest weight.
    """
    weights = [(escape_controls(entry.name), weight, entry) for entry, weight in zip(info.classes, vector, strict=True)]
    absent = [f"{name} ({weight:g})" for name, weight, entry in weights if entry.code and not entry.train.pixels]
    if absent:
        verb = "class has" if len(absent) == 1 else "classes have"
        yield (
            f"{len(absent)} {verb} no pixel in the train split; --absent-class determines the weight: "
            f"{some(absent, most=NAMED)}"
        )
    large = [(weight, name) for name, weight, entry in weights if entry.train.pixels and weight > LARGE]
    if large and not is_doubted:
        weight, name = max(large)
        verb = "class has a weight" if len(large) == 1 else "classes have weights"
        yield (
            f"{len(large)} {verb} above {LARGE:,} (largest: {name}, {weight:,.0f}); "
            f"consider {option} inverse-sqrt or --clip-class-weights 0.1,10"
        )


def stale(path: AnyPath, info: StoreInfo) -> Iterator[str]:
    """One line for each target whose class weights were fitted to another train split."""
    counts = train_counts(info)
    for target in info.targets:
        fitted = stored_target(target, target_types())
        if target.parameters.get("vector") and fitted is not None and not _is_fitted(fitted, counts):
            yield (
                f"{target.name}: class weights were fitted to the former train split; "
                f"run segprep split {path} with the same options and --refit to fit them again"
            )


def _is_fitted(target: Target, counts: Counts) -> bool:
    """True if fitting a target again would not change it."""
    try:
        return fit(target, counts, counts) == target
    except OptionError:  # as of a class that is absent from the train split now
        return False


def images_text(info: StoreInfo) -> str:
    """Number of masks whose image is known."""
    if info.images is None:
        return "not stored, as the store is of an earlier version"
    return f"{info.images.known:,} of {info.masks:,} known" + f", in {info.images.folder}" * bool(info.images.known)


def splits_text(path: AnyPath, info: StoreInfo) -> str:
    """Number of masks in each split and fold."""
    counts = Counter(read_table(path, info, "split").tolist())
    shown = ", ".join(f"{name} {counts[code]:,}" for code, name in enumerate(info.splits))
    if info.split_rule.folds is None:
        return shown
    folds = Counter(read_table(path, info, "fold").tolist())
    return f"{shown}; folds {some(f'{folds[fold]:,}' for fold in range(info.split_rule.folds))}"


def vector_text(info: StoreInfo, vector: Sequence[float]) -> str:
    """Vector to paste, and a line for each class."""
    lines = [
        f"{entry.code:>4}  {cell(entry.name)} {weight:.6g}" for entry, weight in zip(info.classes, vector, strict=True)
    ]
    return _joined([f"[{', '.join(f'{weight:.6g}' for weight in vector)}]", *lines])


def _target_line(target: TargetInfo) -> str:
    """Name and options of a target; the parameters of one that is not part of segprep are no options."""
    if (kind := target_types().get(target.name)) is not None:
        parameters = _options(target.parameters, setting_names(kind))
    else:
        parameters = " ".join(f"{name}={_value(value)}" for name, value in target.parameters.items())
    return f"{target.name:<10} {parameters}".rstrip()


def _instance_options(rule: InstanceRule) -> str:
    """Options of the instances, and of the resolution if that is lower than that of the data."""
    kinds = (InstanceRule, Downsampling) if rule.resolution.downsample else (InstanceRule,)
    return _options(asdict(rule) | asdict(rule.resolution), setting_names(*kinds))


def _options(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Settings as options that give them again, except those that are off.

    Examples
    --------
    >>> _options({"w0": 10.0, "normalise": True, "distance_clip": None}, ["w0", "normalise", "distance_clip"])
    '--w0 10 --normalise'
    """
    given = {f"--{name.replace('_', '-')}": values.get(name) for name in names}
    return " ".join(
        option if value is True else f"{option} {_value(value)}"
        for option, value in given.items()
        if value is not None and value is not False
    )


def _value(value: object) -> str:
    """Value of a setting, of which a long list is cut."""
    if isinstance(value, dict):
        items = some((f"{escape_controls(name)}: {_value(item)}" for name, item in value.items()), most=NAMED)
        return f"{{{items}}}"
    if isinstance(value, list | tuple):
        return some(map(_value, value), most=NAMED).replace(", ", ",")
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def cell(name: str) -> str:
    """Name in a column; an ellipsis marks what does not fit."""
    name = escape_controls(name)
    return f"{name if len(name) < NAME_WIDTH else name[: NAME_WIDTH - 2] + '…':<{NAME_WIDTH}}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Number and noun, in the singular for 1."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def megabytes(size: int) -> str:
    """Size in megabytes."""
    return f"{size / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """Duration in words.

    >>> duration(0.432), duration(75), duration(1000), duration(20000)
    ('0.4 s', '75 s', '16 min 40 s', '5 h 33 min')
    """
    if seconds < SECONDS:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - two digits
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
