"""Cores and memory of this machine, and what of them this process may use."""

import os
from pathlib import Path

import msgspec

from segprep.runs.memory import available, control_groups, group_limits, text_of
from segprep.workers.jobs import core_count


class Cores(msgspec.Struct, frozen=True):
    """Cores of the machine, those on which this process may run, and the limit of its control groups, None without one."""

    machine: int
    usable: int
    limit: float | None


class Memory(msgspec.Struct, frozen=True):
    """Memory of the machine, what is left for this process, and the limit of its control groups, in bytes; None if unknown."""

    machine: int | None
    available: int | None
    limit: int | None


def cores(root: Path = Path("/")) -> Cores:
    """Cores that there are, and limits."""
    quotas = [quota for folder in control_groups("cpu", root) if (quota := _quota(folder)) is not None]
    return Cores(os.cpu_count() or 1, core_count(), min(quotas, default=None))


def _quota(group: Path) -> float | None:
    """Cores whose time a control group may use."""
    words = text_of(group / "cpu.max").split() or [
        word for file in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in text_of(group / file).split()
    ]
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(map(str.isdecimal, words)) else None  # noqa: PLR2004


def memory(root: Path = Path("/")) -> Memory:
    """Memory that there is, and limits."""
    lines = [line.split() for line in text_of(root / "proc/meminfo").splitlines()]
    machine = next((1024 * int(words[1]) for words in lines if words[0] == "MemTotal:"), None)
    limits = [limit for _, limit in group_limits(root) if machine is None or limit < machine]
    return Memory(machine, available(root), min(limits, default=None))
