"""A target from outside of segprep needs a name, a type, a fill value and a function."""

import math
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers.strategies import HAND_MADE
from numpy.typing import NDArray

import segprep.targets
from segprep import OptionError
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.runs.settings import settings_of
from segprep.store.layout import Bucket
from segprep.store.shards import array_spec
from segprep.targets import TARGETS, Border, Distance, Labels, Target, Weights, in_order
from segprep.targets.target import MaskFacts, channels_of, check, fit, pad_of, rounded, version_of

COUNTS = Counts.of_pixels([4, 3, 2, 1])


@dataclass(frozen=True)
class Area:
    """Area of the instance at each pixel, in units of pixels."""

    unit: float = 1.0

    name: ClassVar[str] = "area"
    dtype: ClassVar[str] = "float32"
    fill: ClassVar[float] = math.nan

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        return (mask.areas[mask.labels] / self.unit).astype(np.float32)


def facts_of(mask: InstanceMask) -> MaskFacts:
    runs = (mask.visible[1:] < mask.areas[1:]).astype(np.int64)
    return MaskFacts("a", mask.shape, mask.areas[1:], runs, n_classes=4)


def test_a_target_of_ones_own_has_defaults():
    own: Target = Area(2.0)
    assert (version_of(own), channels_of(own), pad_of(own)) == (1, 0, 0)
    assert fit(own, COUNTS, COUNTS) is own
    assert [field.name for field in settings_of(Area)] == ["unit"]


def test_a_target_of_ones_own_can_be_stored():
    spec = array_spec(Bucket((4, 8), (0, 1)), Area())
    assert (spec.shape, spec.pad, spec.dtype) == ((2, 4, 8), 0, "float32")


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [((0, 0), 5, None), ((0, 0), np.nan, "holds NaN or infinity"), ((3, 0), 5, "is not 0 in the padding")],
)
def test_a_target_of_ones_own_is_checked_for_what_holds_for_all(place, value, problem):
    canvas = np.zeros((4, 4), np.float32)
    canvas[place] = value
    assert check(Area(), canvas, MaskFacts("a", (2, 3), np.zeros(0, int), np.zeros(0, int), n_classes=1)) == problem


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", HAND_MADE)
def test_every_target_passes_its_own_check(kind, name):
    mask, target = HAND_MADE[name], fit(kind(), COUNTS, COUNTS)
    assert check(target, target.compute(mask), facts_of(mask)) is None


def test_targets_are_in_the_order_of_the_registry_and_others_follow_by_name():
    @dataclass(frozen=True)
    class Aardvark(Area):
        name: ClassVar[str] = "aardvark"

    assert in_order([Area(), Distance(), Aardvark(), Labels()]) == (Labels(), Distance(), Aardvark(), Area())


def test_every_target_of_the_package_is_registered():
    modules = [import_module(f"segprep.targets.{module.name}") for module in iter_modules(segprep.targets.__path__)]
    kinds = [value for module in modules for value in vars(module).values() if hasattr(value, "compute")]
    missing = [kind for kind in kinds if kind not in (*TARGETS, Target)]
    assert not missing, f"add {missing[0].__name__} to TARGETS in segprep/targets/__init__.py"


@pytest.mark.parametrize("kind", TARGETS)
def test_every_parameter_is_documented_and_none_is_bound_by_fit(kind):
    for field in settings_of(kind):
        assert field.name in kind.__doc__.split("Attributes\n", 1)[1], field.name
    changed = {
        field.name for field in settings_of(kind) if getattr(fit(kind(), COUNTS, COUNTS), field.name) != field.default
    }
    assert changed == set()


def test_parameters_are_known_without_the_libraries_that_compute():
    script = "import segprep.targets, sys; print(sorted({'numba', 'scipy', 'skimage', 'cv2'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("kind", [Weights, Border, Distance])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("bits", [1, 4, 10])
def test_fewer_bits_of_the_mantissa_are_those_of_the_exact_values(kind, dtype, bits):
    mask = HAND_MADE["three touching discs"]
    exact = fit(kind(dtype="float32"), COUNTS, COUNTS).compute(mask).astype(np.float64)
    kept = fit(kind(dtype=dtype, mantissa_bits=bits), COUNTS, COUNTS).compute(mask)
    assert (kept.dtype, kept.shape) == (np.dtype(dtype), exact.shape)
    normal = np.abs(exact) >= 2.0**-14  # below, float16 has fewer bits
    steps = 2.0 ** (np.floor(np.log2(np.abs(exact[normal]))) - bits)
    np.testing.assert_array_equal(kept[normal], np.round(exact[normal] / steps) * steps)
    assert normal.any()
    assert np.abs(kept[~normal]).max(initial=0) <= 2.0**-14


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_fewer_bits_may_exceed_a_limit_by_their_error_alone(dtype):
    target = Distance(distance_clip=2.9, dtype=dtype, mantissa_bits=2)
    facts = MaskFacts("a", (1, 4), np.zeros(0, np.int64), np.zeros(0, np.int64), 1)
    assert check(target, np.array([[3, -3, 2.5, 0]], dtype), facts) is None
    assert check(target, np.array([[3.5, 0, 0, 0]], dtype), facts) == "holds 3.5, beyond -2.9 to 2.9"


@pytest.mark.parametrize("kind", [Weights, Border, Distance])
@pytest.mark.parametrize(("dtype", "bits", "most"), [("float16", 11, 10), ("float16", 0, 10), ("float32", 24, 23)])
def test_a_type_has_no_more_bits_than_its_mantissa(kind, dtype, bits, most):
    with pytest.raises(OptionError, match=rf"mantissa_bits={bits}: must be from 1 to {most}, .* of {dtype}"):
        kind(dtype=dtype, mantissa_bits=bits)


def test_a_weight_that_fewer_bits_round_beyond_the_type_is_refused():
    with pytest.raises(OptionError, match="reach 65536, and float16 ends at 65504"):
        rounded(np.array([65_000], np.float32), "float16", "weights", 3)
