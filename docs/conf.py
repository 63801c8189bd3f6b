"""Sphinx configuration of the documentation site; build it with ``tox -e docs``."""

from __future__ import annotations

from tarkit import __version__ as release  # noqa: F401 - Sphinx reads this name

project = "tarkit"
copyright = "the tarkit authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "tarkit"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

# Check only tarkit's own names: links into other projects would need the network.
# Private names and type variables are not documented, so they have no target.
nitpick_ignore_regex = [
    ("py:.*", r"(?!tarkit\.).*"),
    ("py:.*", r".*\._\w+"),
    ("py:.*", r".*\.(T|[A-Z][a-z]+T)"),
]

# Annotations are short names, and several modules may define one.
suppress_warnings = ["ref.python"]
