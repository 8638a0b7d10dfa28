"""Progress of a run: a bar on a terminal, elsewhere a line from time to time."""

import sys
import time
from typing import Self

from tqdm import tqdm

from .output import print_message

LINE_SECONDS = 10
"""Least time between two lines."""


class ProgressBar:
    """Progress on stderr, for the parameter `progress` of the library; use it in a ``with`` statement."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self.stages: list[str] = []
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, masks: int) -> None:
        """Show that a stage of the run is done with some of the masks."""
        is_new = stage not in self.stages
        if is_new:
            self.stages.append(stage)
        if sys.stderr is not None and sys.stderr.isatty():
            if is_new or self._bar is None:
                self._close()
                self._bar = tqdm(total=masks, desc=stage, unit="mask", dynamic_ncols=True)
            self._bar.update(done - self._bar.n)
        elif done == masks or time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            print_message(f"{stage} {done}/{masks} masks")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
