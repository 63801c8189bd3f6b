"""The API pages describe every module of the library, each once, and list the public names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import tarkit

ROOT = Path(__file__).parent.parent


def library_modules() -> list[str]:
    """Every module below the package's front: not the command line, not what is private."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "tarkit").rglob("*.py"))
    modules = (path.parent if path.name == "__init__" else path for path in paths)
    return [
        ".".join(module.parts)
        for module in modules
        if len(module.parts) > 1 and "cli" not in module.parts and not module.name.startswith("_")
    ]


def test_every_module_has_its_place_in_the_api_pages() -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    described = Counter(re.findall(r"^\.\. automodule:: (\S+)$", pages, re.MULTILINE))
    assert described == Counter(library_modules())


def test_every_public_name_is_documented_under_its_public_path() -> None:
    api = ROOT / "docs" / "api"
    pages = "".join(path.read_text("utf-8") for path in (api / "public").glob("*.md"))
    documented = re.findall(r"^\.\. auto(?:class|function|exception):: tarkit\.(\w+)$", pages, re.M)
    assert sorted(documented) == sorted(tarkit.__all__)
    listed = re.findall(r"`~tarkit\.(\w+)`", (api / "index.md").read_text("utf-8"))
    assert sorted(listed) == sorted(tarkit.__all__)
