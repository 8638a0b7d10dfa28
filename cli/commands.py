"""Group of all commands; the module of a command is imported when it is run or when its help is shown."""

from importlib import import_module

import click

from .help import WIDEST, Context

COMMANDS = {
    "demo": "Write drawn images of cells and their masks to DIR, to try segprep without data.",
    "weights": "Write U-Net weights, distances and other maps of all masks in DATA to STORE.",
    "check": "Report problems in DATA without writing anything.",
    "preview": "Write a page of HTML, or a PNG, that shows masks and targets of a store or data set.",
    "info": "Summarise STORE: masks, classes, splits, targets.",
    "verify": "Check that STORE is complete and undamaged; --repair rewrites what is not.",
    "classes": "Print the class weights of STORE for a loss.",
    "split": "Change the train/val/test split of STORE.",
    "evaluate": "Compare the instances in PREDICTIONS with those in TRUTH.",
    "completion": "Print a script that completes commands, options, values and paths in a shell.",
    "formats": "List the formats and layouts of DATA that are read.",
    "schema": "Print the JSON Schema of what a command prints with --json.",
    "doctor": "Check the installation and this machine; print versions, cores, memory and caches.",
}
"""First line of each command's help."""


class LazyGroup(click.Group):
    """Group of the commands in `COMMANDS`."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Command of this name, from the module of the same name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{cmd_name}", __package__), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST})
@click.version_option(package_name="segprep", prog_name="segprep")
def main() -> None:
    """Precompute ground truth for segmentation networks.

    Options may also come from variables, as SEGPREP_WEIGHTS_SIGMA=3, and from a file by --config: docs/command-line.md.
    """
