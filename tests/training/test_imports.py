"""Which packages the modules of training import."""

import subprocess
import sys

import pytest

OPTIONAL = ("torch", "jax", "keras", "grain", "tensorflow")
PLAIN = ("crops", "geometry", "grain", "samplers", "samples")


def test_modules_that_need_no_optional_package_import_none():
    modules = ", ".join(f"segprep.training.{name}" for name in PLAIN)
    code = f"import sys, {modules}; print([each for each in {OPTIONAL} if each in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_pytorch_is_imported_by_its_own_module_alone():
    code = (
        "import sys, segprep.training.torch; print([each for each in ('jax', 'keras', 'grain') if each in sys.modules])"
    )
    pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
