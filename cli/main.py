"""Entry point: runs the command, and turns errors into one line and an exit code.

Exit codes: 0 success, 1 problems found by check or masks left out on request, 2 usage, 3 input unreadable, 4 output exists
with other settings or is locked, 5 integrity, 6 storage, 70 a bug in segprep, 130 interrupted, 143 terminated.

Modules that are slow to import are imported only after `run` has installed its signal handlers.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .failures import Failure

from .console import console

ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""Words for the signals that end a command; the exit code is 128 plus the number of the signal."""
NO_STATUS = frozenset({"-h", "--help", "--version", "-q", "--quiet"})
"""Words of a command line that is answered at once, or without a status."""
AGAIN_SECONDS = 0.05
"""Delay after which a lost signal is sent again: longer than the destruction of an object takes."""
_received: list[int] = []
"""Signals that `_end` has handled; the exit code is that of the first, also where what it raised was caught or dropped."""


class Terminated(KeyboardInterrupt):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run() -> None:
    """Run the command line and end the process."""
    _open_streams()
    console.begin()
    if len(sys.argv) > 1 and NO_STATUS.isdisjoint(sys.argv) and "_SEGPREP_COMPLETE" not in os.environ:
        console.show("starting")
    try:
        _run()
    finally:
        console.clear()
        from . import log  # noqa: PLC0415 - see the module

        log.stop()


def _run() -> None:
    """Run the command line with handlers of signals, and end the process."""
    hook = sys.unraisablehook
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy would start a thread per core, which get no work
    try:
        _install_handlers(_end)
        sys.unraisablehook = partial(_resend_lost_signal, hook)
        try:
            status = _status()
        finally:
            _install_handlers(_ignore)  # what is left takes no time
            sys.unraisablehook = hook
        if _received:  # the command has ended before the signal came again
            raise Terminated(_received[0])  # noqa: TRY301 - as any other error
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - any error becomes one line
        _explain(Terminated(_received[0]) if _received else error)
    sys.exit(status)


def _open_streams() -> None:
    """Open the standard streams that the parent process has closed; otherwise a file would take their place."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _status() -> int:
    """Exit code of the command, after running it; warnings of segprep are shown in one line, others as before."""
    from segprep.errors import SegprepWarning  # noqa: PLC0415 - see the module

    from . import log  # noqa: PLC0415
    from .commands import main  # noqa: PLC0415
    from .output import begin, print_step, print_warning  # noqa: PLC0415
    from .spelling import in_options  # noqa: PLC0415

    begin()
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, SegprepWarning):
            print_warning(in_options(str(message)))
        else:
            show_others(message, category, *where, **more)

    warnings.showwarning = show
    log.start(print_step)
    status = main.main(prog_name="segprep", standalone_mode=False)
    return status if isinstance(status, int) else 0


def _explain(error: BaseException) -> NoReturn:
    """Print an error in one line, and as a document if the command was to print JSON, and exit."""
    import click  # noqa: PLC0415 - see the module

    from .failures import failure_of, interruption  # noqa: PLC0415

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        number = error.number if isinstance(error, Terminated) else signal.SIGINT
        _fail(interruption(error, number, ENDINGS[signal.Signals(number)]))
    _fail(failure_of(error))


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - how a handler is called
    """Raise `Terminated`, once: further signals do not disturb the cleanup."""
    _install_handlers(_ignore)
    _received.append(number)
    raise Terminated(number)


def _resend_lost_signal(drop: Callable[[Any], object], dropped: Any) -> None:
    """Send a signal again that arrived while an object was destroyed: Python drops what is raised there."""
    if not isinstance(dropped.exc_value, Terminated):
        drop(dropped)
        return
    _install_handlers(_end)
    threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), dropped.exc_value.number)).start()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike ``SIG_IGN``, which the processes that this one starts would inherit."""


def _install_handlers(handler: Callable[[int, FrameType | None], None]) -> None:
    """Install a handler for the signals that end a command, except those that the parent ignores, as nohup does."""
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _fail(failure: "Failure") -> NoReturn:
    """Print an error and exit; with --debug, print the traceback before."""
    from segprep.errors import StorageError  # noqa: PLC0415 - see the module

    from . import log  # noqa: PLC0415
    from .documents import as_document  # noqa: PLC0415
    from .output import print_details, print_message, print_result, shows_tracebacks, wants_document  # noqa: PLC0415

    log.traceback()
    if "--debug" in sys.argv or shows_tracebacks():
        import traceback  # noqa: PLC0415

        print_details(traceback.format_exc().splitlines())
    for line in failure.lines:
        print_message(line)
    log.info(f"exit code {failure.exit_code}")
    if wants_document():
        with suppress(StorageError):  # the exit code says it
            print_result(as_document("error", failure))
    sys.exit(failure.exit_code)
