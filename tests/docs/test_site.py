"""The site of the pages is built without a warning, has every public name, and needs no network, also for its search."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from helpers.browser import CHROMIUM, browser

import segprep
import segprep.training

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(DOCS).with_suffix("").as_posix() for path in [*DOCS.glob("*.md"), *DOCS.glob("*/*.ipynb")]
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site: the one that SEGPREP_SITE names, or a new one."""
    pytest.importorskip("myst_nb", reason="Sphinx is not installed; pip install 'segprep[docs]'")
    if built := os.environ.get("SEGPREP_SITE"):
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    words = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-n",
        "-q",
        DOCS,
        folder / "html",
        "-d",
        folder / "read",
    ]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    return folder / "html"


class Loaded(HTMLParser):
    """Addresses that a browser loads by itself with a page, and those that a reader clicks."""

    def __init__(self, page):
        super().__init__()
        self.loaded, self.clicked = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "srcset", "poster", "data", "href"):
                (self.clicked if tag == "a" else self.loaded).append(value or "")


def loaded(path):
    return Loaded(path.read_text(encoding="utf-8"))


def test_every_page_is_in_the_navigation(site):
    links = {link.split("#")[0] for link in loaded(site / "index.html").clicked}
    assert {f"{name}.html" for name in PAGES if name != "index"} <= links


def test_a_page_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        found = loaded(path)
        assert len(found.loaded) > 5
        assert [link for link in found.loaded if re.match(r"(https?:)?//", link)] == []
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8"))
    for path in site.rglob("*.css"):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_links_within_the_site_lead_somewhere(site):
    for path in site.rglob("*.html"):
        for link in loaded(path).clicked:
            target = link.split("#")[0]
            assert re.match(r"(https?:)?//", link) or not target or (path.parent / target).exists(), (path, link)


def public_training_names():
    """Functions and classes of `segprep.training` that a user may call: those of a module's __all__, or without ``_``."""
    for module in pkgutil.walk_packages(segprep.training.__path__, "segprep.training."):
        if not re.search(r"\._", module.name):
            source = Path(module.module_finder.path, *module.name.rpartition(".")[2:])
            file = source / "__init__.py" if module.ispkg else source.with_suffix(".py")
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    yield module.name, node.name


def test_every_public_name_has_an_entry(site):
    from sphinx.util.inventory import InventoryFile  # noqa: PLC0415 - not installed everywhere

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    documented = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    assert {f"segprep.{name}" for name in segprep.__all__ if name != "__version__"} <= documented
    listed = {name.rpartition(".")[2] for name in documented if name.startswith("segprep.training.")}
    losses = {name for name in vars(importlib.import_module("segprep.training.losses")) if name.islower()}
    assert {name for module, name in public_training_names() if ".losses." not in module} - listed == INTERNAL
    assert {name for module, name in public_training_names() if ".losses." in module and name in losses} <= listed


INTERNAL = {
    *("Measures", "ImageResult", "Totals", "image_result", "totals"),  # parts of segprep.evaluate
    *("check_sizes", "ignored_pixels", "separated_of"),
    *("group_numbers", "grouped", "require_at_least"),
}
"""Names of `segprep.training` that its other modules use, and users do not need."""


@contextmanager
def served(folder):
    """Address of a folder that a server of this process serves."""
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler that prints nothing."""

    def log_message(self, *_):
        """Print nothing."""


def search(page, address, word):
    """Addresses of the pages that the search of the site finds."""
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    page.call("Page.navigate", url=f"{address}/search.html?q={word}")
    found = "[...document.querySelectorAll('#search-results li a')].map((a) => a.href)"
    while not page.value(f"document.readyState === 'complete' && {found}.length > 0"):
        pass
    return page.value(found)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_search_of_files_finds_a_page_without_a_network(site):
    with browser() as page:
        assert "formulas.html" in " ".join(search(page, site.as_uri(), "watershed"))
        assert {url.split(":")[0] for url in page.requests()} <= {"file", "data"}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_search_of_a_server_finds_a_page_and_shows_excerpts(site):
    with served(site) as address, browser() as page:
        assert "formulas.html" in " ".join(search(page, address, "watershed"))
        while not page.value("document.querySelectorAll('#search-results p.context').length"):
            pass
        # A browser asks every server for an icon, and this site has none.
        assert [event for event in page.complaints() if "/favicon.ico" not in str(event)] == []
        assert [url for url in page.requests() if not url.startswith((address, "data:"))] == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("name", ["index", "first-steps", "notebooks/first_steps", "reference", "recipes"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_narrow_window_and_follows_the_colour_scheme(name, scheme, site):
    with browser() as page:
        page.open(site / f"{name}.html")
        page.show(400, 800, scheme)
        assert page.value("document.documentElement.scrollWidth") <= 400
        assert (page.screenshot()[200:, :20].mean() > 128) == (scheme == "light")
        assert page.complaints() == []
