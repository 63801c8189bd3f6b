"""Untrusted JSON documents: parsing within limits, and typed access to fields."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.patterns import lazy_pattern

METADATA_LIMIT = 4 << 20
"""Maximum size of a manifest, index or config in bytes: 4 MiB, like registries."""

VALUES_LIMIT = 250_000
"""Maximum number of values in a document, which bounds memory and validation time."""

NESTING_LIMIT = 100
"""Maximum nesting of arrays and objects in a document."""

JSON = dict[str, Any]

_LONGEST_NUMBER = 1_000  # digits; int() takes quadratic time for longer numbers
# Possessive (*+), and an unterminated string ends at \Z, so no input causes backtracking.
_STRING = lazy_pattern(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)


def parse_json(data: bytes, *, where: str | None = None, limit: int = METADATA_LIMIT) -> Any:
    """Return the JSON value in *data*.

    Raises :class:`LimitExceededError` if *data* exceeds *limit* bytes, :data:`VALUES_LIMIT` or
    :data:`NESTING_LIMIT`. Raises :class:`MalformedError` if it is not JSON in UTF-8, or contains an
    infinite number or a number with more than 1,000 digits.
    """
    if len(data) > limit:
        raise LimitExceededError(
            f"document of {len(data)} bytes exceeds the limit of {limit}", limit=limit, where=where
        )
    # The quick count includes strings; remove them only if it is too high.
    if _values(data) > VALUES_LIMIT and _values(_STRING.sub(b"", data)) > VALUES_LIMIT:
        raise LimitExceededError(
            f"document has more than {VALUES_LIMIT} values", limit=VALUES_LIMIT, where=where
        )
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise _too_deep(where) from None
    except UnicodeDecodeError as error:
        raise MalformedError(f"JSON is not UTF-8 at byte {error.start}", where=where) from None
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}", where=where) from None
    # Few brackets cannot nest deeply, so most documents need no walk.
    if data.count(b"[") + data.count(b"{") > NESTING_LIMIT and _depth(value) > NESTING_LIMIT:
        raise _too_deep(where)
    return value


def _values(data: bytes) -> int:
    """Return the approximate number of values in *data*, without parsing it."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _depth(value: object) -> int:
    # Level by level, because recursion could overflow the stack.
    level, depth = [value], 0
    while level:
        depth += 1
        level = [inner for outer in level for inner in _inside(outer)]
    return depth


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep(where: str | None) -> LimitExceededError:
    message = f"JSON nested more than {NESTING_LIMIT} levels deep"
    return LimitExceededError(message, limit=NESTING_LIMIT, where=where)


def _bounded(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"the number {text[:40]}… has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Shared, because json.loads and json.dumps with options would construct one per document.
_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant, parse_float=_finite, parse_int=_bounded
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def parse_object(data: bytes, *, where: str | None = None, limit: int = METADATA_LIMIT) -> JSON:
    """Return the JSON object in *data*.

    Raises the errors of :func:`parse_json`, and :class:`MalformedError` if it is another value.
    """
    return as_object(parse_json(data, where=where, limit=limit), where=where)


def dump_json(document: object) -> bytes:
    """Return *document* as compact UTF-8 JSON, with keys in order and without optional escapes."""
    # UTF-8 cannot encode a lone surrogate; backslashreplace writes \udXXX, its JSON escape.
    return _ENCODER.encode(document).encode(errors="backslashreplace")


def as_object(value: object, *, where: str | None) -> JSON:
    """Return *value*; raise :class:`MalformedError` if it is not a JSON object."""
    if not isinstance(value, dict):
        raise MalformedError(f"expected a JSON object, got {_kind(value)}", where=where)
    return value


def get_string(document: Mapping[str, Any], key: str, *, where: str | None) -> str:
    """Return the string under *key*, or an empty one if it is missing or null, as Go does."""
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"{key!r} is {_kind(value)}, not a string", where=where)
    return value


def get_list(document: Mapping[str, Any], key: str, *, where: str | None) -> list[Any]:
    """Return the list under *key*, or an empty one if it is missing or null."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} is {_kind(value)}, not a list", where=where)
    return value


def get_strings(document: Mapping[str, Any], key: str, *, where: str | None) -> tuple[str, ...]:
    """Return the strings in the list under *key*, none if it is missing or null."""
    values = get_list(document, key, where=where)
    for value in values:
        if not isinstance(value, str):
            raise MalformedError(f"{key!r} holds {_kind(value)}, not a string", where=where)
    return tuple(values)


def get_object(document: Mapping[str, Any], key: str, *, where: str | None) -> JSON:
    """Return the object under *key*, or an empty one if it is missing or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f"{key!r} is {_kind(value)}, not an object", where=where)
    return value


def get_string_map(document: Mapping[str, Any], key: str, *, where: str | None) -> dict[str, str]:
    """Return the strings in the object under *key* (annotations, labels); null becomes empty."""
    result = {}
    for name, value in get_object(document, key, where=where).items():
        if value is not None and not isinstance(value, str):
            raise MalformedError(f"{key}[{name!r}] is {_kind(value)}, not a string", where=where)
        result[name] = value or ""
    return result


def get_size(document: Mapping[str, Any], key: str, *, where: str | None) -> int:
    """Return the required size in bytes under *key*, a signed 64-bit integer."""
    value = document.get(key)
    # type(), because bool is a subclass of int.
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedError(f"{key!r} is not a size in bytes: {str(value)[:40]}", where=where)
    return value


def unknown_fields(document: Mapping[str, Any], known: frozenset[str]) -> JSON:
    """Return the fields of *document* that are not *known*, so that a rewrite can preserve them."""
    return {key: value for key, value in document.items() if key not in known}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
