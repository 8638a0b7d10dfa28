"""A store in words, and as JSON."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from segprep.store import StoreInfo, bytes_on_disk

NAMED = 3
"""How many masks a warning names."""


def one_line(path: Path, info: StoreInfo) -> str:
    """What a run has written."""
    products = ", ".join(product.name for product in info.products)
    return (
        f"{path}: {info.status}: {_count(info.masks, 'mask')}, {_count(info.instances, 'instance')}, "
        f"{products}, {_megabytes(path)}"
    )


def as_json(path: Path, info: StoreInfo) -> str:
    """Everything, and the size on disk."""
    return msgspec.json.format(
        msgspec.json.encode({"store": str(path), "bytes": bytes_on_disk(path), **msgspec.to_builtins(info)})
    ).decode()


def as_text(path: Path, info: StoreInfo) -> str:
    """Everything that a person would ask first."""
    return "\n".join(
        [
            one_line(path, info),
            f"source     {info.source} ({info.source_format}), written by segprep {info.segprep}",
            f"pixels     {info.ignored_pixels:,} ignored, {info.hidden_pixels:,} hidden behind other instances",
            "",
            "product    parameters",
            *(f"{each.name:<11}{_parameters(each.parameters)}" for each in info.products),
            "",
            "bucket          masks",
            *(f"{each.name:<12}{each.rows:>9,}" for each in info.buckets),
            "",
            "code  class                      instances          pixels",
            *(f"{each.code:>4}  {each.name:<24.24}{each.instances:>12,}{each.pixels:>16,}" for each in info.classes),
            *([""] if info.faults else []),
            *(f"left out: {line}" for line in warnings(info)),
        ]
    )


def warnings(info: StoreInfo) -> Iterator[str]:
    """One line for each kind of fault: how often, and where first."""
    for kind, count in Counter(fault.kind for fault in info.faults).items():
        places = [fault.where for fault in info.faults if fault.kind == kind]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"{kind}: {count} left out: {', '.join(places[:NAMED])}{more}"


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


def _megabytes(path: Path) -> str:
    return f"{bytes_on_disk(path) / 1e6:,.1f} MB"
