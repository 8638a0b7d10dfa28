"""The data sets that fuzzing starts from are valid; with invalid ones it would reach little code."""

import importlib.util
import warnings
from pathlib import Path

import pytest
from helpers.bad_strategies import damaged
from helpers.examples import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import SegprepError
from segprep.readers import READERS, ReadOptions, find

_SPEC = importlib.util.spec_from_file_location("seeds", Path(__file__).with_name("seeds.py"))
seeds = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(seeds)


def test_every_reader_has_a_seed():
    missing = [name for name in READERS if name not in seeds.SEEDS]
    assert not missing, f"add a tiny valid data set of {missing[0]} to SEEDS in tests/fuzz/seeds.py, for the fuzzer"
    assert set(seeds.SEEDS) == set(READERS)


EACH_SEED = pytest.mark.parametrize(
    ("name", "seed"),
    [(name, seed) for name, own in seeds.SEEDS.items() for seed in own],
    ids=[f"{name} {next(iter(seed.files))}" for name, own in seeds.SEEDS.items() for seed in own],
)


ON_REQUEST = {"tissuenet-nuclear": "tissuenet"}
"""Formats that are read only if they are chosen, and those that read the same files otherwise."""


@EACH_SEED
def test_a_seed_is_recognised_by_its_own_reader_alone(tmp_path, name, seed):
    assert find(seeds.write_seed(seed, tmp_path)).format == ON_REQUEST.get(name, name)


@EACH_SEED
def test_a_seed_is_read_without_a_problem(tmp_path, name, seed):
    path = seeds.write_seed(seed, tmp_path)
    (mask,) = (ref.load() for ref in find(path, format=name).refs)
    assert not mask.problems
    assert mask.class_map.any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder that each example writes again."""
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("name", READERS)
@given(content=st.data())
@fuzzed(200)
def test_a_damaged_seed_is_read_or_refused_in_printable_lines(folder, name, content):
    number = content.draw(st.integers(0, len(seeds.SEEDS[name]) - 1))
    seed = seeds.SEEDS[name][number]
    main = content.draw(damaged(st.just(next(iter(seed.files.values())))))
    path = seeds.write_seed(seed, folder / f"{name}-{number}", main)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = [line for error in errors_of(path, name) for line in map(str, error.args)]
    assert [line for line in lines if not line.isprintable()] == []


def errors_of(path, name):
    """Errors of finding the masks, or of loading each."""
    errors = []
    try:
        refs = find(path, format=name, options=ReadOptions(max_pixels=2**12)).refs
    except SegprepError as error:
        return [error]
    for ref in refs:
        try:
            ref.load()
        except SegprepError as error:
            errors.append(error)
    return errors
