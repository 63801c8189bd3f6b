"""The tags of a repository, page by page (distribution-spec, "Listing Tags")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tarkit.errors import ImageNotFoundError, LimitExceededError, TransportError
from tarkit.image.document import get_strings, parse_object
from tarkit.transports.registry.endpoint import origin
from tarkit.transports.registry.http import resolved
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.repository import Repository

_PAGE = 1000
_PAGES_LIMIT = 1000
_NEXT = re.compile(r'<([^<>]{1,4096})>\s*;[^,]*\brel="?next"?', re.ASCII)


def list_tags(repository: Repository) -> Iterator[str]:
    """Every tag, in the registry's order, each once; raises :class:`ImageNotFoundError` for an unknown repository."""
    seen: set[str] = set()
    url = f"tags/list?n={_PAGE}"
    for _ in range(_PAGES_LIMIT):
        answer = repository.client.send(repository.request("GET", url), missing=ImageNotFoundError)
        document = parse_object(answer.body, where=repository.name)
        fresh = [
            tag for tag in get_strings(document, "tags", where=repository.name) if tag not in seen
        ]
        seen.update(fresh)
        yield from fresh
        match = _NEXT.search(answer.headers.get("Link", ""))
        if match is None or not fresh:
            return
        url = _next_page(answer, match[1], repository.name)
    raise LimitExceededError(
        f"more than {_PAGES_LIMIT} pages of tags", limit=_PAGES_LIMIT, where=repository.name
    )


def _next_page(answer: Answer, target: str, where: str) -> str:
    url = resolved(answer.url, target)
    if origin(url) != origin(answer.url):
        raise TransportError("the next page of its tags is on another host", where=where)
    return url
