"""The documentation site: `sphinx-build -W docs SITE`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import leakdetect

project = "leakdetect"
author = copyright = "The leakdetect contributors"
version = release = leakdetect.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "generated"]
exclude_patterns = ["README.md"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # anchors of files beside docs/; tests/test_packaging.py follows every link

autodoc_typehints = "none"  # numpydoc says types and shapes
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "leakdetect"
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
