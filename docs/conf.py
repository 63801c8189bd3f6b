"""How the documentation site is built: ``tox -e docs``."""

from __future__ import annotations

from tarkit import __version__ as release  # noqa: F401 - Sphinx reads it from here

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

# Only tarkit's own names are looked up: links into other projects would need the network.
# Type variables have no place of their own to link to.
nitpick_ignore_regex = [("py:.*", r"(?!tarkit\.).*"), ("py:class", r".*\._\w+")]
