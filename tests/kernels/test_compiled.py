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
