"""Fuzz one reader: ``python tests/fuzz/fuzz_reader.py NAME [libFuzzer's arguments]``, as ``coco -max_total_time=60``.

Needs ``pip install -e .[fuzz]``. The first byte of the fuzzer's input chooses one of the reader's seeds, and the rest becomes
its main file. Anything but one of segprep's own errors ends it, and libFuzzer keeps the input.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

os.environ["NUMBA_DISABLE_JIT"] = "1"  # kernels that are counted line by line cannot be compiled

with atheris.instrument_imports(include=["segprep", "PIL", "tifffile"], enable_loader_override=False):
    from seeds import SEEDS, main, write_seed

    from segprep.errors import SegprepError
    from segprep.readers import ReadOptions, find

OPTIONS = ReadOptions(max_pixels=2**12)


def read_all(name, folder, content):
    """Read each mask of the data set that the fuzzer's bytes make."""
    seeds = SEEDS[name]
    seed = seeds[content[0] % len(seeds)] if content else seeds[0]
    path = write_seed(seed, folder / str(seeds.index(seed)), content[1:])
    try:
        for ref in find(path, format=name, options=OPTIONS).refs:
            _load(ref)
    except SegprepError as error:
        _check(error)


def _load(ref):
    """Load one mask; a bad one does not keep the others from being loaded."""
    try:
        ref.load()
    except SegprepError as error:
        _check(error)


def _check(error):
    """The message is one line that can be printed."""
    if not str(error).isprintable():
        raise AssertionError(repr(str(error))) from error


def run(name, *arguments):
    """Fuzz the reader until an argument of libFuzzer ends it."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder) / "seeds")
        corpus = Path(folder) / "seeds" / "main" / name
        atheris.Setup(
            [sys.argv[0], *arguments, str(corpus)], lambda content: read_all(name, Path(folder) / "data", content)
        )
        atheris.Fuzz()


if __name__ == "__main__":
    run(*sys.argv[1:])
