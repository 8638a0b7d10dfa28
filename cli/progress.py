"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from .output import print_message

LINE_SECONDS = 10
"""Between two lines where there is no terminal."""


class ProgressBar:
    """Callable that `segprep.runs.preprocess` tells how far it is; use it in a ``with`` statement."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""
        self._said = time.monotonic()

    def __call__(self, stage: str, done: int, masks: int) -> None:
        """Show that `done` of all `masks` have passed `stage`."""
        if sys.stderr is not None and sys.stderr.isatty():
            self._draw(stage, done, masks)
        elif done == masks or time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            print_message(f"{stage} {done}/{masks} masks")

    def _draw(self, stage: str, done: int, masks: int) -> None:
        """Move the bar of this stage, or begin it."""
        if stage != self._stage or self._bar is None:
            self._close()
            self._stage = stage
            self._bar = tqdm(total=masks, desc=stage, unit="mask", dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
