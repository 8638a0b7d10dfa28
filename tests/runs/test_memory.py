"""A warning before the first pixel is written, if the largest masks need more memory than there is."""

import shlex
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers.commands import COMMAND
from PIL import Image

from segprep.errors import SegprepWarning
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import mask_stats
from segprep.runs.memory import JobMemory, available, bytes_of, warn_if_too_large

IN_NAMESPACE = [shutil.which("unshare") or "no unshare", "-rm", "/bin/sh", "-c"]
"""Start of a command of a shell in which /proc can be changed."""
KIB, GIB = 2**10, 2**30
V1, V2 = "4:cpu,memory:/a/b\n0::/\n", "0::/a/b\n"


def stats_of(planes, **more):
    planes = np.array(planes, np.int32)
    return mask_stats(InstanceMask(planes, np.minimum(np.arange(planes.max() + 1), 1).astype(np.int32), **more), 3)


@pytest.mark.parametrize(
    ("mask", "options", "per_pixel"),
    [
        (stats_of([[[0, 1]]]), {}, 4 + 10 + 1.5),
        (stats_of([[[0, 1]]]), {"is_separated": True}, 8 + 10 + 1.5),
        (stats_of([[[0, 1]], [[0, 2]]]), {}, 12 + 10 + 1.5),
        (stats_of([[[0, 1]]], ignore=np.array([[True, False]])), {}, 4 + 1 + 10 + 1.5),
        (stats_of([[[0, 1]]], stuff=np.array([[2, 0]], np.int32)), {}, 8 + 10 + 1.5),
    ],
)
def test_memory_grows_with_what_a_mask_holds(mask, options, per_pixel):
    assert bytes_of(mask, ["labels", "weights", "distance"], **options) == 2 * per_pixel


def test_only_the_largest_target_counts():
    mask = stats_of([[[0, 1]]])
    assert bytes_of(mask, ["labels"]) < bytes_of(mask, ["labels", "weights"]) < bytes_of(mask, ["distance"])
    assert bytes_of(mask, ["labels", "of_my_own"]) > bytes_of(mask, ["distance", "weights"])


JOBS = [JobMemory(size * GIB, str(size), (size, size)) for size in (1, 8, 3)]


@pytest.mark.parametrize(
    ("workers", "there_is", "expected"),
    [
        (1, 8 * GIB, None),
        (2, 11 * GIB, None),
        (9, 12 * GIB, None),
        (2, None, None),
        (1, 8 * GIB - 1, "a worker may need 8.0 GiB .*8 x 8 pixels .*largest: 8.* 8.0 GiB are available; free memory"),
        (2, 10 * GIB, "2 workers may need 11.0 GiB .* 10.0 GiB are available; use workers=1"),
        (9, 11 * GIB, "3 workers may need 12.0 GiB .* use workers=2"),
        (9, 7 * GIB, "3 workers may need 12.0 GiB .* use a larger machine"),
    ],
)
def test_as_many_of_the_largest_jobs_as_there_are_workers_must_fit(workers, there_is, expected):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_too_large("out.zarr", JOBS, workers, there_is)
    if expected is None:
        assert not caught
    else:
        with pytest.warns(SegprepWarning, match=f"^out.zarr: {expected}"):
            warn_if_too_large("out.zarr", JOBS, workers, there_is)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:      5 kB\n"}, 5 * KIB),
        (
            {"proc/self/cgroup": V2, "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "9"},
            None,
        ),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/a/memory.max": "9\n", "sys/fs/cgroup/a/memory.current": "4\n"}, 5),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/memory.max": "9\n", "sys/fs/cgroup/memory.current": "11\n"}, 0),
        (
            {
                "proc/meminfo": "MemAvailable: 5 kB\n",
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "900\n",
                "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "500\n",
                "sys/fs/cgroup/memory/a/b/memory.stat": "inactive_file 7\ntotal_inactive_file 30\n",
            },
            430,
        ),
    ],
)
def test_the_tightest_limit_counts(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available(tmp_path) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")
def test_this_machine_has_memory_left():
    assert 2**20 < available() < 2**50


def test_the_command_warns_where_memory_is_short(tmp_path):
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(tmp_path / "a.png")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable: 40 kB\n")
    bound = f"mount --bind {shlex.quote(str(meminfo))} /proc/meminfo"
    if (
        not shutil.which("unshare")
        or subprocess.run([*IN_NAMESPACE, bound], check=False, capture_output=True).returncode
    ):
        pytest.skip("a file system cannot be bound in a namespace")
    command = shlex.join(
        [str(COMMAND), "weights", str(tmp_path / "a.png"), str(tmp_path / "out.zarr"), "--workers", "1"]
    )
    for expected in (1, 0):  # a store that is complete needs none
        ended = subprocess.run([*IN_NAMESPACE, f"{bound} && {command}"], check=True, capture_output=True, text=True)
        assert (
            ended.stderr.count("out.zarr: a worker may need 0.1 MiB of memory for masks up to 64 x 64 pixels")
            == expected
        )
