"""Match patterns with many wildcards in time proportional to their length and that of the path.

The regular expressions of Python try all ways to divide a path among the wildcards, which takes years
for ``a*a*a*…b``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum


class Wildcard(Enum):
    """The parts of a pattern that match more than one character."""

    STAR = "[^/]*"
    DEEP = "(?:.*/)?"
    REST = ".*"


Token = Wildcard | str
"""A wildcard, or a regular expression for one character."""


class Automaton:
    """Matches *tokens*. A state is twice the number of a token, plus one inside the directories of DEEP."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens: list[Wildcard | re.Pattern[str]] = [
            token if isinstance(token, Wildcard) else re.compile(token, re.DOTALL)
            for token in tokens
        ]
        self._end = 2 * len(tokens)

    def fullmatch(self, text: str) -> bool:
        """Return whether all of *text* matches."""
        states = self._reachable([0])
        for character in text:
            states = self._reachable(
                after for state in states for after in self._after(state, character)
            )
        return self._end in states

    def _reachable(self, states: Iterable[int]) -> set[int]:
        """Return *states* and all that follow them if wildcards match nothing."""
        found: set[int] = set()
        for state in states:
            while state not in found:
                found.add(state)
                at, is_inside = divmod(state, 2)
                if is_inside or state == self._end or not isinstance(self._tokens[at], Wildcard):
                    break
                state = 2 * (at + 1)
        return found

    def _after(self, state: int, character: str) -> list[int]:
        if state == self._end:
            return []
        at = state // 2
        match self._tokens[at]:
            case Wildcard.STAR:
                return [] if character == "/" else [state]
            case Wildcard.REST:
                return [state]
            case Wildcard.DEEP:
                return [2 * at + 1, 2 * (at + 1)] if character == "/" else [2 * at + 1]
            case re.Pattern() as one:
                return [2 * (at + 1)] if one.fullmatch(character) else []
