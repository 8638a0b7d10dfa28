"""The notebook runs, and its stored results are those of the run."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat; pip install 'segprep[docs]'")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient; pip install 'segprep[docs]'")
pytest.importorskip("ipykernel", reason="needs ipykernel; pip install 'segprep[docs]'")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def results(notebook):
    """Results of the cells, without the images, whose compressed bytes depend on the version of Pillow."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [(each.get("text"), sorted(each.get("data", {}))) for each in outputs]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_results_are_those_of_a_run(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    run = nbformat.from_dict(stored)
    nbclient.NotebookClient(run, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert results(run) == results(stored)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_is_small_and_shows_an_image(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert "data:image/png;base64," in text or '"image/png"' in text
    assert not re.search(r"/(home|root|tmp)/", text)
