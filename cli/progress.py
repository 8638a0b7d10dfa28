"""Progress of a run: a bar on a terminal, elsewhere a line from time to time."""

import sys
import time
from dataclasses import dataclass
from typing import Self

from tqdm.std import tqdm

from . import log
from .console import console
from .output import print_advice, print_progress, print_step

NAMES = {"scan": "read", "compare": "compute", "evaluate": "compare"}
"""Stages that a user knows by another name."""
WIDE, NARROW = 100, 60
"""Columns from which a bar has a rate, and below which it has no counts."""


@dataclass
class Stage:
    """Stage of a run: its name, what was done when it began, and what is done now."""

    name: str
    masks: int
    before: int
    done: int = 0
    started: float = 0
    seconds: float = 0
    drawn: float = 0
    is_second: bool = False

    @property
    def title(self) -> str:
        """Name for users."""
        return NAMES.get(self.name, self.name) + " again" * self.is_second


class ProgressBar:
    """Progress on stderr, for the parameter `progress` of the library; use it in a ``with`` statement.

    With the name of a `store`, a line says what an interrupted run of it had done.
    """

    def __init__(self, store: str | None = None) -> None:
        self.stages: list[Stage] = []
        self._store = store
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, masks: int) -> None:
        """Show that a stage of the run is done with some of the masks."""
        current = self.stages[-1] if self.stages else None
        if current is None or current.name != stage or done < current.done:
            self._end()
            is_second = self.has(stage) and stage != "scan"  # of which `evaluate` has one for each data set
            current = Stage(stage, masks, before=done, started=time.monotonic(), is_second=is_second)
            self.stages.append(current)
            self._say_continued(current)
        elif current.done == masks:
            return
        now = time.monotonic()
        current.done, current.seconds = done, now - current.started
        if console.is_terminal() and (now - current.drawn >= log.STATUS_SECONDS or done == masks):
            current.drawn = now
            is_ascii = not (sys.stderr.encoding or "").lower().startswith("utf")
            console.show(bar(current, console.columns() - 1, is_ascii=is_ascii))
            if done == masks:
                console.keep()
        if done == masks or now - self._last >= log.LINE_SECONDS:
            self._last = now
            print_progress(_line(current))

    def has(self, stage: str) -> bool:
        """True if the run had this stage."""
        return any(run.name == stage for run in self.stages)

    def written(self) -> Stage | None:
        """The stage that wrote a store."""
        return next((run for run in reversed(self.stages) if run.name == "write"), None)

    def _say_continued(self, stage: Stage) -> None:
        """Say what an interrupted run had done, once: masks that it had written, or only read."""
        words = {"scan": "read", "write": "done"}
        is_read = stage.name == "scan" and stage.before == stage.masks  # the writing will say more
        if self._store is None or not stage.before or stage.name not in words or is_read:
            return
        done = words[stage.name]
        print_advice(f"continuing {self._store}: {stage.before:,} of {stage.masks:,} masks were {done}")
        self._store = None

    def _end(self) -> None:
        """Leave the bar of a stage on the screen that has not reached its end."""
        if self.stages and self.stages[-1].done < self.stages[-1].masks:
            console.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()
        stages = "".join(f"{stage.title} {stage.seconds:.1f} s, " for stage in self.stages)
        log.info(times := f"{stages}all {console.seconds:.1f} s")
        if console.is_verbose:
            print_step(times)


def bar(stage: Stage, columns: int, *, is_ascii: bool = False) -> str:
    """Bar of a stage, with the fields for which there is room.

    Examples
    --------
    >>> bar(Stage("write", masks=480, before=0, done=120, seconds=5), 40, is_ascii=True)
    'write  25% |####            | 00:15 left'
    """
    fields = [_counts(stage), _time(stage), _rate(stage)]
    if columns < NARROW - 1:
        fields = fields[1:2]
    elif columns < WIDE - 1:
        fields = fields[:2]
    meter: str = tqdm.format_meter(
        stage.done,
        stage.masks,
        stage.seconds,
        ncols=columns,
        ascii=is_ascii,
        bar_format=f"{stage.title:<5}{{percentage:4.0f}}% |{{bar}}| {', '.join(filter(None, fields))}",
    )
    return meter.rstrip()


def _line(stage: Stage) -> str:
    """Line of progress, with the time that is left."""
    time_left = "" if stage.done == stage.masks else _time(stage)
    return f"{stage.title} {_counts(stage)}" + f", {time_left}" * bool(time_left)


def _counts(stage: Stage) -> str:
    return f"{stage.done}/{stage.masks} masks"


def _time(stage: Stage) -> str:
    """Time that is left, as far as it is known, or that a finished stage took."""
    if stage.done == stage.masks:
        return f"in {tqdm.format_interval(stage.seconds)}"
    new = stage.done - stage.before
    return f"{tqdm.format_interval(stage.seconds * (stage.masks - stage.done) / new)} left" if new else ""


def _rate(stage: Stage) -> str:
    new = stage.done - stage.before
    if not (new and stage.seconds):
        return ""
    rate = new / stage.seconds
    return f"{rate:,.0f} masks/s" if rate >= 10 else f"{rate:.2g} masks/s"  # noqa: PLR2004 - as many digits as are of use
