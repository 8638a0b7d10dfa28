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
