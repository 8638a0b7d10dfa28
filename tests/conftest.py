"""What all tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir():
    """Folder of real data sets, which are not part of the repository."""
    folder = (REPOSITORY / os.environ.get("SEGPREP_TEST_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set SEGPREP_TEST_DATA")
    return folder
