"""What goes to a registry and what comes back, as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


def values_of(headers: Mapping[str, str], name: str) -> list[str]:
    """Return each value of the header *name*, which may come several times."""
    getlist = getattr(headers, "getlist", None)
    values: list[str] = getlist(name) if getlist else [headers[name]] if name in headers else []
    return values


Payload = bytes | Iterable[bytes | memoryview]
"""What a request carries: all of it, or in pieces."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``url`` is absolute, or a path under the registry's base URL.

    ``where`` names in messages what it is about, ``scopes`` what a token must allow. A ``body``
    that is an iterator can be sent only once.
    """

    method: str
    url: str
    where: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Payload | None = field(default=None, repr=False)

    @property
    def repeatable(self) -> bool:
        """Whether its body can be sent a second time."""
        return not isinstance(self.body, Iterator)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body read within bounds; ``headers`` know no case."""

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes = field(repr=False)
