"""Entry point: finds the command, and turns errors into one line and an exit code.

Exit codes: 0 fine, 1 findings of check or masks left out on request, 2 usage, 3 input unreadable, 4 output exists with other
settings, 5 integrity fault, 6 storage error, 70 a bug in segprep, 130 interrupted, 143 terminated.
"""

import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from segprep import __version__
from segprep.errors import SegprepError, SegprepWarning

from . import check, classes, info, split, verify, weights

BUG = 70
ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What a signal that asks for the end has done; the exit code is 128 and its number."""


class Ended(KeyboardInterrupt):
    """A signal has asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="segprep")
def main() -> None:
    """Precompute ground truth for segmentation networks.

    \b
    segprep weights DATA STORE    U-Net weights, labels and classes of all masks in DATA
    segprep check DATA            all that is wrong with DATA, in one pass
    segprep info STORE            what is in it
    segprep verify STORE          whether it is whole; repairs it
    segprep classes STORE         class weights for a loss
    segprep split STORE           other train, val and test splits
    """  # noqa: D301 - click takes a real backspace for "keep these lines"


main.add_command(weights.weights)
main.add_command(check.check)
main.add_command(info.info)
main.add_command(verify.verify)
main.add_command(classes.classes)
main.add_command(split.split)


def run() -> None:
    """Run the command line and end the process."""
    for each in ENDINGS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # as under nohup
            signal.signal(each, _end)
    warnings.showwarning = _warner(warnings.showwarning)
    try:
        status = main.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(f"{error.format_message()} (--help shows what there is)", error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:  # click raises the one from the other
        ended = error if isinstance(error, Ended) else error.__cause__
        number = ended.number if isinstance(ended, Ended) else signal.SIGINT
        _fail(f"{ENDINGS[signal.Signals(number)]}; the same command again goes on", 128 + number)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except SegprepError as error:
        for line in getattr(error, "messages", ())[:-1]:
            click.echo(f"segprep: {line}", err=True)
        _fail(getattr(error, "messages", (str(error),))[-1], error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user is told in one line
        _fail(f"{type(error).__name__}: {error}: this is a bug in segprep; --debug shows where", BUG)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - how a handler is called
    """Raise `Ended`, once: further signals do not disturb the tidying up."""
    for each in ENDINGS:
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)


def _warner(others: Callable[..., None]) -> Callable[..., None]:
    """How warnings are shown: ours in one line, others as before."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, SegprepWarning):
            click.echo(f"segprep: warning: {message}", err=True)
        else:
            others(message, category, *where)

    return show


def _fail(message: str, status: int) -> None:
    """Say what went wrong and end; with --debug, show where."""
    if "--debug" in sys.argv:
        traceback.print_exc()
    click.echo(f"segprep: {' '.join(message.split())}", err=True)
    sys.exit(status)
