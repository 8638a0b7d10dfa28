"""Settings of Sphinx, which makes the site from the pages of this folder and the docstrings of segprep.

``sphinx-build -W --keep-going -n docs build/site`` writes it. Nothing is fetched, neither for the build nor to
view the site: fonts, scripts, styles and the search index are files of it.
"""

import re
from importlib.metadata import version as version_of
from typing import Any

from pygments.lexers.python import PythonLexer
from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

project = "segprep"
author = "The segprep developers"
release = version = version_of("segprep")
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]  # words of docstrings between single backticks: most are parameters

default_role = "py:obj"
autodoc_typehints = "none"  # docstrings have the types
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "keras", "grain"]
numpydoc_show_class_members = False  # autodoc lists them
python_maximum_signature_line_length = 88

myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook is stored with its results, and the tests execute it

html_theme = "furo"
html_title = f"segprep {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

_OUTSIDE = {"../CHANGELOG.md": "changelog.md", "../CONTRIBUTING.md": "contributing.md", "../README.md": "index.md"}
"""Pages beside this folder, and those that show them here."""


def _link_within(_app: Sphinx, _page: str, text: list[str]) -> None:
    """Replace links to pages beside this folder, which a code host follows, by those to pages of the site."""
    text[0] = re.sub(r"\]\((\.\./\w+\.md)", lambda link: f"]({_OUTSIDE.get(link[1], link[1])}", text[0])


def _own_signature(_app: Sphinx, what: str, _name: str, thing: Any, *_: object) -> tuple[str, None] | None:
    """Signature of a class with an ``__init__``, which autodoc does not know if its base is in PyTorch or Keras."""
    if what != "class" or "__init__" not in vars(thing):
        return None
    return stringify_signature(signature(thing.__init__, bound_method=True), show_annotation=False), None


def setup(app: Sphinx) -> None:
    """Connect the hooks, and add a lexer."""
    app.connect("autodoc-process-signature", _own_signature)
    app.connect("source-read", _link_within)
    app.add_lexer("snakemake", PythonLexer)  # Pygments has none
