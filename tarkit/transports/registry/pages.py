"""Lists of names that a registry sends page by page (distribution-spec, "Listing Tags")."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import LimitExceededError, TarkitError
from tarkit.image.document import get_strings, parse_object
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.links import next_link
from tarkit.transports.registry.messages import Answer, Request, values_of
from tarkit.transports.registry.urls import parse_url, path_and_query
from tarkit.values import replace

PAGE = 1000
"""The number of names to ask for at a time."""

_PAGES_LIMIT = 10_000
_FRUITLESS_LIMIT = 100  # pages in a row without a new name
_NAMES_LIMIT = 150_000
_SIZE_LIMIT = 24 << 20  # bytes of all pages


def list_pages(
    client: RegistryClient, first: Request, key: str, missing: type[TarkitError]
) -> Iterator[str]:
    """Yield every name under *key* in the answer to *first* and in the following pages once, in order.

    Raises *missing* for a 404, and :class:`LimitExceededError` if the list is too long.
    """
    seen: set[str] = set()
    bounds = _Bounds(first.where, key)
    url: str | None = first.url
    while url:
        answer = client.send(replace(first, url=url), missing=missing)
        document = parse_object(answer.body, where=first.where)
        names = get_strings(document, key, where=first.where)
        fresh = [name for name in dict.fromkeys(names) if name not in seen]
        seen.update(fresh)
        following = _next_page(client, answer, f"{first.where}: next page of {key}")
        url = bounds.count(len(answer.body), len(fresh), following)
        yield from fresh


class _Bounds:
    """Counts bytes, names and pages of a list of *key*, and enforces their limits."""

    def __init__(self, where: str, key: str) -> None:
        self._where = where
        self._key = key
        self._size = self._names = self._fruitless = 0
        self._pages: set[str] = set()

    def count(self, size: int, names: int, following: str | None) -> str | None:
        """Count a page of *size* bytes with new *names*; return *following* unless already read."""
        self._size += size
        self._names += names
        self._fruitless = 0 if names else self._fruitless + 1
        self._require(self._size, _SIZE_LIMIT, f"bytes of {self._key}")
        self._require(self._names, _NAMES_LIMIT, self._key)
        if following is None or following in self._pages:
            return None
        self._pages.add(following)
        self._require(self._fruitless, _FRUITLESS_LIMIT, f"pages in a row without new {self._key}")
        self._require(len(self._pages), _PAGES_LIMIT, f"pages of {self._key}")
        return following

    def _require(self, count: int, limit: int, unit: str) -> None:
        if count > limit:
            raise LimitExceededError(f"more than {limit} {unit}", limit=limit, where=self._where)


def _next_page(client: RegistryClient, answer: Answer, where: str) -> str | None:
    """Return the URL of the page after *answer*, or None.

    It is always at the registry's own base, because registries behind proxies link to internal
    names.
    """
    target = next_link(values_of(answer.headers, "Link"))
    if target is None:
        return None
    base = parse_url(client.base)
    return f"{base.scheme}://{base.netloc}{path_and_query(answer.url, target, where=where)}"
