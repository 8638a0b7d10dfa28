import numpy as np
from click.testing import CliRunner
from PIL import Image

from segprep.cli.commands import main


def test_weights_takes_tiles_and_info_shows_them(tmp_path):
    labels = np.zeros((60, 50), np.uint8)
    labels[5:12, 20:40] = 1
    labels[40:50, 5:9] = 2
    Image.fromarray(labels).save(tmp_path / "a.png")
    store = str(tmp_path / "out.zarr")
    made = CliRunner().invoke(
        main,
        ["weights", str(tmp_path / "a.png"), store, "--tile", "32x24", "--tile-overlap", "4", "--keep-empty", "0.5"],
    )
    assert made.exit_code == 0, made.output
    shown = CliRunner().invoke(main, ["info", store]).output
    assert "tiles      32x24, overlap 4, 50% of the empty ones kept; of 1 mask\n" in shown
    squares = CliRunner().invoke(main, ["weights", str(tmp_path / "a.png"), f"{store}2", "--tile", "20"])
    assert squares.exit_code == 0, squares.output
    assert "20x20" in CliRunner().invoke(main, ["info", f"{store}2"]).output
