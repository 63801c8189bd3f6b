"""Parse the ``WWW-Authenticate`` header of a 401 (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from tarkit.values import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATORS = re.compile(r"[\s,;]*")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*))')
_CREDENTIAL = re.compile(r"[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|;|$))")  # "token68"
_SCHEME = re.compile(rf"({_TOKEN}):?(?=[\s,;]|$)")
_KNOWN = frozenset({"basic", "bearer"})
_LIMIT = 8192  # characters of a header; bounds the time of the regular expressions


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate: ``scheme`` in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges in the values of ``WWW-Authenticate``, up to a syntax error in each.

    Commas, semicolons and spaces are all separators, since registries use each of them. A word with
    a value is a parameter, and a word without a value is a scheme.
    """
    return [challenge for header in headers for challenge in _parse(header[:_LIMIT])]


def _parse(header: str) -> Iterator[Challenge]:
    position = _skip(header, 0)
    while match := _SCHEME.match(header, position):
        scheme, position = match[1].lower(), match.end()
        position = _skip_credential(header, position)
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
            position = _skip(header, parameter.end())
        yield Challenge(scheme, parameters)


def _skip(header: str, position: int) -> int:
    match = _SEPARATORS.match(header, position)
    return match.end() if match else position


def _skip_credential(header: str, position: int) -> int:
    """Skip the separators after a scheme, and a bare credential (``token68``) as in Negotiate."""
    after = _skip(header, position)
    match = _CREDENTIAL.match(header, after)
    alone = match and "," not in header[position:after] and match[0].lower() not in _KNOWN
    return _skip(header, match.end()) if match and alone else after


def preferred(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the challenge to answer, preferring Bearer to Basic, or None if neither is offered."""
    known: dict[str, Challenge] = {}
    for challenge in challenges:
        if challenge.scheme != "bearer" or "realm" in challenge.parameters:
            known.setdefault(challenge.scheme, challenge)
        else:
            known.setdefault("bearer without a realm", challenge)
    return known.get("bearer") or known.get("basic") or known.get("bearer without a realm")
