"""What goes to a registry and what comes back, as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Body = bytes | Iterable[bytes | memoryview]
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
    body: Body | None = field(default=None, repr=False)

    @property
    def repeatable(self) -> bool:
        """Whether its body can be sent a second time."""
        return not isinstance(self.body, Iterator)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is still to be read from ``stream``; ``url`` is where it came from in the end."""

    status: int
    headers: Mapping[str, str]
    url: str
    stream: BaseHTTPResponse


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, its body read within bounds; ``headers`` know no case."""

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes = field(repr=False)
