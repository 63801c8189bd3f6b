"""Sphinx configuration of the documentation site; build it with ``tox -e docs``."""

from __future__ import annotations

from typing import Any

import tarkit
from tarkit import __version__ as release  # noqa: F401 - Sphinx reads this name

project = "tarkit"
copyright = "the tarkit authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "tarkit"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # show the source of default values, not their repr
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

# Check only tarkit's own names: links into other projects would need the network.
# Private names and type variables are not documented, so they have no target.
nitpick_ignore_regex = [
    ("py:.*", r"(?!tarkit\.).*"),
    ("py:.*", r".*\._\w+"),
    ("py:.*", r".*\.(M|T|[A-Z][a-z]+T)"),
]

# Annotations are short names, and several modules may define one.
suppress_warnings = ["ref.python"]
_PUBLIC = {
    f"{getattr(tarkit, name).__module__}.{name}": f"tarkit.{name}" for name in tarkit.__all__
}


def setup(app: Any) -> None:
    """Document public names under the path to import them from, and nowhere else."""
    app.connect("autodoc-skip-member", skip_public)
    app.connect("missing-reference", resolve_public)


def skip_public(
    app: Any, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave public names out of the pages of the modules that define them."""
    home = f"{getattr(member, '__module__', '')}.{name}"
    return True if what == "module" and home in _PUBLIC else None


def resolve_public(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Resolve a reference to the defining module of a public name, or of one of its members."""
    target = node.get("reftarget", "")
    for home, public in _PUBLIC.items():
        if node.get("refdomain") == "py" and (target == home or target.startswith(f"{home}.")):
            return env.domains["py"].resolve_xref(
                env,
                node["refdoc"],
                app.builder,
                "obj",
                public + target[len(home) :],
                node,
                contnode,
            )
    return None
