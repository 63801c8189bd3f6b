"""Permissions as ``chmod(1)`` understands them: octal numbers, and clauses such as ``u+x,go=rX``."""

from __future__ import annotations

from collections.abc import Callable

from tarkit.errors import MalformedError
from tarkit.patterns import lazy_pattern

_CLAUSE = lazy_pattern(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_STEP = lazy_pattern(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}

Change = Callable[[int, bool], int]
"""Returns the new mode of a file with a mode; the second argument tells whether it is a directory."""


def parse_mode(text: str) -> Change:
    """Return the change that *text* describes; raises MalformedError.

    Without ``u``, ``g`` or ``o``, a clause applies to all three: there is no umask.
    """
    if text and all(character in "01234567" for character in text) and len(text) <= 5:
        number = int(text, 8) & 0o7777
        return lambda mode, is_directory: number
    clauses = text.split(",")
    found = [_CLAUSE.fullmatch(clause) for clause in clauses]
    if not all(found):
        raise MalformedError(f"{text[:80]!r} is not a mode", hint="for example 0755 or u+x,go=rX")
    steps = [
        (match[1].replace("a", "ugo") or "ugo", step[1], step[2])
        for match in found
        if match is not None
        for step in _STEP.finditer(match[2])
    ]

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, what in steps:
            mode = _apply(mode, who, operator, what, is_directory=is_directory)
        return mode

    return change


def _apply(mode: int, who: str, operator: str, what: str, *, is_directory: bool) -> int:
    bits = mask = 0
    for each in set(who):
        shift = _SHIFTS[each]
        bits |= _permissions(mode, what, is_directory=is_directory) << shift
        mask |= 7 << shift
        if "s" in what and each in "ug":
            bits |= 0o4000 if each == "u" else 0o2000
        mask |= {"u": 0o4000, "g": 0o2000, "o": 0}[each]
    if "t" in what:
        bits |= 0o1000
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    if is_directory:  # as chmod(1): set-id bits of directories stay unless they are named
        mask &= ~0o6000
    return (mode & ~mask) | bits


def _permissions(mode: int, what: str, *, is_directory: bool) -> int:
    if what in _SHIFTS:
        return (mode >> _SHIFTS[what]) & 7
    found = 0
    for letter in what:
        found |= _BITS.get(letter, 0)
        if letter == "X" and (is_directory or mode & 0o111):
            found |= 1
    return found
