"""The documentation site: `sphinx-build -W docs SITE`."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import generated

import leakdetect

project = "leakdetect"
author = copyright = "The leakdetect contributors"
version = release = leakdetect.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",  # anchors of files beside docs/; tests/test_packaging.py follows every link
    "ref.python",  # `sensors` in a docstring is an argument, not one of the attributes of that name
]

autodoc_typehints = "none"  # numpydoc says types and shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "leakdetect"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}


def setup(app: Sphinx) -> None:
    """Let pages take what is made of the code: a line ``<!-- generated: NAME -->``."""

    def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
        for name in ("commands", "keys"):
            mark = f"<!-- generated: {name} -->"
            if mark in source[0]:
                source[0] = source[0].replace(mark, getattr(generated, name)())

    app.connect("source-read", fill)
