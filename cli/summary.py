"""A store in words, and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from segprep.errors import OptionError, StorageError
from segprep.masks.stats import Counts
from segprep.paths.anypath import AnyPath
from segprep.runs.audit import Finding
from segprep.runs.check import CheckReport
from segprep.runs.scan import escape_controls
from segprep.runs.verify import VerifyReport
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import StoreInfo, stored_target, target_types, train_counts
from segprep.store.tables import read_table
from segprep.targets import Target
from segprep.targets.class_weights import Shaping, class_weights
from segprep.targets.target import fit

NAMED = 3
"""How many masks a warning names."""
LARGE = 1000
"""A larger class weight draws a warning."""


def one_line(path: AnyPath, info: StoreInfo) -> str:
    """What a run has written."""
    targets = ", ".join(target.name for target in info.targets)
    return (
        f"{path}: {info.status}: {_count(info.masks, 'mask')}, {_count(info.instances, 'instance')}, "
        f"{targets}, {_megabytes(bytes_on_disk(path))}"
    )


def as_json(path: AnyPath, info: StoreInfo) -> str:
    """Everything, and the size on disk."""
    return msgspec.json.format(
        msgspec.json.encode({"store": str(path), "bytes": bytes_on_disk(path), **msgspec.to_builtins(info)})
    ).decode()


def as_text(path: AnyPath, info: StoreInfo) -> str:
    """Everything that a person would ask first."""
    return "\n".join(
        [
            one_line(path, info),
            f"source     {info.source} ({info.source_format}), written by segprep {info.segprep}",
            f"pixels     {info.ignored_pixels:,} ignored, {info.hidden_pixels:,} hidden behind other instances",
            "",
            "target    parameters",
            *(f"{each.name:<11}{_parameters(each.parameters)}" for each in info.targets),
            "",
            "bucket          masks",
            *(f"{each.name:<12}{each.rows:>9,}" for each in info.buckets),
            "",
            "code  class                      instances          pixels",
            *(
                f"{each.code:>4}  {escape_controls(each.name):<24.24}{each.all.instances:>12,}{each.all.pixels:>16,}"
                for each in info.classes
            ),
            *(f"warning: {line}" for line in warnings(info)),
        ]
    )


def warnings(info: StoreInfo) -> Iterator[str]:
    """One line for each kind of problem, and for each class whose weight is doubtful."""
    for kind, count in Counter(problem.kind for problem in info.problems).items():
        places = [f"{problem.key}: {problem.where}" for problem in info.problems if problem.kind == kind]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"{kind}: {count} left out: {', '.join(places[:NAMED])}{more}"
    if info.instances == 0:
        yield "there is no instance in any mask"
    for target in info.targets:
        if target.parameters.get("vector") and target.parameters["class_weights"] != "none":
            yield from class_warnings(info, target.parameters["vector"])


def write_problems(path: Path, info: StoreInfo) -> None:
    """One JSON object a line for all that was left out."""
    lines = [msgspec.json.encode(problem) for problem in info.problems]
    try:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise StorageError(f"--problems {path}: cannot be written: {error.strerror}") from error


def report_json(report: CheckReport) -> str:
    """All of a report."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def report_text(report: CheckReport) -> str:
    """A report for a person: every problem, by kind."""
    lines = [
        f"{report.source}: {report.format}: {_count(report.masks, 'mask')}, {_count(report.instances, 'instance')}, "
        f"{report.overlap_pixels:,} overlapping and {report.ignored_pixels:,} ignored pixels",
        "sizes    " + ", ".join(f"{size} ({count})" for size, count in report.sizes.items()),
        "classes  "
        + ", ".join(f"{escape_controls(each.name)} ({each.instances})" for each in report.classes if each.pixels),
    ]
    for kind, count in report.kinds.items():
        lines.append(f"{kind}: {count}")
        lines += [f"    {problem.key}: {problem.where}" for problem in report.problems if problem.kind == kind]
    return "\n".join([*lines, "" if report.problems else "nothing is wrong"]).rstrip()


def findings_json(report: VerifyReport) -> str:
    """All that a verification found."""
    return msgspec.json.format(msgspec.json.encode(report)).decode()


def findings_text(report: VerifyReport) -> str:
    """One line for each damaged object and for each that was repaired, and one for the store."""
    lines = [f"repaired: {_finding(each)}" for each in report.repaired] + [_finding(each) for each in report.findings]
    if report.findings:
        end = (
            f"damaged: {_count(len(report.findings), 'finding')}; segprep verify {report.store} --repair DATA mends it"
        )
    else:
        again = f", {_count(report.compared, 'mask')} computed again" if report.compared else ""
        end = (
            f"whole: {_count(report.shards, 'shard')}, {_count(report.objects, 'object')}, "
            f"{_megabytes(report.bytes)}{again}"
        )
    return "\n".join([*lines, f"{report.store}: {end}"])


def _finding(finding: Finding) -> str:
    return f"{finding.path}: {finding.what}" + (f" (masks: {finding.masks})" if finding.masks else "")


def class_warnings(info: StoreInfo, vector: Sequence[float]) -> Iterator[str]:
    """One line for the classes without a pixel, and one for each whose weight would drown the others."""
    absent = [
        (escape_controls(each.name), weight)
        for each, weight in zip(info.classes, vector, strict=True)
        if each.code and not each.train.pixels
    ]
    if absent:
        names = ", ".join(f"{name} ({weight:g})" for name, weight in absent[:NAMED])
        more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
        yield f"no pixel in the train split (--absent-class says what weight is given then): {names}{more}"
    for each, weight in zip(info.classes, vector, strict=True):
        if each.train.pixels and weight > LARGE:
            yield f"class {each.name!r} has weight {weight:g}: think of --clip-class-weights"


def stale(path: AnyPath, info: StoreInfo) -> Iterator[str]:
    """One line for each target whose class weights were fitted on another train split."""
    counts = train_counts(info)
    for each in info.targets:
        target = stored_target(each, target_types())
        if each.parameters.get("vector") and target is not None and not _is_fitted(target, counts):
            yield (
                f"{each.name}: class weights were fitted on the former train split; "
                f"segprep split {path} with the same options and --refit fits them again"
            )


def _is_fitted(target: Target, counts: Counts) -> bool:
    """Whether a target is what it would be if it were fitted now."""
    try:
        return fit(target, counts, counts) == target
    except OptionError:  # as of a class that is absent from the train split now
        return False


def split_line(path: AnyPath, info: StoreInfo) -> str:
    """How many masks each split has now."""
    counts = Counter(read_table(path, "split").tolist())
    shares = ", ".join(f"{name} {counts[code]:,}" for code, name in enumerate(info.splits))
    return f"{path}: {shares}"


def class_vector(info: StoreInfo, formula: str, shaping: Shaping) -> list[float]:
    """Weight of each class code, by the counts of the train split."""
    vector: list[float] = class_weights(formula, train_counts(info), shaping).tolist()
    return vector


def vector_text(info: StoreInfo, vector: Sequence[float]) -> str:
    """Vector to paste, and a line for each class."""
    lines = [
        f"{each.code:>4}  {escape_controls(each.name):<24} {weight:.6g}"
        for each, weight in zip(info.classes, vector, strict=True)
    ]
    return "\n".join([f"[{', '.join(f'{weight:.6g}' for weight in vector)}]", *lines])


def vector_json(info: StoreInfo, formula: str, vector: Sequence[float]) -> str:
    """Vector by code, and weights by name."""
    names = {each.name: weight for each, weight in zip(info.classes, vector, strict=True)}
    return msgspec.json.format(
        msgspec.json.encode({"formula": formula, "vector": list(vector), "weights": names})
    ).decode()


def _parameters(parameters: dict[str, object]) -> str:
    """Parameters as ``name=value``; long lists are cut short."""
    return " ".join(f"{name}={_value(value)}" for name, value in parameters.items())


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        shown = ",".join(f"{item:.4g}" for item in value[:4])
        return f"[{shown}{',...' if len(value) > 4 else ''}]"  # noqa: PLR2004 - as many as fit a line
    return f"{value}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
