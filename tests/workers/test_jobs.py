"""Workers, as users write them."""

import subprocess
import sys
from contextlib import closing

import cv2
import pytest

from segprep.errors import OptionError
from segprep.workers.jobs import InProcess, Job, Workers, try_jobs
from segprep.workers.processes import Processes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Workers()),
        (2, Workers(processes=2)),
        ("tcp://host:8786", Workers(scheduler="tcp://host:8786")),
        (Workers(processes=3), Workers(processes=3)),
    ],
)
def test_workers_are_made_from_what_people_write(value, expected):
    assert Workers.of(value) == expected


def test_no_workers_are_an_option_error():
    with pytest.raises(OptionError, match=r"^workers=0: must be at least 1$"):
        Workers.of(0)


def test_opencv_uses_one_thread_in_a_worker_process():
    with closing(Processes(1)) as processes:
        assert processes.submit(cv2.getNumThreads).result() == 1


def test_a_job_that_another_run_has_done_is_not_started():
    started = []
    jobs = [Job(str(number), started.append, (number,)) for number in range(6)]
    results = try_jobs(InProcess(), jobs, is_done=lambda index: index in {0, 3, 5} or index - 1 in started)
    assert [index for index, _ in results] == started == [1, 4]


IMPORTS = """
import sys
import segprep.runs.scan
import segprep.runs.write
slow = {"zarr", "numba", "scipy", "cv2", "PIL", "skimage", "tifffile", "imagecodecs", "dask", "obstore", "click"}
print(sorted(slow & sys.modules.keys()))
"""


def test_jobs_import_slow_libraries_only_when_they_need_them():
    command = [sys.executable, "-c", IMPORTS]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
