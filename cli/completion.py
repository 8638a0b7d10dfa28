"""`segprep completion`: completion of commands, options, values and paths in a shell."""

import click

from segprep.errors import OptionError

from . import options
from .documents import as_document
from .output import print_result

VARIABLE = "_SEGPREP_COMPLETE"
"""Variable by which the script of a shell asks for completions."""
INSTALL = {
    "bash": '~/.bashrc: eval "$(segprep completion bash)"',
    "zsh": '~/.zshrc, after compinit: eval "$(segprep completion zsh)"',
    "fish": "~/.config/fish/config.fish: segprep completion fish | source",
}
"""Line that installs the script, and where, for each shell."""


@click.command(cls=options.Command)
@click.argument("shell", type=options.Choice(list(INSTALL)), metavar="bash|zsh|fish")
@options.output
def completion(shell: str, as_json: bool = False) -> None:
    """Print a script that completes commands, options, values and paths in a shell.

    Add a line to the file that your shell reads when it starts:

    \b
    bash, in ~/.bashrc:
      eval "$(segprep completion bash)"

    \b
    zsh, in ~/.zshrc after compinit:
      eval "$(segprep completion zsh)"

    \b
    fish, in ~/.config/fish/config.fish:
      segprep completion fish | source
    """  # noqa: D301 - a backspace keeps the lines, as click has it
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415

    from .commands import main  # noqa: PLC0415
    from .contents import Completion  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise OptionError(f"shell={shell!r}: not known to this version of click")
    script = ShellComplete.source(kind(main, {}, "segprep", VARIABLE))  # that of bash runs bash to ask for its version
    script = f"# Add to {INSTALL[shell]}\n{script.strip()}"
    print_result(as_document("completion", Completion(shell, script)) if as_json else script)
