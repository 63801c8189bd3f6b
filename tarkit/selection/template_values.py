"""Values of templates, and how Go prints them."""

from __future__ import annotations

import json
from typing import Any

from tarkit.errors import UsageError, one_line
from tarkit.values import dataclass


class Record(dict[str, Any]):
    """A Go struct: a dictionary with a fixed set of fields."""


@dataclass(frozen=True, slots=True)
class Nil:
    """Go's nil for a type that prints as *text*; null in JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class GoTime:
    """A time that prints as *text* and is *json_text* in JSON."""

    text: str
    json_text: str


def printed(value: object) -> str:
    """Return *value* as Go prints it, with unprintable characters escaped."""
    match value:
        case Nil() | GoTime():
            return value.text
        case Record():
            return f"{{{' '.join(map(printed, value.values()))}}}"
        case dict():
            pairs = (f"{one_line(key)}:{printed(value[key])}" for key in sorted(value))
            return f"map[{' '.join(pairs)}]"
        case list():
            return f"[{' '.join(map(printed, value))}]"
    return one_line(str(value))


def as_json(value: object, indent: int | None = None) -> str:
    """Return *value* as JSON in ASCII; keys of maps are sorted, as in Go."""
    separators = None if indent else (",", ":")
    return json.dumps(_plain(value), indent=indent, separators=separators)


def kind_of(value: object) -> str:
    """Return a word for the type of *value*, for messages."""
    kinds = {str: "a string", int: "a number", list: "a list", dict: "a map", Record: "a struct"}
    return kinds.get(type(value), "a time" if isinstance(value, GoTime) else "nothing")


def _plain(value: object) -> object:
    match value:
        case Nil():
            return None
        case GoTime():
            return value.json_text
        case Record():
            return {key: _plain(inner) for key, inner in value.items()}
        case dict():
            return {key: _plain(value[key]) for key in sorted(value)}
        case list():
            return [_plain(inner) for inner in value]
    return value


def problem_at(position: int, problem: str) -> UsageError:
    """Return the error for a *problem* at the zero-based *position* of the template."""
    return UsageError(f"template, character {position + 1}: {problem}")
