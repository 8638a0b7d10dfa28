"""The report shows what is stored, is one file without outside references, and takes no text of the data as HTML."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.browser import CHROMIUM, browser
from PIL import Image

import segprep
from segprep.drawing.panels import target_panels
from segprep.drawing.strip import GAP, LEGEND, TITLE
from segprep.report.choice import chosen_masks
from segprep.report.samples import Sample, fitted_samples

EVIL = "<script>alert(1)</script>"
"""Name of a class."""
EVIL_KEY = '"><img src=x onerror=alert(1)>&amp;</script>.png'


class Parsed(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.scripts, self._open = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):  # which have no end
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self._open and self._open[-1] == "script" else self.texts).append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def facts(self):
        return json.loads(self.scripts[0])

    def pixels(self, number):
        """RGB of a panel."""
        source = self.all("img")[number]["src"]
        return np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """COCO data set whose names try to be HTML, one mask of which has no instance and one a bad annotation."""
    folder = tmp_path_factory.mktemp("evil") / "data"
    folder.mkdir()
    images = [
        {"id": number, "file_name": name, "height": 20, "width": 30}
        for number, name in enumerate([EVIL_KEY.replace("/", ""), "b.png", "c.png"])
    ]
    square = [2, 2, 10, 2, 10, 10, 2, 10]
    beside = [10, 2, 18, 2, 18, 10, 10, 10]
    annotations = [
        {"id": 1, "image_id": 0, "category_id": 1, "segmentation": [square]},
        {"id": 2, "image_id": 0, "category_id": 2, "segmentation": [beside]},
        {"id": 3, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 3]]},
    ]
    categories = [{"id": 1, "name": EVIL}, {"id": 2, "name": "cell"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def evil_store(evil):
    root = evil.parent / "evil.zarr"
    segprep.preprocess(evil, root, workers=1)
    return root


@pytest.fixture(scope="module")
def evil_file(evil_store):
    file = evil_store.parent / "evil.html"
    segprep.preview(evil_store, file)
    return file


@pytest.fixture(scope="module")
def evil_page(evil_file):
    return Parsed(evil_file.read_text())


@pytest.fixture(scope="module")
def coins_page(coins_store, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "coins.html"
    segprep.preview(coins_store, file, images="examples/coins")
    return file


# --- contents --------------------------------------------------------------------------------------------------------


def test_a_page_has_the_image_and_every_target_of_a_mask(coins_page, coins_store):
    page = Parsed(coins_page.read_text())
    titles = [panel["label"] for panel in page.facts["panels"]]
    targets = [target.name for target in segprep.describe(coins_store).targets]
    assert titles == [f"{name} of labels/coins.png" for name in ["image", *targets]]
    assert len(page.all("figure")) == len(titles)
    for word in ("24", "303 x 384", "train", "touching pairs", "median-frequency", "effective-number"):
        assert word in page.text


def test_touching_instances_are_remarked_where_a_preset_would_separate_them(tmp_path):
    Image.fromarray(np.array([[1, 1, 2, 2, 0, 0, 3]] * 4, np.uint8)).save(tmp_path / "cells.png")

    def is_remarked(data, **settings):
        segprep.preview(data, tmp_path / "page.html", **settings)
        return "1 pair of instances touches" in Parsed((tmp_path / "page.html").read_text()).text

    assert is_remarked(tmp_path / "cells.png")
    for others in ({"preset": "crowded"}, {"targets": "distance"}):
        assert not is_remarked(tmp_path / "cells.png", **others)
    for name, expected in (("weights", True), ("distance", False)):
        segprep.preprocess(tmp_path / "cells.png", tmp_path / name, targets=name)
        assert is_remarked(tmp_path / name) == expected


def test_the_values_under_the_pointer_are_those_of_the_store(coins_page, coins_store):
    page, arrays = Parsed(coins_page.read_text()), segprep.open(coins_store)[0]
    for number, panel in enumerate(page.facts["panels"][1:], start=1):
        name = panel["label"].split(" ")[0]
        rgb = page.pixels(number)
        assert rgb.shape[:2] == arrays[name].shape
        codes = np.array([f"{r:02x}{g:02x}{b:02x}" for r, g, b in rgb.reshape(-1, 3)]).reshape(rgb.shape[:2])
        if "scale" not in panel:
            names = {"labels": lambda v: f"instance {v}" if v else "background"}
            text = names.get(name, lambda v: ["background", "instance"][v])
            expected = np.vectorize(lambda v, text=text: text(v), otypes=[object])(arrays[name])
            assert (np.vectorize(panel["names"].get, otypes=[object])(codes) == expected).all()
            continue
        ticks, colours = panel["scale"]["ticks"], re.findall(".{6}", page.facts["maps"][panel["scale"]["map"]])
        values = np.interp(range(255), np.linspace(0, 254, len(ticks)), ticks)
        shown = np.vectorize(dict(zip(colours, values, strict=True)).get)(codes)
        step = np.diff(ticks).max() / (254 / (len(ticks) - 1))
        np.testing.assert_allclose(shown, arrays[name], atol=0.51 * step)
        assert (ticks[0], ticks[-1]) == (arrays[name].min(), arrays[name].max())


def test_masks_are_chosen_by_crowd_problem_and_emptiness(evil_page):
    assert [
        reason for reason in ("most instances", "with a problem", "without an instance") if reason in evil_page.text
    ] == [
        "most instances",
        "with a problem",
        "without an instance",
    ]
    assert "polygon of fewer than 6 numbers: annotation 3: 3" in evil_page.text


def test_a_data_set_is_shown_before_any_store_exists(evil, tmp_path):
    made = segprep.preview(evil, tmp_path / "data.html", targets="weights,boundaries", sigma=3, workers=1)
    page = Parsed((tmp_path / "data.html").read_text())
    assert (made.masks, len(made.shown), made.bytes) == (3, 3, (tmp_path / "data.html").stat().st_size)
    assert "without a store" in page.text
    assert "sigma=3" in page.text
    assert {panel["label"].split(" ")[0] for panel in page.facts["panels"]} == {
        "labels",
        "classes",
        "weights",
        "boundaries",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["data.html"]


def test_a_data_set_and_its_store_show_the_same_panels(evil, evil_page, tmp_path):
    segprep.preview(evil, tmp_path / "data.html", workers=1)
    page = Parsed((tmp_path / "data.html").read_text())
    assert page.facts == evil_page.facts
    assert [image.get("src") for image in page.all("img")] == [image.get("src") for image in evil_page.all("img")]


def test_the_choice_depends_on_the_seed_alone():
    instances = np.random.default_rng(0).integers(0, 9, 1000)
    chosen = [chosen_masks(instances, {7}, 12, seed) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 12
    assert chosen[0][7] == "with a problem"


def test_panels_are_reduced_until_they_have_the_bytes_of_a_page():
    noise = np.random.default_rng(0).normal(size=(1024, 1024)).astype(np.float32)
    sample = Sample("a", "random", "train", noise.shape, 0, (), tuple(target_panels("own", noise, [])), "")
    ((panel,),) = (fitted.panels for fitted in fitted_samples([sample], most_bytes=300_000))
    assert panel.pixels.shape == (512, 512)
    assert len(panel.encoded()) <= 300_000


def test_large_masks_are_reduced_until_they_fit(varied_store, tmp_path):
    segprep.preview(varied_store, tmp_path / "a.html", count=2)
    page = Parsed((tmp_path / "a.html").read_text())
    assert page.pixels(0).shape == (866, 1024, 3)
    assert page.facts["panels"][0]["height"] == 1100
    assert "shown reduced" in page.text


# --- safety ----------------------------------------------------------------------------------------------------------


def test_names_stay_text(evil_page):
    assert EVIL in evil_page.text
    assert len(evil_page.all("script")) == 2
    assert not [attrs for _, attrs in evil_page.elements if any(name.startswith("on") for name in attrs)]
    assert {attrs["src"][:5] for attrs in evil_page.all("img") if "src" in attrs} == {"data:"}
    assert any(EVIL in panel["names"].values() for panel in evil_page.facts["panels"])


def test_a_page_refers_to_nothing_outside(evil_page, coins_page):
    assert not re.search(r"https?:|//\w|url\(|@import", re.sub(r"base64,[\w+/=]+", "", coins_page.read_text()))
    references = [attrs.get(name, "") for _, attrs in evil_page.elements for name in ("src", "href", "action", "data")]
    assert all(reference == "" or reference.startswith("data:") for reference in references)


@pytest.mark.parametrize("name", ["mask.png", "page.html"])
def test_a_file_that_is_no_report_is_kept(coins_store, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(segprep.OutputError, match="exists and is not a report"):
        segprep.preview(coins_store, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["a.png", "a.html"])
def test_an_earlier_report_is_replaced(evil_store, tmp_path, name):
    first, second = (segprep.preview(evil_store, tmp_path / name) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"output": "a.jpg"}, "output='a.jpg': must end with .html or .png"),
        ({"key": "mine"}, "key='mine': no such mask"),
        ({"count": 0}, "count=0: must be at least 1"),
        ({"sigma": 3}, "sigma: no effect on .*evil.zarr, which is a store"),
        ({"targets": "weights"}, "targets: no effect on"),
    ],
)
def test_an_option_error_names_the_parameter(evil_store, tmp_path, monkeypatch, parameters, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(segprep.OptionError, match=message):
        segprep.preview(evil_store, **{"output": "a.html", **parameters})
    assert not list(tmp_path.iterdir())


# --- png -------------------------------------------------------------------------------------------------------------


def test_a_png_has_a_panel_for_each_target(coins_store, tmp_path):
    made = segprep.preview(coins_store, tmp_path / "a.png", key="labels/coins.png")
    image = Image.open(tmp_path / "a.png")
    panels = len(segprep.describe(coins_store).targets)
    assert image.size == (panels * (384 + GAP) + GAP, 303 + TITLE + LEGEND + 2 * GAP)
    assert made.shown == ("labels/coins.png",)
    assert len(image.convert("RGB").getcolors(2**24)) > 100


def test_a_notebook_shows_the_report(evil_store, tmp_path):
    for name in ("a.html", "a.png"):
        made = segprep.preview(evil_store, tmp_path / name)
        ((_, shown),) = Parsed(made._repr_html_()).elements
        contents = (tmp_path / name).read_bytes()
        assert contents in (shown.get("srcdoc", "").encode(), base64.b64decode(shown.get("src", "").partition(",")[2]))


# --- command ---------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_page_of_the_library(evil_store, evil_file, tmp_path, segprep_here):
    file = tmp_path / "a.html"
    ended = segprep_here("preview", evil_store, "-o", file)
    assert (ended.returncode, ended.stdout) == (0, f"wrote {file}: shows 3 of 3 masks; 0.0 MB\n")
    assert Parsed(file.read_text()).facts == Parsed(evil_file.read_text()).facts
    ended = segprep_here("preview", evil_store, "-o", tmp_path / "b.png", "--key", "b.png", "--json")
    assert json.loads(ended.stdout)["shown"] == ["b.png"]


def test_the_command_shows_data_without_a_store(evil, tmp_path, segprep_here):
    ended = segprep_here("preview", evil, "-o", tmp_path / "a.html", "--targets", "boundaries", "--workers", "1")
    assert ended.returncode == 0, ended
    ended = segprep_here("preview", tmp_path / "none", "-o", tmp_path / "b.html")
    assert (ended.returncode, ended.stdout) == (3, "")


# --- browser ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_shows_the_page_without_network_or_complaint(evil_file, coins_page):
    for file in (coins_page, evil_file):
        with browser() as page:
            page.show(1200, 900)
            page.open(file)
            light = page.screenshot()
            page.show(1200, 900, "dark")
            dark = page.screenshot()
            page.show(360, 900)
            assert page.value("document.documentElement.scrollWidth") <= 360
            page.show(1200, 900)
            assert len(np.unique(light.reshape(-1, 3), axis=0)) > 100
            assert light.mean() > 128 > dark.mean()
            assert page.value("document.querySelectorAll('script').length") == 2
            assert page.value("[...document.images].every((i) => !i.src || i.naturalWidth > 0)")
            y, x = page.value(
                "(() => { const b = document.querySelector('figure img').getBoundingClientRect();"
                " return [b.y + b.height / 3, b.x + b.width / 3] })()"
            )
            page.point(x, y)
            assert re.match(r"y \d+, x \d+", page.value("document.getElementById('value').textContent"))
            page.point(x, y, click=True)
            assert page.value("document.querySelector('dialog').open")
            page.point(3, 3, click=True)
            assert not page.value("document.querySelector('dialog').open")
            assert page.complaints() == []
            assert {url[:5] for url in page.requests()} <= {"file:", "data:"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_script_reads_the_values_that_are_stored(coins_store, coins_page):
    arrays = segprep.open(coins_store)[0]
    with browser() as page:
        page.show(1600, 1000)
        page.open(coins_page)
        page.value("scrollTo(0, document.querySelector('figure').getBoundingClientRect().top)")
        boxes = page.value(
            "[...document.querySelectorAll('figure img')].map((i) => {"
            " const b = i.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })"
        )
        titles = page.value("facts.panels.map((panel) => panel.label.split(' ')[0])")
        for name, (x, y, width, height) in zip(titles[1:], boxes[1:], strict=True):
            for u, v in np.random.default_rng(5).uniform(0.05, 0.95, (6, 2)):
                page.point(x + u * width, y + v * height)
                text = page.value("document.getElementById('value').textContent")
                row, column, value = re.fullmatch(r"y (\d+), x (\d+): (.+)", text).groups()
                stored = arrays[name][int(row), int(column)]
                if name in ("labels", "classes"):
                    assert value == (
                        "background" if not stored else f"instance {stored}" if name == "labels" else "instance"
                    )
                else:
                    step = float(np.ptp(arrays[name])) / 127
                    assert float(value.split()[1]) == pytest.approx(float(stored), abs=step, rel=0.01)
