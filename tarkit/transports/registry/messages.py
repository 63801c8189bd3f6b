"""Requests to a registry and its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from tarkit.values import dataclass


def values_of(headers: Mapping[str, str], name: str) -> list[str]:
    """Return all values of the header *name*, which may be repeated."""
    getlist = getattr(headers, "getlist", None)
    values: list[str] = getlist(name) if getlist else [headers[name]] if name in headers else []
    return values


Payload = bytes | Iterable[bytes | memoryview]
"""The body of a request, whole or in pieces."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. ``url`` is absolute, or a path under the registry's base URL.

    ``where`` is the subject for error messages, and ``scopes`` are the scopes of the token. If
    ``body`` is an iterator, it can be sent only once.
    """

    method: str
    url: str
    where: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Payload | None = field(default=None, repr=False)

    @property
    def repeatable(self) -> bool:
        """True if the body can be sent again."""
        return not isinstance(self.body, Iterator)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its complete body; names in ``headers`` are not case-sensitive."""

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes = field(repr=False)
