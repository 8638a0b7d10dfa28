"""`segprep doctor`: what it reports, and which problems it finds, each made on this machine."""

import json
import os
import platform
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import segprep_

import segprep
from segprep.kernels.distance import signed_distance
from segprep.kernels.nearest import nearest_two
from segprep.runs import doctor as module
from segprep.runs.machine import cores, memory
from segprep.workers.processes import START_METHOD

KIB = 2**10


@pytest.fixture(scope="module")
def report():
    return segprep.doctor()


def test_an_installation_in_order_has_no_problems(report):
    assert report.problems == ()
    assert report.are_kernels_correct
    assert report.do_workers_start
    assert (report.kernels.is_writable, report.temporary.is_writable) == (True, True)
    assert report.kernels.bytes > 0
    assert report.temporary.free_bytes > 0


def test_versions_are_those_that_run(report):
    assert report.segprep == segprep.__version__
    assert report.python.startswith(platform.python_version())
    versions = {package.name: package.version for package in report.packages}
    assert versions["numpy"] == np.__version__
    assert {"zarr", "numba", "opencv-python-headless", "dask", "obstore", "torch", "jax"} <= versions.keys()
    assert not {"pytest", "ruff", "segprep"} & versions.keys()
    assert {package.extra for package in report.packages} >= {None, "cloud", "torch", "jax"}


def test_cores_respect_the_affinity_of_the_process(report):
    assert report.cores.usable == len(os.sched_getaffinity(0)) <= report.cores.machine
    assert report.start_method == START_METHOD == "spawn"


def test_the_slow_formulas_are_those_of_the_kernels_and_notice_a_wrong_one(monkeypatch):
    labels = np.zeros((9, 12), np.int32)
    labels[1:4, 1:4], labels[4:7, 4:8], labels[0, 11] = 1, 2, 3
    for fast, slow in zip([*nearest_two(labels), signed_distance(labels)], module._slowly(labels), strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-5)
    assert list(module._kernel_problems()) == []
    monkeypatch.setattr(module, "nearest_two", lambda labels: nearest_two(labels) + 0.01)
    assert [problem.what for problem in module._kernel_problems()] == ["compiled kernels give wrong distances"]


def test_the_home_folder_is_not_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert module._tilde(tmp_path / "cache") == "~/cache"
    monkeypatch.setenv("HOME", "/")
    assert module._tilde("/cache") == "/cache"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            },
            1.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/a\n3:memory:/b\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/a\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_tightest_limit_of_cores_counts(tmp_path, files, expected):
    write(tmp_path, files)
    assert cores(tmp_path).limit == expected


@pytest.mark.parametrize(("limit", "expected"), [("max", None), ("9223372036854771712", None), ("4096", 4 * KIB)])
def test_memory_is_that_of_the_machine_and_of_its_groups(tmp_path, limit, expected):
    files = {
        "proc/meminfo": "MemTotal: 9 kB\nMemAvailable:      5 kB\n",
        "proc/self/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.max": f"{limit}\n",
        "sys/fs/cgroup/a/memory.current": "1024\n",
    }
    write(tmp_path, files)
    found = memory(tmp_path)
    assert (found.machine, found.limit) == (9 * KIB, expected)
    assert found.available == (3 * KIB if expected else 5 * KIB)


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


# --- the command, with what is made wrong ----------------------------------------------------------------------------


def problems_of(**environment):
    """Exit code, and problems with their remedies."""
    ended = segprep_("doctor", "--json", **environment)
    document = json.loads(ended.stdout)
    assert document["schema"] == "doctor"
    return ended.returncode, {problem["what"]: problem["remedy"] for problem in document["problems"]}


def test_problems_of_packages_and_folders_are_named_with_their_remedy(tmp_path):
    old, broken = tmp_path / "zarr-2.0.dist-info", tmp_path / "faster_coco_eval.py"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 2.0\n")
    broken.write_text("raise ImportError('libgomp.so: cannot open')")
    status, problems = problems_of(PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR="/dev/null/kept", TMPDIR="/dev/null/tmp")
    assert status == 1
    (imported,) = [what for what in problems if what.startswith("faster-coco-eval ")]
    assert imported.endswith(" cannot be imported: ImportError: libgomp.so: cannot open")
    del problems[imported]
    unused = "cannot be written, and is not used"
    assert problems == {
        "zarr 2.0 is installed; segprep needs >=3.1.6": "pip install 'zarr>=3.1.6'",
        f"NUMBA_CACHE_DIR=/dev/null/kept {unused}": "set NUMBA_CACHE_DIR to a folder that can be written",
        f"TMPDIR=/dev/null/tmp {unused}": "set TMPDIR to a folder that can be written",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, "Numba compiles nothing, since NUMBA_DISABLE_JIT is set"),
        (
            {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"},
            "compiled kernels are kept nowhere, so each process compiles them again",
        ),
    ],
)
def test_kernels_that_are_not_compiled_or_not_kept_are_a_problem(environment, what):
    status, problems = problems_of(**environment)
    assert (status, list(problems)) == (1, [what])


@pytest.mark.slow
def test_processes_that_do_not_start_are_a_problem(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif '--multiprocessing-fork' in sys.argv:\n    raise SystemExit(3)\n"
    )
    status, problems = problems_of(PYTHONPATH=str(tmp_path))
    ((what, remedy),) = problems.items()
    assert status == 1
    assert what.startswith("worker processes do not start: BrokenProcessPool")
    assert remedy.startswith("use --workers 1 ")


@pytest.mark.slow
def test_the_text_is_to_be_pasted_and_names_no_home(tmp_path):
    ended = segprep_("doctor", HOME=str(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "kept"), OMP_NUM_THREADS="1")
    assert ended.returncode == 0, ended
    assert str(tmp_path) not in ended.stdout
    assert all(len(line) <= 120 or "kernels " in line for line in ended.stdout.splitlines())  # the path of its folder
    assert ended.stdout.endswith("\n\nno problems found\n")
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if line[:1].strip())
    assert lines["segprep"] == segprep.__version__
    assert lines["Python"] == f"{platform.python_version()} ({sys.implementation.name.replace('cpython', 'CPython')})"
    assert " kept in ~/kept/" in lines["kernels"]
    assert "NUMBA_CACHE_DIR=~/kept" in lines["variables"]
    assert "OMP_NUM_THREADS=1" in lines["variables"]


def test_a_report_from_python_is_that_of_the_command(report):
    assert report.python == json.loads(segprep_("doctor", "--json").stdout)["python"]
    assert Path(report.temporary.path.replace("~", str(Path.home()), 1)).is_dir()
