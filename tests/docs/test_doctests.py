"""The examples in the docstrings run as they stand."""

import doctest
import os
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

import segprep

MODULES = [module.name for module in pkgutil.walk_packages(segprep.__path__, "segprep.")]


OPTIONAL = {"torch", "keras", "tensorflow"}
"""Packages that modules of segprep.training need, and segprep does not."""
os.environ.setdefault("KERAS_BACKEND", "torch")


def module_of(name: str) -> ModuleType | None:
    """The module; None if it needs an optional package that is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        return None


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    if (module := module_of(name)) is None:
        pytest.skip(f"{name} needs a package that is not installed")
    results = doctest.testmod(module, extraglobs={"np": import_module("numpy")}, raise_on_error=False)
    assert results.failed == 0


def test_there_are_examples() -> None:
    modules = filter(None, map(module_of, MODULES))
    found = [test for module in modules for test in doctest.DocTestFinder().find(module)]
    assert sum(len(test.examples) for test in found) > 100
