"""An open store as a notebook shows it."""

import html
import io
import re
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import OptionError

EVIL = '<script>alert("x")</script>'


def sources(shown):
    """Images within a piece of HTML."""
    return [
        Image.open(io.BytesIO(b64decode(data))) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', shown)
    ]


def test_a_summary_has_the_numbers_and_thumbnails_of_the_labels(varied_store):
    dataset = segprep.open(varied_store)
    shown = dataset._repr_html_()
    assert f">{len(dataset)}<" in shown
    assert f">{dataset.info.instances:,}<" in shown
    assert all(f"{name} {dataset.splits.count(name)}" in shown for name in ("train", "val", "test"))
    images = sources(shown)
    assert 2 <= len(images) <= 6
    assert all(max(image.size) <= 128 for image in images)
    assert any(len(image.getcolors()) > 2 for image in images)


@dataclass(frozen=True)
class Noise:
    """Mask of many instances of one pixel."""

    key: str
    split: str | None = None

    def load(self):
        labels = np.arange(40_000, dtype=np.int32).reshape(1, 200, 200) % 300
        return segprep.InstanceMask(labels, np.array([0, *[1] * 299], np.int32))


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """Store of eight masks whose names are no HTML."""
    refs = [Noise(f"{EVIL}{'long' * 20}{number}", ["train", "val"][number % 2]) for number in range(8)]
    root = tmp_path_factory.mktemp("shown") / f"{EVIL.replace('/', '')}.zarr"
    segprep.preprocess(refs, root, targets="weights", classes=[EVIL], workers=1)
    return root


def test_a_summary_is_that_of_the_selected_masks(evil):
    shown = segprep.open(evil, split="val")._repr_html_()
    rows = dict(re.findall(r"<th[^>]*>(\w+)</th><td[^>]*>([^<]+)<", shown))
    assert (rows["masks"], rows["instances"], rows["sizes"]) == ("4 of 8", "1,196", "200 x 200")
    assert rows["splits"] == "train 0, val 4, test 0"
    assert len(sources(shown)) == 4


def test_a_summary_needs_nothing_else_stays_small_and_escapes_names(evil):
    shown = segprep.open(evil)._repr_html_()
    assert len(shown.encode()) < 200_000
    assert "<script" not in shown
    assert html.escape(EVIL) in shown
    assert re.findall(r"https?:|url\(|src=(?!\"data:)|href", shown) == []


def test_a_mask_that_cannot_be_read_is_named_in_the_summary(coins_copy):
    for shard in filter(Path.is_file, coins_copy.glob("*/labels/c/**/*")):
        shard.unlink()
    shown = segprep.open(coins_copy)._repr_html_()
    assert "labels/c/0/0/0 is missing" in shown
    assert sources(shown) == []


@pytest.mark.parametrize("targets", [None, ["weights"]])
def test_a_mask_is_shown_as_by_preview(targets, coins_store, tmp_path):
    dataset = segprep.open(coins_store)
    shown = dataset.show(0, targets)
    assert shown == dataset.show(dataset.keys[0], targets)
    segprep.preview(coins_store, tmp_path / "coins.png", key=dataset.keys[0])
    with Image.open(tmp_path / "coins.png") as expected:
        assert (shown.tobytes() == expected.tobytes()) == (targets is None)
        assert shown.size[0] <= expected.size[0]


def test_a_target_that_the_store_lacks_is_an_option_error(coins_store):
    with pytest.raises(OptionError, match="has no target 'border'"):
        segprep.open(coins_store).show(0, ["border"])
