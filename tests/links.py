"""Check the links in a built documentation: ``python -m tests.links docs/_build``.

Sphinx checks the references that it resolves itself. This also checks the rest, such as raw HTML, images and
anchors of headings, as a browser would follow them. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The link targets and the anchors of one HTML file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)


@cache
def read(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def broken_links(directory: Path) -> list[str]:
    """Return ``page: link`` for each link to a missing file or anchor below *directory*."""
    return [
        f"{page.relative_to(directory)}: {link}"
        for page in sorted(directory.rglob("*.html"))
        for link in dict.fromkeys(read(page).links)
        if not leads_somewhere(page, link)
    ]


def leads_somewhere(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.suffix != ".html":
        return target.exists()
    return target.is_file() and unquote(parts.fragment) in read(target).anchors


if __name__ == "__main__":
    broken = broken_links(Path(sys.argv[1]))
    sys.exit("\n".join(["broken links:", *broken]) if broken else 0)
