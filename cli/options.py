"""Commands and options that show themselves under headings, and the options that several commands have.

Options that are not given are not passed on: the library's defaults hold.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.core import ParameterSource

import segprep
from segprep.errors import SegprepError, did_you_mean
from segprep.paths.anypath import AnyPath, parse_path

from . import log, sources
from .commands import COMMANDS
from .console import console
from .examples import EXAMPLES
from .help import SHORT, Context, write_examples
from .output import expect_json, print_step, print_warning, show_tracebacks
from .values import completed_path

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

HEADINGS = (
    "Data",
    "Targets",
    "Class weights",
    "Instances",
    "Splits",
    "Tiles",
    "Scores",
    "Checks",
    "Input",
    "Output",
    "Running",
)
"""Headings of the options in every help, in this order."""
SYNONYMS = {"--normalise": ("--normalize",)}
"""Other spellings of options."""


class Option(click.Option):
    """Option under a heading of the help."""

    def __init__(self, *args: Any, heading: str = "Running", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading

    def variables(self, ctx: click.Context) -> list[str]:
        """Environment variables of the option; those under "Running" have one for all commands, too."""
        return sources.variables(ctx.command.name or "", self, is_shared=self.heading == "Running")

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Value of the first variable that is not empty."""
        return next(filter(None, map(os.environ.get, self.variables(ctx))), None)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Values that begin so, or a path where none does and a file may be given."""
        found = super().shell_complete(ctx, incomplete)
        return found or (completed_path(incomplete) if "FILE" in str(self.metavar) else [])

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Name of the option in messages, or what has set it."""
        return (ctx and sources.origin(ctx, self, self.variables(ctx))) or super().get_error_hint(ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Names and help text, without the ``--no-`` of flags."""
        record = super().get_help_record(ctx)
        return record and (record[0].partition(" / ")[0], record[1])


class Choice(click.Choice):  # type: ignore[type-arg]  # generic in the newest click alone
    """Choice that proposes the closest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Choice that has this name."""
        named = {str(each): each for each in self.choices}
        if str(value) not in named:
            close = did_you_mean(str(value), named)
            self.fail(f"{value!r}: choose one of {', '.join(named)}{close}", param, ctx)
        return named[str(value)]


class Command(click.Command):
    """Command whose help groups the options, and which passes on only those that are given."""

    context_class = Context

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command's function; an error says which variable or file has set the options that it names."""
        unset = ParameterSource.DEFAULT
        ctx.params = {name: value for name, value in ctx.params.items() if ctx.get_parameter_source(name) is not unset}
        options = [param for param in self.params if isinstance(param, Option)]
        known = (name for option in options for name in option.variables(ctx))
        for line in sources.unknown_variables(self.name or "", known):
            print_warning(line)
        try:
            return super().invoke(ctx)
        except SegprepError as error:
            sources.name_origins(error, ((each, sources.origin(ctx, each, each.variables(ctx))) for each in options))
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                groups.setdefault(heading_of(param), []).append(record)
        for heading in sorted(groups, key=[*HEADINGS, *groups].index):
            with formatter.section(heading):
                formatter.write_dl(groups[heading])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        write_examples(formatter, EXAMPLES.get(self.name or "", ()))


def heading_of(option: click.Option) -> str:
    """Heading of an option; those of click, as ``--help``, have none."""
    return getattr(option, "heading", "Running")


class PathType(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """File or folder, or an address in a bucket."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AnyPath:  # noqa: ARG002
        """Parse ``data/`` or ``s3://bucket/data``."""
        return parse_path(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002
        """Let the shell complete a path."""
        return completed_path(incomplete)


def option(name: str, heading: str, text: str, *, short: str = "", parameter: str = "", **settings: Any) -> Decorator:
    """Option with a heading and a help text; perhaps a short name such as ``-o``, and another name in Python."""
    names = [*filter(None, (short, name, parameter)), *SYNONYMS.get(name, ())]
    if settings.get("is_flag"):
        names = [f"{each}/--no-{each[2:]}" if each.startswith("--") else each for each in names]
    kind = settings.get("type") or type(settings.get("default"))
    if kind in (int, float):
        settings.setdefault("metavar", metavar_of(kind, text))
    return click.option(*names, cls=Option, heading=heading, help=text, **settings)


def group(*decorators: Decorator) -> Decorator:
    """Decorators as one; the first option comes first in the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def metavar_of(kind: type, text: str) -> str:
    """Form of a value by its type, and by the unit that the help text names.

    Examples
    --------
    >>> metavar_of(float, "Width of the border in pixels."), metavar_of(int, "Random seed."), metavar_of(str, "Key.")
    ('PX', 'N', 'TEXT')
    """
    if kind in (int, float) and re.search(r"\bin pixels\b", text):
        return "PX"
    return {int: "N", float: "NUMBER"}.get(kind, "TEXT")


def choice(name: str, heading: str, text: str, choices: Sequence[Any], **settings: Any) -> Decorator:
    """Option for one of several values, which the help text lists if they are too long to stand beside the option."""
    metavar = f"[{'|'.join(map(str, choices))}]"
    if len(name) + len(metavar) >= SHORT:
        metavar, text = "NAME", f"{text} One of {', '.join(map(str, choices))}."
    settings.setdefault("show_default", settings.get("default") is not None)
    return option(name, heading, text, type=Choice(choices), metavar=metavar, **settings)


def workers(chosen: dict[str, Any]) -> Any:
    """Workers of the options in `running`, which are taken out of those that are given."""
    return segprep.Workers(chosen.pop("workers", None), chosen.pop("scheduler", None))


data: Decorator = click.argument("data", type=PathType())
store: Decorator = click.argument("store", type=PathType())


def split(default: str) -> Decorator:
    """Option for the splits, with the words for its default."""
    text = f"Shares, or a JSON or CSV file.  [default: {default}]"
    return option("--split", "Splits", text, metavar="TRAIN,VAL,TEST|FILE")


def _expect_json(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: ARG001 - as click calls it
    """Print JSON also if the command fails."""
    expect_json(value)
    return value


def _read_config(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Take the values of options that are not given from a file."""
    if path is not None and not ctx.resilient_parsing:
        ctx.meta[sources.CONFIG] = path
        ctx.default_map = sources.settings_in(path, ctx.command, COMMANDS)


def _show_tracebacks(_: click.Context, __: click.Parameter, is_on: bool) -> None:
    show_tracebacks(is_on=is_on)


config = option(
    "--config",
    "Running",
    "Read options that are not given from this TOML file, as sigma = 5 in its table [weights].",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_read_config,
)
running = group(
    config,
    option(
        "--workers",
        "Running",
        "Processes on this machine, as -j of make.  [default: one per core]",
        short="-j",
        type=int,
        metavar="N",
    ),
    option(
        "--scheduler",
        "Running",
        "Use the Dask cluster of this scheduler, a tcp:// or tls:// address or its file; local starts one on this machine.",
        metavar="ADDRESS|FILE|local",
    ),
)


def _set_output(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Apply one of the options of `verbosity`; StorageError for a log file that cannot be written."""
    if param.name == "log_file":
        if value is not None:
            log.write_to(value, print_step)
        return
    given = ctx.meta.setdefault("segprep.verbosity", {})  # not that of an earlier command of this process
    given[param.name] = value
    console.is_quiet, console.is_verbose = (given.get(name, False) for name in ("quiet", "verbose"))
    if console.is_quiet and console.is_verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")


def _output_option(name: str, text: str, **settings: Any) -> Decorator:
    """Option that is applied before the command begins, and not passed to it."""
    return option(name, "Output", text, expose_value=False, is_eager=True, callback=_set_output, **settings)


verbosity = group(
    _output_option(
        "--quiet",
        "Print no progress, no advice and no commands to run next; results, warnings and errors stay.",
        short="-q",
        is_flag=True,
    ),
    _output_option(
        "--verbose",
        "Print each step with the seconds since the start, what was chosen (format, workers, sizes), the time of each stage, "
        "and every problem.",
        short="-v",
        is_flag=True,
    ),
    _output_option(
        "--log-file",
        "Append all messages to this file, with times, steps, the version, the command, and tracebacks of errors.",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
    ),
)
output = group(
    option("--json", "Output", "Print JSON.", parameter="as_json", is_flag=True, is_eager=True, callback=_expect_json),
    verbosity,
    option(
        "--debug",
        "Running",
        "Show a traceback for an error.",
        is_flag=True,
        expose_value=False,
        callback=_show_tracebacks,
    ),
)
