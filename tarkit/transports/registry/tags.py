"""The tags of a repository (distribution-spec, "Listing Tags")."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import ImageNotFoundError
from tarkit.transports.registry.pages import PAGE, list_pages
from tarkit.transports.registry.repository import Repository


def list_tags(repository: Repository) -> Iterator[str]:
    """Yield every tag once, in the registry's order.

    Raises :class:`ImageNotFoundError` if the repository is unknown, and
    :class:`~tarkit.errors.LimitExceededError` if the list is too long.
    """
    first = repository.request("GET", f"tags/list?n={PAGE}")
    return list_pages(repository.client, first, "tags", ImageNotFoundError)
