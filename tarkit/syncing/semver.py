"""Semantic versions and constraints on them, as skopeo's lists write them (Masterminds/semver).

A constraint is ``>=1.2, <2 || ^3.1``: commas or spaces join conditions, ``||`` separates
alternatives. Operators are ``=``, ``!=``, ``>``, ``<``, ``>=``, ``<=``, ``~`` (same minor version)
and ``^`` (same major version); ``1.x``, ``*`` and ``1.2 - 1.5`` are ranges. A version with a
pre-release, such as ``1.2.0-rc1``, only matches a condition that has one too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self

from tarkit.errors import UsageError
from tarkit.values import dataclass

_NUMBER = r"(0|[1-9][0-9]{0,18})"
_SUFFIX = r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"v?{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?{_SUFFIX}", re.ASCII)
_PART = r"([0-9]{1,19}|[xX*])"
_OPERATORS = r"(=|==|!=|>|<|>=|=>|<=|=<|~|~>|\^)?"
_CONDITION = re.compile(rf"{_OPERATORS}\s*v?{_PART}(?:\.{_PART})?(?:\.{_PART})?{_SUFFIX}", re.ASCII)
_RANGE = re.compile(r"(\S+)\s+-\s+(\S+)")

_Key = tuple[int, int, int, tuple[tuple[int, int, str], ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """A version: three numbers and the pre-release, empty for a release."""

    numbers: tuple[int, int, int]
    prerelease: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse a tag such as ``v1.2``; return None if it is no version."""
        match = _VERSION.fullmatch(text)
        if match is None:
            return None
        major, minor, patch = (int(part or 0) for part in match.groups()[:3])
        return cls((major, minor, patch), match[4] or "")

    @property
    def key(self) -> _Key:
        """The position in the order of versions (semver.org, section 11)."""
        # a release follows its pre-releases; numbers precede words
        parts = self.prerelease.split(".") if self.prerelease else []
        keys = tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts)
        return (*self.numbers, keys or ((2, 0, ""),))


_Test = Callable[[Version], bool]


class Constraint:
    """A condition on versions."""

    def __init__(self, alternatives: list[list[_Test]]) -> None:
        self._alternatives = alternatives

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse *text*; raises :class:`UsageError` if it is malformed."""
        return cls([_conditions(part.strip(), text) for part in text.split("||")])

    def allows(self, version: Version) -> bool:
        """Return True if *version* meets all conditions of an alternative."""
        return any(all(test(version) for test in tests) for tests in self._alternatives)


def _conditions(text: str, whole: str) -> list[_Test]:
    text = _RANGE.sub(r">=\1,<=\2", text)
    tests: list[_Test] = []
    position = 0
    while position < len(text):
        if text[position] in ", ":
            position += 1
            continue
        match = _CONDITION.match(text, position)
        if match is None or (match.end() < len(text) and text[match.end()] not in ", "):
            raise UsageError(f"malformed version constraint {whole!r}")
        tests.append(_test(match))
        position = match.end()
    if not tests:
        raise UsageError(f"malformed version constraint {whole!r}")
    return tests


def _test(match: re.Match[str]) -> _Test:
    operator = {"==": "=", "=>": ">=", "=<": "<=", "~>": "~"}.get(match[1] or "", match[1] or "")
    given = []
    for part in match.groups()[1:4]:
        if part is None or part in "xX*":
            break
        given.append(int(part))
    full = given + [0] * (3 - len(given))
    low = Version((full[0], full[1], full[2]), match[5] or "")
    # the first version that none of the given parts allows; None if there is no bound
    above = _bound(given, len(given) - 1)
    within = _between(low, above)
    above_caret = _bound(given, next((i for i, n in enumerate(given) if n), len(given) - 1))
    above_tilde = _bound(given, min(1, len(given) - 1))
    tests: dict[str, _Test] = {
        "": within,
        "=": within,
        "!=": lambda version: not within(version),
        ">": (lambda version: version.key > low.key)
        if len(given) == 3
        else (lambda version: above is not None and version.key >= above.key),
        ">=": lambda version: version.key >= low.key,
        "<": lambda version: version.key < low.key,
        "<=": (lambda version: version.key <= low.key)
        if len(given) == 3
        else (lambda version: above is None or version.key < above.key),
        "~": _between(low, above_tilde),
        "^": _between(low, above_caret),
    }
    test = tests[operator]
    if len(given) == 3 and operator in ("", "="):
        test = lambda version: version.key == low.key  # noqa: E731
    if operator == "!=" and len(given) == 3:
        test = lambda version: version.key != low.key  # noqa: E731
    return lambda version: test(version) and (not version.prerelease or bool(low.prerelease))


def _bound(given: list[int], position: int) -> Version | None:
    """Return the version at which the number at *position* of *given* changes next."""
    if position < 0:
        return None
    numbers = [*given[:position], given[position] + 1, 0, 0][:3]
    return Version((numbers[0], numbers[1], numbers[2]), "")


def _between(low: Version, above: Version | None) -> _Test:
    def test(version: Version) -> bool:
        if above is not None and version.numbers >= above.numbers:
            return False  # pre-releases of the bound, too
        return version.key >= low.key

    return test
