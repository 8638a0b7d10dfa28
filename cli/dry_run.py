"""Text of `segprep weights --dry-run`."""

from segprep.errors import some
from segprep.runs.estimate import Estimate

from .render import counted, duration, megabytes

COMPILED = 0.5
"""Seconds of compilation from which on they are shown: less is the loading of what is kept."""
STATUS = {
    "new": "new",
    "continued": "exists, and lacks some of it",
    "replaced": "exists, and what differs is replaced",
    "up to date": "is up to date, nothing to do",
}


def estimate_text(found: Estimate) -> str:
    """Lines of an estimate, each with a name in front."""
    left_out = f", {found.left_out:,} more left out" * bool(found.left_out)
    canvases = sorted(found.canvases.items(), key=lambda item: -item[1])
    lines = {
        "data": f"{found.source}: {found.format}: {counted(found.masks, 'mask')}{left_out}",
        "store": f"{found.store}: {STATUS[found.status]}; {found.done:,} of {counted(found.masks, 'mask')} done",
        "canvas": some([f"{name} ({count:,})" for name, count in canvases]),
        "target": f"{'type':<8}{'shards':>10}{'to write':>12}{'size':>14}",
        **{
            f"  {target.name}": f"{target.dtype:<8}{target.shards:>10,}{target.shards_to_write:>12,}"
            f"{megabytes(target.bytes):>14}"
            for target in found.targets
        },
        "  tables": f"{megabytes(found.other_bytes):>44}",
        "size": f"{megabytes(found.bytes)} in {counted(found.objects, 'file')}, {megabytes(found.bytes_to_write)} to write",
        "memory": f"{megabytes(found.memory)} in the largest process, {megabytes(found.memory_of_all)} in all",
        "time": f"{duration(found.seconds)} with {counted(found.processes, 'worker')}, {duration(found.cpu_seconds)} of CPU"
        f"{_compiled(found)}",
        "sample": _sample(found),
    }
    width = max(map(len, lines)) + 2
    return "\n".join(f"{name:<{width}}{line}" for name, line in lines.items())


def _compiled(found: Estimate) -> str:
    """Time of compilation, if there was any."""
    is_long = found.compile_seconds >= COMPILED
    return f"; kernels were compiled now, once, in {duration(found.compile_seconds)}" * is_long


def _sample(found: Estimate) -> str:
    """How many masks the estimate rests on."""
    if found.is_sample:
        return f"estimated from {found.sampled:,} of {counted(found.masks, 'mask')}; nothing was written"
    return "counts and sizes are exact; nothing was written"
