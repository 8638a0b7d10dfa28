"""Write a store under the oldest zarr-python that segprep takes and under the newest, and show that they are the same.

``python tests/endurance/zarr_versions.py [PYTHON]``. Makes an environment for each with pip, so it needs a package index and a
Python of 3.12 or newer, which the newest zarr asks for. The two stores must be the same to the byte, and each must be read
under the other version: through segprep, by ``segprep verify --deep``, and by plain zarr. Ends with exit code 1 where not.
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
"""Prints what it reads of a store through segprep, and through zarr alone."""


def output(*words):
    """What a command prints."""
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(map(str, words))}: {ended.stdout}{ended.stderr}"
    return ended.stdout.strip()


def python():
    """A Python for both environments."""
    for name in PYTHONS:
        works = shutil.which(name) and subprocess.run([name, "--version"], capture_output=True, check=False)
        if works and works.returncode == 0:  # those of pyenv may be there and say that they are not
            return name
    sys.exit(f"none of {', '.join(PYTHONS)} is there: name one")


def environment(folder, python, zarr):
    """Environment with segprep and a version of zarr, and what is in it."""
    source = folder.with_name("source")
    if not source.exists():
        clutter = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
        shutil.copytree(REPOSITORY, source, ignore=clutter)
    output(python, "-m", "venv", folder)
    output(folder / "bin" / "pip", "install", "--quiet", "--upgrade-strategy", "eager", source, zarr)
    packages = json.loads(output(folder / "bin" / "pip", "list", "--format", "json"))
    return {each["name"]: each["version"] for each in packages}


def write(environment, data, root):
    """Write a store with every target."""
    targets = "weights,border,boundaries,distance"
    output(environment / "bin" / "segprep", "weights", data, root, "--targets", targets, "--workers", "1")


def read(environment, root):
    """What is read of a store."""
    output(environment / "bin" / "segprep", "verify", root, "--deep")
    return json.loads(output(environment / "bin" / "python", "-c", READ, root))


def main(chosen=None):
    """See the module."""
    chosen = chosen or python()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = write_data(folder, masks=12)
        environments = {folder / "oldest": OLDEST, folder / "newest": NEWEST}
        versions = [environment(each, chosen, zarr) for each, zarr in environments.items()]
        stores = [each.with_suffix(".zarr") for each in environments]
        for each, root in zip(environments, stores, strict=True):
            write(each, data, root)
        first, second = map(files, stores)
        assert first == second, f"differ: {sorted(name for name in first if first[name] != second.get(name))}"
        found = [read(each, root) for each in environments for root in stores]
        assert all(each == found[0] for each in found), found
        told = [", ".join(f"{name} {each[name]}" for name in ("zarr", "numcodecs", "numpy")) for each in versions]
        print(output(chosen, "--version"), *told, sep="; ")
        print(f"{len(first)} files are the same to the byte, and each version reads the other's store as its own")


if __name__ == "__main__":
    main(*sys.argv[1:])
