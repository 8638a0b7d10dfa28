"""Values that a shell completes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def completed_names(names: Sequence[Any]) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]":
    """Completion of names, also of the last one of a list such as ``weights,dis``."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for a shell alone

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{name}") for name in map(str, names) if name.startswith(last)]

    return complete


def completed_path(incomplete: str) -> "list[CompletionItem]":
    """Completion of a path, which the shell does."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - for a shell alone

    return [CompletionItem(incomplete, type="file")]
