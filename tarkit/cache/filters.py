"""Filters of disk usage and prune, in the syntax of containerd.

``field==value``, ``field!=value`` and ``field~=pattern`` compare; a bare ``field`` holds if it is true
or not empty. Commas join conditions that must all hold; of several filters, one must match. A value
with a comma, space or quote is written in double quotes, with backslashes as in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from tarkit.errors import UsageError
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass

FIELDS = (
    "id",
    "parents",
    "description",
    "inuse",
    "mutable",
    "immutable",
    "type",
    "shared",
    "private",
)

_CONDITION = lazy_pattern(
    r'\s*([A-Za-z][A-Za-z0-9_.]*)\s*(?:(==|!=|~=)\s*("(?:[^"\\]|\\.)*"|[^,"\s]*))?\s*(,|\Z)'
)


@dataclass(frozen=True, slots=True)
class _Condition:
    field: str
    operator: str
    value: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Return True if the condition holds for *fields*, in which false fields are missing."""
        found = fields.get(self.field)
        match self.operator:
            case "":
                return found is not None
            case "==":
                return found == self.value
            case "!=":
                return found != self.value
        return found is not None and re.search(self.value, found) is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """Alternatives, each a sequence of conditions; without any, everything matches."""

    alternatives: tuple[tuple[_Condition, ...], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Filter:
        """Parse filters, of which one must match; raises :class:`UsageError`."""
        return cls(tuple(_conditions(text) for text in texts if text.strip()))

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Return True if a ref with *fields* matches."""
        return not self.alternatives or any(
            all(condition.holds(fields) for condition in conditions)
            for conditions in self.alternatives
        )


def _conditions(text: str) -> tuple[_Condition, ...]:
    found = []
    position, more = 0, True
    while more:
        match = _CONDITION.match(text, position)
        if match is None:
            raise UsageError(
                f"malformed filter {text!r}",
                hint="write FIELD==VALUE, FIELD!=VALUE or FIELD~=PATTERN",
            )
        field, operator, value, end = match.groups()
        if field not in FIELDS:
            raise UsageError(
                f"unknown field {field!r} in the filter {text!r}",
                hint=f"fields: {', '.join(FIELDS)}",
            )
        found.append(_condition(field, operator or "", value or "", text))
        position, more = match.end(), end == ","
    return tuple(found)


def _condition(field: str, operator: str, value: str, text: str) -> _Condition:
    try:
        if value.startswith('"'):
            value = str(json.loads(value))
        if operator == "~=":
            re.compile(value)
    except (ValueError, re.error):
        raise UsageError(f"malformed value {value!r} in the filter {text!r}") from None
    return _Condition(field, operator, value)
