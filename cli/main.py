"""Entry point: finds the command, and turns errors into one line and an exit code.

Exit codes: 0 fine, 1 findings of check or masks left out on request, 2 usage, 3 input unreadable, 4 output exists with other
settings, 5 integrity problem, 6 storage error, 70 a bug in segprep, 130 interrupted, 143 terminated.

It imports nothing that takes time before `run` has taken charge of signals.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""What a signal that asks for the end has done; the exit code is 128 and its number."""
AGAIN_SECONDS = 0.05
"""How long it takes at most until an object is destroyed."""


class Terminated(KeyboardInterrupt):
    """A signal has asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run() -> None:
    """Run the command line and end the process."""
    hook = sys.unraisablehook
    _open_streams()
    try:
        _install_handlers(_end)
        sys.unraisablehook = partial(_resend_lost_signal, hook)
        try:
            status = _status()
        finally:
            _install_handlers(_ignore)  # all is done: what is left takes no time
            sys.unraisablehook = hook
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user is told in one line
        _explain(_root_cause(error))
    sys.exit(status)


def _open_streams() -> None:
    """Open those of the three streams that whoever started this process has closed: a file would come in their place."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _status() -> int:
    """Exit code of the command, once it has ended."""
    from .commands import main  # noqa: PLC0415 - see the module

    warnings.showwarning = _warner(warnings.showwarning)
    status = main.main(standalone_mode=False)
    return status if isinstance(status, int) else 0


def _root_cause(error: BaseException) -> BaseException:
    """What an error comes of: a signal, whatever has been made of it on its way; otherwise the error itself."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, Terminated):
        found = found.__cause__ or found.__context__
    return found or error


def _explain(error: BaseException) -> NoReturn:
    """Say in one line what went wrong, and end."""
    import click  # noqa: PLC0415 - see the module

    from segprep.errors import IS_A_BUG, JobError, SegprepError  # noqa: PLC0415

    from .output import print_message  # noqa: PLC0415

    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        number = error.number if isinstance(error, Terminated) else signal.SIGINT
        _fail(f"{ENDINGS[signal.Signals(number)]}; the same command again goes on", 128 + number)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, click.ClickException):
        _fail(f"{error.format_message()} (--help shows what there is)", error.exit_code)
    if isinstance(error, SegprepError):
        *others, last = getattr(error, "messages", (str(error),))
        for line in others:
            print_message(line)
        _fail(last, error.exit_code)
    _fail(f"{type(error).__name__}: {error}: {IS_A_BUG}", JobError.exit_code)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - how a handler is called
    """Raise `Terminated`, once: further signals do not disturb the tidying up."""
    _install_handlers(_ignore)
    raise Terminated(number)


def _resend_lost_signal(drop: Callable[[Any], object], dropped: Any) -> None:
    """Send a signal again that came while an object was destroyed: what is raised there goes nowhere."""
    if not isinstance(dropped.exc_value, Terminated):
        drop(dropped)
        return
    _install_handlers(_end)
    threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), dropped.exc_value.number)).start()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing, in this process alone: others that it starts would inherit that a signal is ignored by the system."""


def _install_handlers(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let signals that ask for the end call this, unless whoever started this process has them ignored, as nohup does."""
    for each in ENDINGS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, handler)


def _warner(others: Callable[..., None]) -> Callable[..., None]:
    """How warnings are shown: ours in one line, others as before."""
    from segprep.errors import SegprepWarning  # noqa: PLC0415

    from .output import print_message  # noqa: PLC0415

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, SegprepWarning):
            print_message(f"warning: {message}")
        else:
            others(message, category, *where)

    return show


def _fail(message: str, status: int) -> NoReturn:
    """Say what went wrong and end; with --debug, show where."""
    from .output import print_message  # noqa: PLC0415 - see the module

    if "--debug" in sys.argv:
        import traceback  # noqa: PLC0415

        traceback.print_exc()
    print_message(" ".join(message.split()))
    sys.exit(status)
