import re
import shutil
import subprocess
import sys
import tarfile
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


def built(words, folder):
    """The one file that Python makes with these arguments in the folder ``out``."""
    ended = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (path,) = (folder / "out").iterdir()
    return path


def copied(folder):
    """Copy of what is in the repository."""
    clutter = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "*.zarr")
    shutil.copytree(ROOT, folder / "source", ignore=clutter)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what is in the repository."""
    folder = copied(tmp_path_factory.mktemp("wheel"))
    path = built(["-m", "pip", "wheel", "./source", "--no-deps", "--wheel-dir", "out", *isolation()], folder)
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


def test_metadata_names_the_versions_of_python_that_were_tried(metadata):
    versions = re.findall(r":: (3\.\d+)", "\n".join(metadata.get_all("Classifier")))
    assert versions[0] == metadata["Requires-Python"].removeprefix(">=")
    assert [int(version.partition(".")[2]) for version in versions] == [*range(11, 11 + len(versions))]


def test_extras_bring_what_the_messages_name(metadata):
    wanted = {"dashboard": "bokeh", "cloud": "obstore"}
    for extra, package in wanted.items():
        marked = f'extra == "{extra}"'
        assert any(line.startswith(package) and marked in line for line in metadata.get_all("Requires-Dist"))


@pytest.mark.slow
def test_source_distribution_has_the_tests_and_makes_the_same_wheel(wheel, tmp_path):
    pytest.importorskip("build", reason="build is not installed")
    alone = ["--no-isolation"] if isolation() else []
    path = built(["-m", "build", "--sdist", "--outdir", "out", *alone, "source"], copied(tmp_path))
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        file.relative_to(ROOT).as_posix()
        for folder in ("tests", "docs", "examples", "segprep", "cli")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not any(part.startswith(".") for part in file.parts)
    }
    assert sources - names == set()
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "pyproject.toml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    again = tmp_path / "again"
    again.mkdir()
    made = built(["-m", "pip", "wheel", str(path), "--no-deps", "--wheel-dir", "out", *isolation()], again)
    with zipfile.ZipFile(made) as archive:
        assert sorted(archive.namelist()) == sorted(wheel.namelist())


@pytest.mark.slow
def test_the_distributions_pass_the_checks_of_the_index(wheel):
    pytest.importorskip("twine", reason="twine is not installed")
    pytest.importorskip("check_wheel_contents", reason="check-wheel-contents is not installed")
    for words in (["twine", "check", "--strict"], ["check_wheel_contents"]):
        ended = subprocess.run(
            [sys.executable, "-m", *words, wheel.filename], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
