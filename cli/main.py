"""Entry point: finds the command, and turns errors into one line and an exit code.

Exit codes: 0 fine, 1 findings of check or masks left out on request, 2 usage, 3 input unreadable, 4 output exists with other
settings, 5 integrity fault, 6 storage error, 70 a bug in segprep, 130 interrupted, 143 terminated.

It imports nothing that takes time before `run` has taken charge of signals.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType

BUG = 70
ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What a signal that asks for the end has done; the exit code is 128 and its number."""


class Ended(KeyboardInterrupt):
    """A signal has asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run() -> None:
    """Run the command line and end the process."""
    try:
        _take_signals(_end)
        _run()
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Ended) else signal.SIGINT
        _fail(f"{ENDINGS[signal.Signals(number)]}; the same command again goes on", 128 + number)


def _run() -> None:
    """As `run`, but for signals."""
    import click  # noqa: PLC0415 - see the module

    from segprep.errors import SegprepError  # noqa: PLC0415

    from .commands import main  # noqa: PLC0415

    try:
        try:
            status = main.main(standalone_mode=False)
        except click.Abort as error:  # click raises it for a signal
            raise error.__cause__ or KeyboardInterrupt from None
        finally:
            _take_signals(_ignore)  # all is done: what is left takes no time
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(f"{error.format_message()} (--help shows what there is)", error.exit_code)
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
    _take_signals(_ignore)
    raise Ended(number)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing, in this process alone: others that it starts would inherit that a signal is ignored by the system."""


def _take_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let signals that ask for the end call this, unless whoever started this process has them ignored, as nohup does."""
    for each in ENDINGS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)


def _fail(message: str, status: int) -> None:
    """Say what went wrong and end; with --debug, show where."""
    import click  # noqa: PLC0415 - see the module

    if "--debug" in sys.argv:
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    click.echo(f"segprep: {' '.join(message.split())}", err=True)
    sys.exit(status)
