"""The documentation site: `sphinx-build -W docs SITE`."""

import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).parent))

import generated

import leakdetect

project = "leakdetect"
author = copyright = "The leakdetect contributors"
version = release = leakdetect.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # `sensors` in a docstring is an argument, not one of the attributes of that name

autodoc_typehints = "none"  # numpydoc says types and shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_math_renderer = "mathml"  # MathJax would be fetched, and the site is read without the internet too
html_static_path = ["_static"]
html_css_files = ["site.css"]
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


def inline(out: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula of the text as MathML."""
    out.body.append(convert(node.astext()))
    raise nodes.SkipNode


def displayed(out: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula of its own as MathML."""
    out.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Let pages take what `generated` makes; formulas are made here, not by the browser."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))

    def fill(_app: Sphinx, _page: str, source: list[str]) -> None:
        source[0] = generated.filled(source[0])

    app.connect("source-read", fill)
