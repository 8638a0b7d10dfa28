"""Profiles of runs in one process: ``profiles.py DATA`` prints one as JSON, also with another version of segprep."""

import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ITEMS = 5
IMAGES = 300
"""COCO-like images that are profiled, and 48 of DSB 2018."""
OLD = "SEGPREP_OLD_PYTHON"
"""Environment variable with the Python of an installation of an older segprep, to compare with."""


def profile_of(data):
    """CPU seconds of a run without the profiler, and the functions or packages that take most time, with their shares."""
    import segprep  # noqa: PLC0415 - that of the process

    alone = segprep.Workers(processes=1)
    with tempfile.TemporaryDirectory() as folder:
        segprep.preprocess(data, Path(folder) / "compile.zarr", workers=alone)
        start = time.process_time()
        segprep.preprocess(data, Path(folder) / "run.zarr", workers=alone)
        seconds = time.process_time() - start
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        segprep.preprocess(data, Path(folder) / "profile.zarr", workers=alone)
        profile.disable()
    shares = Counter()
    for function, row in pstats.Stats(profile).stats.items():
        shares[_name(*function)] += row[2]
    everything = sum(shares.values())
    return {"seconds": seconds, "items": [(name, 100 * part / everything) for name, part in shares.most_common(ITEMS)]}


def _name(file, _line, function):
    """Short name of a function, or of its package if that is another than segprep."""
    if file == "~":
        return function.strip("<>").removeprefix("built-in method ").removeprefix("method ")
    parts = Path(file).parts
    if "segprep" in parts:
        return f"{Path(file).stem}.{function}"
    return parts[parts.index("site-packages") + 1] if "site-packages" in parts else Path(file).stem


def profiles(settings) -> Iterator:
    """CPU time of an image, and the five functions that take most of it."""
    from benchmarks.made import write_coco  # noqa: PLC0415 - not in the process that is profiled
    from benchmarks.measure import Figures  # noqa: PLC0415

    data = {f"{IMAGES} COCO-like": (write_coco(settings.folder / "profile.json", IMAGES), IMAGES)}
    if settings.dsb2018.is_dir():
        data["48 of DSB 2018"] = settings.dsb2018, 48
    pythons = {"before": os.environ.get(OLD), "now": sys.executable}
    for case, (path, images) in data.items():
        for when, python in pythons.items():
            if python is None:
                continue
            ended = subprocess.run(
                [python, __file__, path], capture_output=True, text=True, check=True, cwd=settings.folder
            )
            found = json.loads(ended.stdout.splitlines()[-1])
            items = {
                f"{number}.": f"{name} {share:.0f} %" for number, (name, share) in enumerate(found["items"], start=1)
            }
            cpu = {"CPU of an image": f"{1000 * found['seconds'] / images:.1f} ms"}
            yield Figures("profile: own time of functions", f"{case}, {when}", cpu | items)


if __name__ == "__main__":
    print(json.dumps(profile_of(sys.argv[1])))
