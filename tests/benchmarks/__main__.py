"""All performance figures, as ratios to named alternatives: ``python -m tests.benchmarks [NAME ...] [--large]``."""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGES = ("segprep", "numpy", "numba", "scipy", "opencv-python-headless", "pillow", "zarr", "tensorstore", "msgspec")


def machine():
    """Processor, cores, and versions."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{model}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, {versions}"


def main():
    """Measure the parts that are named, or all, and print their tables as they are done."""
    sys.path = [str(TESTS), *sys.path[1:], sys.path[0]]  # as pytest does; the installed segprep before this folder's
    from benchmarks.measure import tables  # noqa: PLC0415
    from benchmarks.parts import PARTS, measured  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"parts to measure: {', '.join(PARTS)}; default: all")
    parser.add_argument("--data", type=Path, help="folder of real data")
    parser.set_defaults(data=Path(os.environ.get("SEGPREP_TEST_DATA", "no data")))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a JSON file")
    parser.add_argument("--large", action="store_true", help="also measure what takes minutes")
    options = parser.parse_args()
    if unknown := set(options.names).difference(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    dsb2018 = options.data / "dsb2018" / "stage1_train"

    print(machine())
    print("If only the first column has a unit, the others are multiples of it, and less is better.")
    everything = []
    for name in options.names or PARTS:
        figures, reasons = [], []
        for each in measured(name, dsb2018, is_large=options.large):
            (reasons if isinstance(each, str) else figures).append(each)
            print(f"{name}: {len(figures)} rows", end="\r", file=sys.stderr)
        print(*tables(figures), *(f"\n{reason}" for reason in reasons), sep="\n", flush=True)
        everything += figures
    if options.json:
        document = {"machine": machine(), "comparisons": [each._asdict() for each in everything]}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
