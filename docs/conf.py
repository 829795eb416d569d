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
suppress_warnings = ["ref.python"]  # `sensors` in a docstring is an argument, not one of the attributes of that name

autodoc_typehints = "none"  # numpydoc says types and shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "leakdetect"
html_show_sourcelink = False
html_sidebars = {"**": ["globaltoc.html"]}
html_theme_options = {
    "navbar_center": [],
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app: Sphinx) -> None:
    """Let pages take what `generated` makes."""

    def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
        source[0] = generated.filled(source[0])

    app.connect("source-read", fill)
