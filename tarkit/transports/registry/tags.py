"""The tags of a repository, page by page (distribution-spec, "Listing Tags")."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import ImageNotFoundError, LimitExceededError
from tarkit.image.document import get_strings, parse_object
from tarkit.transports.registry.links import next_link
from tarkit.transports.registry.messages import Answer, values_of
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.urls import parse_url, path_and_query

_PAGE = 1000
_PAGES_LIMIT = 10_000
_FRUITLESS_LIMIT = 100  # pages in a row without a new tag
_TAGS_LIMIT = 150_000
_SIZE_LIMIT = 24 << 20  # bytes of all pages


def list_tags(repository: Repository) -> Iterator[str]:
    """Yield every tag once, in the registry's order.

    Raises :class:`ImageNotFoundError` if the repository is unknown, and
    :class:`LimitExceededError` if the list is too long.
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
    """Counts bytes, tags and pages of a list, and enforces their limits."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._size = self._tags = self._fruitless = 0
        self._pages: set[str] = set()

    def count(self, size: int, tags: int, following: str | None) -> str | None:
        """Count a page of *size* bytes with new *tags*; return *following* unless already read."""
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

    def _require(self, count: int, limit: int, unit: str) -> None:
        if count > limit:
            raise LimitExceededError(f"more than {limit} {unit}", limit=limit, where=self._where)


def _next_page(repository: Repository, answer: Answer) -> str | None:
    """Return the URL of the page after *answer*, or None.

    It is always at the registry's own base, because registries behind proxies link to internal
    names.
    """
    target = next_link(values_of(answer.headers, "Link"))
    if target is None:
        return None
    base = parse_url(repository.client.base)
    where = f"{repository.name}: next page of tags"
    return f"{base.scheme}://{base.netloc}{path_and_query(answer.url, target, where=where)}"
