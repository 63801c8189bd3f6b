"""What a registry asks for with a 401: the ``WWW-Authenticate`` header (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}[^\s,"]*))\s*(?:,|$)'
)
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?:\s+|,|$)")
_LIMIT = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate: ``scheme`` in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge in the values of ``WWW-Authenticate``; what cannot be read ends the list."""
    return [challenge for header in headers for challenge in _parse(header[:_LIMIT])]


def _parse(header: str) -> Iterable[Challenge]:
    position = 0
    while match := _SCHEME.match(header, position):
        scheme, position = match[1].lower(), match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            position = parameter.end()
        yield Challenge(scheme, parameters)


def preferred(challenges: Iterable[Challenge]) -> Challenge | None:
    """The challenge to answer: a token before a password, and nothing else is known."""
    known = {challenge.scheme: challenge for challenge in reversed(list(challenges))}
    return known.get("bearer") or known.get("basic")
