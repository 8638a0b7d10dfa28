import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS = 77
"""The first major version that knows the licence field of pyproject.toml."""


def isolation():
    """Build with the environment's own setuptools where it is new enough; otherwise pip fetches one."""
    try:
        own = int(version("setuptools").partition(".")[0])
    except PackageNotFoundError:
        own = 0
    return ["--no-build-isolation"] if own >= SETUPTOOLS else []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what is in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    clutter = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, folder / "source", ignore=clutter)
    command = [sys.executable, "-m", "pip", "wheel", "./source", "--no-deps", "--wheel-dir", "out", *isolation()]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (folder / "out").iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_wheel_has_no_top_level_name_but_segprep_and_its_metadata(wheel, metadata):
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert top == {"segprep", f"segprep-{metadata['Version']}.dist-info"}


def test_wheel_has_every_module_and_the_commands_are_in_segprep(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "segprep").rglob("*.py")}
    commands = {f"segprep/cli/{path.name}" for path in (ROOT / "cli").glob("*.py")}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == modules | commands
    assert {"segprep/cli/main.py", "segprep/readers/coco.py"} <= modules | commands


def test_wheel_is_marked_as_typed(wheel):
    assert "segprep/py.typed" in wheel.namelist()


def test_wheel_has_neither_tests_nor_compiled_leftovers(wheel):
    assert not [name for name in wheel.namelist() if "test" in name or "conftest" in name or "__pycache__" in name]


def test_wheel_carries_its_licence(wheel, metadata):
    assert metadata["License-Expression"] == "BSD-3-Clause"
    (name,) = [name for name in wheel.namelist() if name.endswith("/LICENSE")]
    assert wheel.read(name) == (ROOT / "LICENSE").read_bytes()


def test_wheel_installs_the_command(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert wheel.read(name).decode().split() == ["[console_scripts]", "segprep", "=", "segprep.cli.main:run"]


def test_wheel_describes_itself_with_the_readme(metadata):
    assert metadata["Name"] == "segprep"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
