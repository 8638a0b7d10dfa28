"""`segprep completion`: completion of commands, options, values and paths in a shell."""

import click

from segprep.errors import OptionError

from . import options
from .output import print_result

VARIABLE = "_SEGPREP_COMPLETE"
"""Variable by which the script of a shell asks for completions."""
INSTALL = {
    "bash": "Install: segprep completion bash > ~/.segprep.bash; then add to ~/.bashrc: . ~/.segprep.bash",
    "zsh": "Install: segprep completion zsh > ~/.segprep.zsh; then add to ~/.zshrc, after compinit: . ~/.segprep.zsh",
    "fish": "Install: segprep completion fish > ~/.config/fish/completions/segprep.fish",
}


@click.command(cls=options.Command)
@click.argument("shell", type=options.Choice(list(INSTALL)), metavar="bash|zsh|fish")
@options.output
def completion(shell: str, as_json: bool = False) -> None:
    """Print a script that completes commands, options, values and paths in a shell.

    \b
    bash:
      segprep completion bash > ~/.segprep.bash
      in ~/.bashrc: . ~/.segprep.bash

    \b
    zsh:
      segprep completion zsh > ~/.segprep.zsh
      in ~/.zshrc, after compinit:
      . ~/.segprep.zsh

    \b
    fish:
      cd ~/.config/fish/completions
      segprep completion fish > segprep.fish
    """  # noqa: D301 - a backspace keeps the lines, as click has it
    from click.shell_completion import ShellComplete, get_completion_class  # noqa: PLC0415

    from . import render  # noqa: PLC0415
    from .commands import main  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise OptionError(f"shell={shell!r}: not known to this version of click")
    script = ShellComplete.source(kind(main, {}, "segprep", VARIABLE))  # that of bash runs bash to ask for its version
    script = f"# {INSTALL[shell]}\n{script.strip()}"
    print_result(render.as_json({"shell": shell, "script": script}) if as_json else script)
