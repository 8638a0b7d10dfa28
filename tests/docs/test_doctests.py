"""The examples in the docstrings run as they stand."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import segprep

MODULES = [module.name for module in pkgutil.walk_packages(segprep.__path__, "segprep.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = import_module(name)
    results = doctest.testmod(module, extraglobs={"np": import_module("numpy")}, raise_on_error=False)
    assert results.failed == 0


def test_there_are_examples() -> None:
    found = [test for name in MODULES for test in doctest.DocTestFinder().find(import_module(name))]
    assert sum(len(test.examples) for test in found) > 100
