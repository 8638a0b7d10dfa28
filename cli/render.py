"""Stores and reports as text, and as JSON."""

import json
import re
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
from segprep.masks.instances import InstanceRule
from segprep.masks.stats import Counts
from segprep.paths.anypath import AnyPath
from segprep.runs.audit import Finding
from segprep.runs.check import CheckReport
from segprep.runs.findings import touching_notice
from segprep.runs.foreground import notice
from segprep.runs.plan import doubts
from segprep.runs.scan import LEFT_OUT
from segprep.runs.settings import setting_names
from segprep.runs.verify import VerifyReport
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import ProblemInfo, StoreInfo, TargetInfo, stored_target, target_types, train_counts
from segprep.store.tables import read_table
from segprep.targets import Border, Target, Weights
from segprep.targets.target import fit

from .spelling import in_options

if TYPE_CHECKING:  # they import what draws, which most commands do not need
    from segprep.report.preview import Preview
    from segprep.runs.demo import DemoInfo

NAMED = 3
"""Items that a warning names."""
LARGE = 1000
"""Class weight above which there is a warning."""
NAME_WIDTH = 24
"""Width of the column of class names."""
_NOT_ASCII = re.compile(r"[^\n -~]")


def as_json(struct: Any) -> str:
    """Structure as indented JSON, in which the characters are escaped that terminals could obey."""
    text = msgspec.json.format(msgspec.json.encode(struct)).decode()
    return _NOT_ASCII.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text)


def _joined(lines: Iterable[str]) -> str:
    """Lines, in which names from data and stores begin no further line."""
    return "\n".join(map(escape_controls, lines))


def store_json(path: AnyPath, info: StoreInfo) -> str:
    """Contents of a store and its size in bytes."""
    return as_json({"store": str(path), "bytes": bytes_on_disk(path), **msgspec.to_builtins(info)})


def one_line(path: AnyPath, info: StoreInfo, *, has_written: bool = True) -> str:
    """Summary of a store after a run."""
    targets = ", ".join(target.name for target in info.targets)
    counts = f"{counted(info.masks, 'mask')}, {counted(info.instances, 'instance')}"
    contents = f"{counts}, {targets}, {_megabytes(bytes_on_disk(path))}"
    if info.status == "complete" and not has_written:
        return f"{path} is up to date: nothing to do ({contents})"
    return f"{path}: {info.status}: {contents}"


def store_text(path: AnyPath, info: StoreInfo) -> str:
    """Contents of a store."""
    return _joined(
        [
            one_line(path, info),
            f"source     {info.source} ({info.source_format}), written by segprep {info.segprep}",
            f"splits     {splits_text(path, info)}",
            f"images     {images_text(info)}",
            f"pixels     {info.ignored_pixels:,} ignored, {info.hidden_pixels:,} hidden behind other instances",
            "",
            f"instances  {_options(asdict(info.instance_rule), setting_names(InstanceRule))}",
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
            *(f"warning: {in_options(line)}" for line in (*warnings(info), *doubts(info), *split_warnings(path, info))),
        ]
    )


def warnings(info: StoreInfo) -> Iterator[str]:
    """A notice of foreground masks, and one line for each kind of problem and each doubt about class weights."""
    if line := notice(info):
        yield line
    yield from problem_lines(info.problems)
    if info.instances == 0:
        yield "there is no instance in any mask"
    for target in info.targets:
        if target.parameters.get("vector") and target.parameters["class_weights"] != "none":
            yield from class_warnings(info, target.parameters["vector"], is_doubted=any(doubts(info)))


def advice(info: StoreInfo) -> Iterator[str]:
    """One line if a complete store has instances that touch, and a preset would separate them."""
    has_border = any(target.name in (Weights.name, Border.name) for target in info.targets)
    if info.status == "complete" and has_border and info.touching_pairs and info.instance_rule.separate == 0:
        yield touching_notice(info.touching_pairs)


def problem_lines(problems: Sequence[ProblemInfo]) -> Iterator[str]:
    """One line for each kind of problem."""
    for kind, left_out in dict.fromkeys((problem.kind, problem.left_out) for problem in problems):
        alike = [problem for problem in problems if (problem.kind, problem.left_out) == (kind, left_out)]
        wheres = some((_problem(problem.key, problem.where) for problem in alike), most=NAMED)
        if kind == LEFT_OUT:
            yield f"{counted(len(alike), 'mask')} left out: {wheres}"
        else:
            yield f"{kind}: {f'{len(alike):,} left out: ' if left_out else ''}{wheres}"


def _problem(key: str, where: str) -> str:
    """Place of a problem; a message that begins with the file of the mask needs no key."""
    return where if f"/{key}/" in f"/{where.partition(': ')[0]}/" else f"{key}: {where}"


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


def report_text(report: CheckReport) -> str:
    """Contents of a data set, and every problem, by kind."""
    classes = [f"{escape_controls(entry.name)} ({entry.instances:,})" for entry in report.classes if entry.instances]
    lines = [
        f"{report.source}: {report.format}: {counted(report.masks, 'mask')}, {counted(report.instances, 'instance')}, "
        f"{report.overlap_pixels:,} overlapping and {report.ignored_pixels:,} ignored pixels",
        f"sizes    {some([f'{size} ({count:,})' for size, count in Counter(report.sizes).most_common()])}",
        f"classes  {some(classes) or 'no instance of any class'}",
    ]
    lines += report.notices
    for kind, count in report.kinds.items():
        lines.append(f"{kind}: {count}")
        lines += [f"    {problem.key}: {problem.where}" for problem in report.problems if problem.kind == kind]
    if not report.problems:
        return _joined([*lines, "no problems found"])
    masks = len({problem.key for problem in report.problems})
    return _joined([*lines, f"{counted(len(report.problems), 'problem')} in {counted(masks, 'mask')}"])


def preview_text(made: "Preview") -> str:
    """File of a report, and what it shows."""
    return _joined(
        [f"{made.output}: shows {len(made.shown)} of {counted(made.masks, 'mask')}, {_megabytes(made.bytes)}"]
    )


def demo_text(info: "DemoInfo") -> str:
    """Contents of a demo data set, its mistakes, and the commands to run next."""
    classes = ", ".join(f"{count:,} {name}" for name, count in info.classes.items())
    cells = f"{counted(info.instances, 'cell')} ({classes}), {counted(info.touching_pairs, 'pair')} of them touch"
    lines = [f"{info.folder}: {info.layout}: {counted(info.images, 'image')}, {cells}"]
    if info.problems:
        lines.append(f"{counted(len(info.problems), 'mistake')}, each with the problem that segprep check reports:")
        lines += [f"    {problem.kind}: {problem.key}: {problem.where}" for problem in info.problems]
    folder = Path(info.folder)
    data = info.folder if folder.name not in {"", ".."} else str(folder.resolve())  # the store is to lie beside it
    options = "--preset crowded"
    if any(problem.left_out for problem in info.problems):
        options += " --on-error skip-mask"
    elif info.layout == "masks":
        options += " --instances-from watershed"
    lines += [
        f"next: segprep check {quote(data)}",
        f"      segprep weights {quote(data)} {quote(f'{data}.zarr')} {options}",
        f"      segprep preview {quote(f'{data}.zarr')} -o {quote(f'{data}.html')}",
    ]
    return _joined(lines)


def findings_text(report: VerifyReport) -> str:
    """One line for each damaged or repaired object, and one for the store."""
    lines = [*(f"repaired: {_finding(finding)}" for finding in report.repaired), *map(_finding, report.findings)]
    lines += [f"{name}: values not checked: not part of segprep; check them in Python" for name in report.unchecked]
    if report.findings:
        end = (
            f"damaged: {counted(len(report.findings), 'problem')}. "
            f"Repair it with: segprep verify {report.store} --repair DATA"
        )
    else:
        again = f", {counted(report.compared, 'mask')} computed again" if report.compared else ""
        end = (
            f"undamaged: {counted(report.shards, 'shard')}, {counted(report.objects, 'object')}, "
            f"{_megabytes(report.bytes)}{again}"
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

    The second is left out where `doubts` names the largest weight.
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


def vector_json(info: StoreInfo, formula: str, vector: Sequence[float]) -> str:
    """Vector by code, and weights by name."""
    names = {entry.name: weight for entry, weight in zip(info.classes, vector, strict=True)}
    return as_json({"formula": formula, "vector": list(vector), "weights": names})


def _target_line(target: TargetInfo) -> str:
    """Name and options of a target; the parameters of one that is not part of segprep are no options."""
    if (kind := target_types().get(target.name)) is not None:
        parameters = _options(target.parameters, setting_names(kind))
    else:
        parameters = " ".join(f"{name}={_value(value)}" for name, value in target.parameters.items())
    return f"{target.name:<10} {parameters}".rstrip()


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


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
