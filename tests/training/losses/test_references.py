"""Values of other libraries, stored with their versions by make_references.py."""

import json

import pytest
from helpers.losses import REFERENCES, referenced

STORED = json.loads(REFERENCES.read_text(encoding="utf-8"))
VALUES = referenced(STORED["arrays"])


@pytest.mark.parametrize("name", STORED["values"])
def test_equals_the_value_of(name):
    exact = 1e-6 if name.startswith(("smp", "monai", "torchvision")) else 1e-12  # float32, or an epsilon in a divisor
    assert VALUES[name] == pytest.approx(STORED["values"][name], rel=exact)


def test_every_value_is_compared():
    assert set(VALUES) == set(STORED["values"])
