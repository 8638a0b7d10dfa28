"""Write a store with the oldest supported zarr-python and with the newest; the two stores must be byte-identical.

Usage: ``python tests/endurance/zarr_versions.py [PYTHON]``

PYTHON
    Python 3.12 or newer, which the newest zarr needs (default: the newest that is installed).

Makes a virtual environment for each version with pip, so it needs a package index. Each store must also be read with the other
version: by segprep, by ``segprep verify --deep``, and by zarr alone. Exits with 1 if not.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import files, write_data

REPOSITORY = Path(__file__).parents[2]
OLDEST = "zarr==3.1.6"
NEWEST = "zarr"
PYTHONS = ("python3.14", "python3.13", "python3.12")
READ = """
import hashlib, json, numpy, segprep, sys, zarr

dataset = segprep.open(sys.argv[1])
masks, arrays = hashlib.sha256(), hashlib.sha256()
for index in range(len(dataset)):
    for name, value in sorted(dataset[index].items()):
        array = numpy.asarray(value)
        masks.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
for name, array in sorted(zarr.open_group(sys.argv[1], mode="r").members(max_depth=None)):
    if isinstance(array, zarr.Array):
        arrays.update(f"{name} {array.dtype} {array.shape}".encode() + array[:].tobytes())
print(json.dumps([masks.hexdigest(), arrays.hexdigest()]))
"""
"""Prints digests of the arrays of a store, read by segprep and by zarr alone."""


def output(*words):
    """Standard output of a command."""
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(map(str, words))}: {ended.stdout}{ended.stderr}"
    return ended.stdout.strip()


def python():
    """A Python for both environments."""
    for name in PYTHONS:
        works = shutil.which(name) and subprocess.run([name, "--version"], capture_output=True, check=False)
        if works and works.returncode == 0:  # pyenv has commands for versions that are not installed
            return name
    sys.exit(f"none of {', '.join(PYTHONS)} is installed; give a PYTHON")


def environment(folder, python, zarr):
    """Make an environment with segprep and a version of zarr; versions of its packages."""
    source = folder.with_name("source")
    if not source.exists():
        clutter = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
        shutil.copytree(REPOSITORY, source, ignore=clutter)
    output(python, "-m", "venv", folder)
    output(folder / "bin" / "pip", "install", "--quiet", "--upgrade-strategy", "eager", source, zarr)
    packages = json.loads(output(folder / "bin" / "pip", "list", "--format", "json"))
    return {package["name"]: package["version"] for package in packages}


def write(environment, data, root):
    """Write a store with every target."""
    targets = "weights,border,boundaries,distance"
    output(environment / "bin" / "segprep", "weights", data, root, "--targets", targets, "--workers", "1")


def read(environment, root):
    """Verify a store and read it."""
    output(environment / "bin" / "segprep", "verify", root, "--deep")
    return json.loads(output(environment / "bin" / "python", "-c", READ, root))


def main(chosen=None):
    """Compare the stores; see the module for the argument."""
    chosen = chosen or python()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_data(folder, masks=12)
        environments = {folder / "oldest": OLDEST, folder / "newest": NEWEST}
        versions = [environment(home, chosen, zarr) for home, zarr in environments.items()]
        stores = [home.with_suffix(".zarr") for home in environments]
        for home, root in zip(environments, stores, strict=True):
            write(home, data, root)
        first, second = map(files, stores)
        assert first == second, f"differ: {sorted(name for name in first if first[name] != second.get(name))}"
        digests = [read(home, root) for home in environments for root in stores]
        assert all(digest == digests[0] for digest in digests), digests
        names = ("zarr", "numcodecs", "numpy")
        described = [", ".join(f"{name} {packages[name]}" for name in names) for packages in versions]
        print(output(chosen, "--version"), *described, sep="; ")
        print(f"{len(first)} files are byte-identical, and each version reads the store of the other")


if __name__ == "__main__":
    main(*sys.argv[1:])
