"""The tags of a repository, page by page (distribution-spec, "Listing Tags")."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit, urlunsplit

from tarkit.errors import ImageNotFoundError, LimitExceededError, TransportError
from tarkit.image.document import get_strings, parse_object
from tarkit.transports.registry.links import next_link
from tarkit.transports.registry.messages import Answer, values_of
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.urls import parse_url, quoted

_PAGE = 1000
_PAGES_LIMIT = 10_000
_FRUITLESS_LIMIT = 100  # pages in a row without a new tag
_TAGS_LIMIT = 150_000
_SIZE_LIMIT = 24 << 20  # bytes of all pages


def list_tags(repository: Repository) -> Iterator[str]:
    """Yield every tag, in the registry's order, each once.

    Raises :class:`ImageNotFoundError` for an unknown repository, and :class:`LimitExceededError`
    for a list that does not end.
    """
    seen: set[str] = set()
    bounds = _Bounds(repository.name)
    url: str | None = f"tags/list?n={_PAGE}"
    while url:
        answer = repository.client.send(repository.request("GET", url), missing=ImageNotFoundError)
        document = parse_object(answer.body, where=repository.name)
        tags = get_strings(document, "tags", where=repository.name)
        fresh = [tag for tag in dict.fromkeys(tags) if tag not in seen]
        seen.update(fresh)
        url = bounds.count(len(answer.body), len(fresh), _next_page(repository, answer))
        yield from fresh


class _Bounds:
    """What a list of tags came to so far, and whether it may go on."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._size = self._tags = self._fruitless = 0
        self._pages: set[str] = set()

    def count(self, size: int, tags: int, following: str | None) -> str | None:
        """Count a page of *size* bytes with new *tags*; return the page *following* it, unless it was read."""
        self._size += size
        self._tags += tags
        self._fruitless = 0 if tags else self._fruitless + 1
        self._require(self._size, _SIZE_LIMIT, "bytes of tags")
        self._require(self._tags, _TAGS_LIMIT, "tags")
        if following is None or following in self._pages:
            return None
        self._pages.add(following)
        self._require(self._fruitless, _FRUITLESS_LIMIT, "pages in a row without a new tag")
        self._require(len(self._pages), _PAGES_LIMIT, "pages of tags")
        return following

    def _require(self, count: int, limit: int, what: str) -> None:
        if count > limit:
            raise LimitExceededError(f"more than {limit} {what}", limit=limit, where=self._where)


def _next_page(repository: Repository, answer: Answer) -> str | None:
    """Return the URL of the page after *answer*: always on our own host, whatever name a proxy there has."""
    target = next_link(values_of(answer.headers, "Link"))
    if target is None:
        return None
    base = parse_url(repository.client.base)
    try:
        parts = urlsplit(urljoin(answer.url, target))
    except ValueError:
        raise TransportError(
            f"the next page of its tags is {quoted(target)}, no URL", where=repository.name
        ) from None
    return urlunsplit((base.scheme, base.netloc, parts.path or "/", parts.query, ""))
