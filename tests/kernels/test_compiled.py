"""Kernels work also where they cannot be kept."""

import subprocess
import sys

SCRIPT = """
import resource
from segprep.kernels.compiled import compiled

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as on a disk without room: files can be made, and not filled

@compiled
def double(number):
    return 2 * number

print(double(21))
"""


def test_a_kernel_is_compiled_even_if_there_is_no_room_to_keep_it(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        capture_output=True,
        text=True,
        check=False,
        env={"NUMBA_CACHE_DIR": str(tmp_path / "kept")},
    )
    assert (ended.stdout, ended.returncode) == ("42\n", 0), ended.stderr
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


KEPT = """
import sys
import numpy as np
from segprep.kernels.compiled import compiled

@compiled
def largest(values):
    if not values.size:
        raise ValueError("no values")
    return np.concatenate((values, np.zeros(2, values.dtype))).max()

print(largest(np.arange(5)), sorted({"numba.np.arraymath", "scipy.linalg"} & sys.modules.keys()))
try:
    largest(np.arange(0))
except ValueError as error:
    print(error)
print(largest(np.ones(1, np.float32)) if "float" in sys.argv else "")
"""


def test_a_kept_kernel_is_loaded_without_what_compiles_it_and_works_the_same(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KEPT)

    def printed(*arguments):
        command = [sys.executable, script, *arguments]
        env = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.splitlines()

    compiler = "['numba.np.arraymath', 'scipy.linalg']"
    assert printed() == [f"4 {compiler}", "no values", ""]
    assert printed("float") == ["4 []", "no values", "1.0"]  # the second is compiled after the first was loaded
    assert printed("float") == ["4 []", "no values", "1.0"]


COUNTED = """
import sys
from segprep.kernels.compiled import compiled

@compiled
def inner(number):
    return number + 1

@compiled
def outer(number):
    return inner(number) * 2

print("ready", flush=True)
sys.stdin.readline()
print(outer(20), outer._dispatcher.stats.cache_hits)
"""


def test_processes_that_start_together_compile_a_kernel_once(tmp_path):
    (tmp_path / "script.py").write_text(COUNTED)
    started = [
        subprocess.Popen(
            [sys.executable, tmp_path / "script.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NUMBA_CACHE_DIR": str(tmp_path / "kept")},
        )
        for _ in range(3)
    ]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * 3
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    assert sum(process.communicate()[0].startswith("42 Counter()") for process in started) == 1
