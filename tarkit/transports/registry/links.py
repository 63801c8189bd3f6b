"""Parse the ``Link`` header (RFC 8288, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LIMIT = 64 << 10  # characters of a header that are parsed
_TARGET = re.compile(r"[\s,]*<([^<>]*)>")
_PARAMETER = re.compile(r'\s*;\s*(?:([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?')


def next_link(headers: Iterable[str]) -> str | None:
    """Return the target of the first link with the relation ``next``, or None."""
    for header in headers:
        for target, relations in _links(header[:_LIMIT]):
            if "next" in relations:
                return target
    return None


def _links(header: str) -> Iterator[tuple[str, list[str]]]:
    """Yield target and relations of each link; stop at a syntax error."""
    position = 0
    while match := _TARGET.match(header, position):
        relations: str | None = None
        position = match.end()
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, text, plain = parameter.groups()
            if (
                name and name.lower() == "rel" and relations is None
            ):  # RFC 8288: later ones are ignored
                relations = plain if text is None else re.sub(r"\\(.)", r"\1", text)
        yield match[1].strip(), (relations or "").lower().split()
