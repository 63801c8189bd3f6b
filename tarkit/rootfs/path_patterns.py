"""Include and exclude patterns as in ``.dockerignore`` files and BuildKit.

A pattern matches a path, and everything below. ``*`` and ``?`` match within a component, ``**`` any
number of components, and a pattern after ``!`` takes back what those before have matched.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.rootfs.automaton import Automaton, Token, Wildcard

_LONGEST = 4096  # characters of a pattern, as of a path on Linux
_MANY = 3  # wildcards that a regular expression can try in all ways


class Expression(Protocol):
    """A translated pattern."""

    def fullmatch(self, text: str, /) -> object:
        """Return something true if all of *text* matches."""
        ...


class _Pattern(NamedTuple):
    expression: Expression
    takes_back: bool


class PathPatterns:
    """A list of patterns; raises :class:`MalformedError` if one of them is invalid."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns: list[_Pattern] = []
        for each in patterns:
            pattern = each.strip()
            if not pattern:
                continue
            pattern = posixpath.normpath(pattern)
            takes_back = pattern.startswith("!")
            expression = _expression(pattern[1:] if takes_back else pattern)
            self._patterns.append(_Pattern(expression, takes_back))

    def match(self, path: str) -> bool:
        """Return whether *path*, relative and without ``..``, or a directory above it is matched."""
        parts = path.split("/")
        paths = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        matched = False
        for expression, takes_back in self._patterns:
            # a later pattern can only change the result in its own direction
            if takes_back == matched and any(map(expression.fullmatch, paths)):
                matched = not takes_back
        return matched


def wildcard(pattern: str) -> Expression:
    """Return *pattern* as Go's ``path.Match`` understands it: no wildcard matches a slash.

    Raises :class:`MalformedError` if it is invalid.
    """
    return _compile(pattern, deep=False)


def _expression(pattern: str) -> Expression:
    return _compile(pattern, deep=True)


def _compile(pattern: str, *, deep: bool) -> Expression:
    """Translate *pattern*; ``**`` matches any number of components only if *deep*."""
    if len(pattern) > _LONGEST:
        raise LimitExceededError(f"pattern of {len(pattern)} characters", limit=_LONGEST)
    found: list[Token] = []
    at = 0
    while at < len(pattern):
        if deep and pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):  # "**/" also matches nothing
                at += 1
            found.append(Wildcard.REST if at == len(pattern) else Wildcard.DEEP)
            continue
        translated, at = _translated(pattern, at)
        found.append(translated)
    try:
        if sum(isinstance(token, Wildcard) for token in found) > _MANY:
            return Automaton(found)
        return re.compile("".join(map(_text, found)), re.DOTALL)
    except re.error:
        raise _invalid(pattern) from None


def _text(token: Token) -> str:
    return token.value if isinstance(token, Wildcard) else token


def _translated(pattern: str, at: int) -> tuple[Token, int]:
    """Return the expression for the character or class at *at*, and the position after it."""
    match character := pattern[at]:
        case "*":
            return Wildcard.STAR, at + 1
        case "?":
            return "[^/]", at + 1
        case "[":
            return _class(pattern, at)
        case "\\":
            if at + 1 == len(pattern):
                raise _invalid(pattern)
            return re.escape(pattern[at + 1]), at + 2
    return re.escape(character), at + 1


def _class(pattern: str, start: int) -> tuple[str, int]:
    """Return the class of characters that begins at *start*, as ``[^a-c]``, and the position after it."""
    at = start + 1
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not pattern.startswith("]", at) or not ranges:
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' * negated}{''.join(ranges)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """Return the character of a class at *at*, which a backslash may escape, and the position after it."""
    at += pattern.startswith("\\", at)
    if at >= len(pattern) or (pattern[at] in "-]" and pattern[at - 1] != "\\"):
        raise _invalid(pattern)
    return pattern[at], at + 1


def _invalid(pattern: str) -> MalformedError:
    return MalformedError(f"syntax error in the pattern {pattern!r}")
