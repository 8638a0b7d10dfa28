"""Fixtures and hooks of all tests; stores are made once per process and never written to."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.buckets import serving
from helpers.clusters import scheduler, wait_for_workers, workers_of
from helpers.coco import square
from helpers.examples import load_profile

import segprep
from segprep.cli.main import ENDINGS, run
from segprep.store.metadata import INPUT_STAMP

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"


def pytest_configure(config):
    """Load the Hypothesis profile of the run: `thorough` where slow tests are selected, `quick` otherwise."""
    load_profile("quick" if "not slow" in config.option.markexpr else "thorough")


SLOW_FIXTURES = {
    "cluster",
    "dsb2018_store",
    "encrypted",
    "followed",
    "lonely_scheduler",
    "nuclei",
    "poison",
    "redrawn",
    "taco_store",
    "undisturbed",
    "wheel",
}
"""Fixtures that take seconds to make; a test that has one, by its name or by a parameter, is slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow the tests that need a slow fixture."""
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if SLOW_FIXTURES.intersection([*item.fixturenames, *(value for value in values if isinstance(value, str))]):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def data_dir():
    """Folder of real data sets, which are not part of the repository."""
    folder = (REPOSITORY / os.environ.get("SEGPREP_TEST_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set SEGPREP_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def object_store():
    """Object store on this machine; the environment has its address."""
    with serving() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def coins_store(tmp_path_factory):
    """Store of the example's label image."""
    root = tmp_path_factory.mktemp("coins") / "coins.zarr"
    segprep.preprocess(EXAMPLES / "coins", root)
    return root


@pytest.fixture(scope="session")
def varied(tmp_path_factory):
    """COCO data set of 13 masks that cover the cases of a store.

    Two buckets, one of them with canvases of several chunks and two shards, the last of which is not full; two classes,
    overlapping instances, an ignored region, a mask without instances, a bad annotation, and names beyond ASCII.
    """
    folder = tmp_path_factory.mktemp("varied") / "varied"
    folder.mkdir()
    sizes = [(1100, 1300)] * 4 + [(61, 50)] * 9
    images = [
        {"id": number, "file_name": f"größe/{number:02}.jpg", "height": height, "width": width}
        for number, (height, width) in enumerate(sizes)
    ]
    annotations = [
        square(image["id"], category, corner + image["id"], corner + image["id"], side)
        for image in images[:-1]
        for category, corner, side in ((7, 2, 9), (7, 8, 12), (0, 30, 5))
    ]
    annotations.append(square(5, 7, 0, 40, 8) | {"iscrowd": 1})
    annotations.append({"image_id": 6, "category_id": 7, "segmentation": [[1, 2, 3]]})
    categories = [{"id": 0, "name": "cell"}, {"id": 7, "name": "debris"}]
    document = {"images": images, "categories": categories, "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def varied_store(varied, tmp_path_factory):
    """Store of `varied`, made in this process."""
    root = tmp_path_factory.mktemp("varied_store") / "varied.zarr"
    segprep.preprocess(varied, root, workers=segprep.Workers(processes=1))
    return root


@pytest.fixture(scope="session")
def dsb2018_store(data_dir, tmp_path_factory):
    """Store of 48 real masks of 2,889 nuclei, written by one process per core."""
    root = tmp_path_factory.mktemp("dsb2018") / "dsb2018.zarr"
    segprep.preprocess(data_dir / "dsb2018" / "stage1_train", root)
    return root


@pytest.fixture
def coins_copy(coins_store, tmp_path):
    """Copy of the coins' store, to be damaged."""
    return Path(shutil.copytree(coins_store, tmp_path / "copy.zarr"))


@pytest.fixture(scope="session")
def files_of():
    """Callable: every file below a folder, by its relative name, but for notes, which are no part of a store."""

    def files(folder):
        paths = (path for path in folder.rglob("*") if path.is_file() and not path.as_posix().endswith(INPUT_STAMP))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return files


@pytest.fixture
def segprep_here(monkeypatch, capfd):
    """Callable: the command, run to its end in this process, which is faster than a new one."""
    before = {number: signal.getsignal(number) for number in ENDINGS}

    def segprep_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["segprep", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        return subprocess.CompletedProcess(arguments, ended.value.code, *capfd.readouterr())

    yield segprep_here
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def lonely_scheduler(tmp_path_factory):
    """Scheduler file of a scheduler without workers."""
    with scheduler(tmp_path_factory.mktemp("lonely")) as (_, file):
        yield file


@pytest.fixture(scope="session")
def cluster_of_two(tmp_path_factory):
    """Scheduler file of a scheduler that gives up a job once it has killed a worker, with two worker processes.

    The workers have another working directory than the tests.
    """
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder, allowed_failures=0) as (_, file), workers_of(file, folder):
        yield file


@pytest.fixture
def cluster(cluster_of_two):
    """`cluster_of_two`, with both of its workers up."""
    wait_for_workers(cluster_of_two, 2)
    return cluster_of_two
