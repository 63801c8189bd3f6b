"""The check of the built documentation finds links to missing pages, files and anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.links import broken_links


@pytest.mark.parametrize(
    "link",
    ["other.html", "other.html#there", "#here", "style.css?v=1", "https://example.org/x#y", "#"],
)
def test_a_good_link_is_accepted(tmp_path: Path, link: str) -> None:
    assert broken_links(site(tmp_path, link)) == []


@pytest.mark.parametrize("link", ["missing.html", "other.html#here", "#there", "missing.css"])
def test_a_broken_link_is_named_with_its_page(tmp_path: Path, link: str) -> None:
    assert broken_links(site(tmp_path, link)) == [f"index.html: {link}"]


def site(directory: Path, link: str) -> Path:
    (directory / "index.html").write_text(f'<h1 id="here"><a href="{link}">a link</a></h1>')
    (directory / "other.html").write_text('<a name="there"></a>')
    (directory / "style.css").touch()
    return directory
