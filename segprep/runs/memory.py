"""Memory that the jobs of a run need, against what this machine has left: known before the first pixel is written."""

import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from heapq import nlargest
from pathlib import Path
from typing import NamedTuple

from segprep.errors import SegprepWarning
from segprep.masks.stats import MaskStats

_NUMBERS = 4
"""Bytes per pixel of a plane, of labels and of stuff."""
_BESIDE = {"labels": 4, "classes": 2, "border": 7, "boundaries": 10, "weights": 9, "distance": 10}
"""Bytes per pixel with which a target is computed, beside its mask. Only the largest counts: one follows the other."""
_OWN = 16
"""The same of a target that is not part of segprep."""
_DOWNSAMPLED = 7.5
"""Bytes per pixel of the file with which a mask is decoded, or its runs are found, before it is downsampled."""
_ENCODED = 1.5
"""Bytes per pixel of the runs of the mask, and of compressed arrays that wait to be written."""


class JobMemory(NamedTuple):
    """Bytes that a job needs for the largest of its masks."""

    needed: int
    key: str
    shape: tuple[int, int]


def bytes_of(
    mask: MaskStats, targets: Sequence[str], *, is_separated: bool = False, block: int = 1, part: int | None = None
) -> int:
    """Peak bytes with which a mask is loaded and the targets of these names are computed, beside those of an idle worker.

    Each pixel of the mask is made of a block of `block` x `block` pixels of the file. Targets are computed from as many
    pixels of the mask at a time as `part` says, by default from all.

    See docs/performance.md for the measurements.

    Examples
    --------
    >>> import numpy as np
    >>> from segprep.masks.mask import InstanceMask
    >>> from segprep.masks.stats import mask_stats
    >>> labels = np.zeros((1, 1000, 1000), np.int32)
    >>> bytes_of(mask_stats(InstanceMask(labels, np.zeros(1, np.int32)), 2), ["weights", "distance"])
    15500000
    """
    planes = 1 + int(mask.instances["plane"].max(initial=0))
    fields = planes * (2 if is_separated else 1) + (planes > 1)  # instances in front are a plane more
    has_stuff = bool((mask.class_pixels[1:] > 0)[mask.class_instances[1:] == 0].any())
    fields += has_stuff
    beside = max((_BESIDE.get(name, _OWN) for name in targets), default=_NUMBERS)
    held = _NUMBERS * fields + (mask.ignored > 0) + _ENCODED
    pixels, of_part = math.prod(mask.shape), 0.0
    if part is not None:
        of_part, beside = part * (held + beside) - pixels * _NUMBERS, _NUMBERS
    needed = held + beside
    if block > 1:  # the arrays of the file are gone before the targets are computed
        loaded = _NUMBERS * (planes + (planes > 1) + 2 * has_stuff) + _DOWNSAMPLED + 7 * (mask.ignored > 0)
        needed = max(needed, block**2 * loaded)
    return int(pixels * needed + max(0.0, of_part))


def warn_if_too_large(where: object, jobs: Sequence[JobMemory], workers: int, there_is: int | None) -> None:
    """Warn if the largest jobs, one for each worker, are likely to need more memory than there is; None if unknown."""
    largest = nlargest(workers, jobs)
    if there_is is None or sum(job.needed for job in largest) <= there_is:
        return
    fitting = next(
        count for count in range(len(largest) - 1, -1, -1) if sum(j.needed for j in largest[:count]) <= there_is
    )
    total, (height, width) = sum(job.needed for job in largest), largest[0].shape
    by = f"{len(largest)} workers" if len(largest) > 1 else "a worker"
    remedy = (
        f"use workers={fitting}" if fitting else "free memory, give fewer targets at a time, or use a larger machine"
    )
    warnings.warn(
        f"{where}: {by} may need {amount(total)} of memory for masks up to {height} x {width} pixels "
        f"(largest: {largest[0].key}), and {amount(there_is)} are available; {remedy}",
        SegprepWarning,
        stacklevel=4,
    )


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still get, from /proc and the control groups of Linux; None if unknown, as elsewhere."""
    return min((*_left_on_machine(root), *_left_in_groups(root)), default=None)


def resident() -> int:
    """Bytes of memory that this process has now; where the system does not tell, the most that it has had."""
    for line in text_of(Path("/proc/self/status")).splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    import resource  # noqa: PLC0415 - not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _left_on_machine(root: Path) -> Iterator[int]:
    for line in text_of(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _left_in_groups(root: Path) -> Iterator[int]:
    """Bytes that are left below the limit of each control group in which this process is."""
    for folder, limit in group_limits(root):
        used = "".join(text_of(folder / file).strip() for file in ("memory.current", "memory.usage_in_bytes"))
        if used.isdecimal():
            yield max(0, limit - int(used) + _reclaimable(folder))


def group_limits(root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """Each control group of this process that limits memory, and its limit in bytes."""
    for folder in control_groups("memory", root):
        limit = "".join(text_of(folder / file).strip() for file in ("memory.max", "memory.limit_in_bytes"))
        if limit.isdecimal():
            yield folder, int(limit)


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Folders of the control groups, of version 1 or 2, in which this process is: the limits of all of them count."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = base / name.lstrip("/")
        for folder in (group, *group.parents):  # a container may see only the last
            yield folder
            if folder == base:
                break


def _reclaimable(group: Path) -> int:
    """Bytes of cached files that the system drops when memory is needed."""
    entries = dict(line.split() for line in text_of(group / "memory.stat").splitlines())
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def text_of(file: Path) -> str:
    """Content of a file of the system; empty if there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def amount(size: int) -> str:
    """Bytes in words.

    >>> amount(5 * 2**29), amount(3 * 2**20)
    ('2.5 GiB', '3.0 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
