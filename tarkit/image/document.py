"""JSON documents from outside: parsed within bounds, and read field by field with typed errors."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tarkit.errors import LimitExceededError, MalformedError

METADATA_LIMIT = 4 << 20
"""Bytes of a manifest, index or config that tarkit is willing to read (4 MiB, as registries do)."""

VALUES_LIMIT = 250_000
"""Values in a document that tarkit is willing to read: each takes memory, and time to be checked."""

DEPTH_LIMIT = 100
"""How deep the values of a document may lie in one another."""

JSON = dict[str, Any]

_LONGEST_NUMBER = 1_000  # digits
_STRING = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)


def parse_json(data: bytes, *, where: str | None = None, limit: int = METADATA_LIMIT) -> Any:
    """The JSON value in *data*.

    Raises :class:`LimitExceededError` above *limit* bytes, `VALUES_LIMIT` and `DEPTH_LIMIT`, and
    :class:`MalformedError` for anything that is not JSON in UTF-8, or has a number that is
    infinite or of thousands of digits.
    """
    if len(data) > limit:
        raise LimitExceededError(
            f"document of {len(data)} bytes, the limit is {limit}", limit=limit, where=where
        )
    if _values(data) > VALUES_LIMIT and _values(_STRING.sub(b"", data)) > VALUES_LIMIT:
        raise LimitExceededError(
            f"a document of more than {VALUES_LIMIT} values", limit=VALUES_LIMIT, where=where
        )
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise _too_deep(where) from None
    except UnicodeDecodeError as error:
        raise MalformedError(f"JSON that is not UTF-8 at byte {error.start}", where=where) from None
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}", where=where) from None
    if data.count(b"[") + data.count(b"{") > DEPTH_LIMIT and _depth(value) > DEPTH_LIMIT:
        raise _too_deep(where)
    return value


def _values(data: bytes) -> int:
    """Count the values in *data*, give or take a few, before they take any memory."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _depth(value: object) -> int:
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
    message = f"JSON nested too deeply: the limit is {DEPTH_LIMIT} levels"
    return LimitExceededError(message, limit=DEPTH_LIMIT, where=where)


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


# Made once: lists of thousands of images read and write as many documents.
_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant, parse_float=_finite, parse_int=_bounded
)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def parse_object(data: bytes, *, where: str | None = None, limit: int = METADATA_LIMIT) -> JSON:
    """The JSON object in *data*; see :func:`parse_json`."""
    return as_object(parse_json(data, where=where, limit=limit), where=where)


def dump_json(document: object) -> bytes:
    """*document* as compact JSON in UTF-8: keys in the order given, no escapes that are not needed."""
    return _ENCODER.encode(document).encode(
        errors="backslashreplace"
    )  # half a surrogate pair: its JSON escape


def as_object(value: object, *, where: str | None) -> JSON:
    """*value*, which must be a JSON object."""
    if not isinstance(value, dict):
        raise MalformedError(f"expected a JSON object, got {_kind(value)}", where=where)
    return value


def get_string(document: Mapping[str, Any], key: str, *, where: str | None) -> str:
    """The string under *key*; absent and null read as the empty string, as Go's decoder does."""
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"{key!r} is {_kind(value)}, not a string", where=where)
    return value


def get_list(document: Mapping[str, Any], key: str, *, where: str | None) -> list[Any]:
    """The list under *key*; absent and null read as the empty list."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedError(f"{key!r} is {_kind(value)}, not a list", where=where)
    return value


def get_strings(document: Mapping[str, Any], key: str, *, where: str | None) -> tuple[str, ...]:
    """The list of strings under *key*; absent and null read as the empty list."""
    values = get_list(document, key, where=where)
    for value in values:
        if not isinstance(value, str):
            raise MalformedError(f"{key!r} holds {_kind(value)}, not a string", where=where)
    return tuple(values)


def get_object(document: Mapping[str, Any], key: str, *, where: str | None) -> JSON:
    """The object under *key*; absent and null read as the empty object."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f"{key!r} is {_kind(value)}, not an object", where=where)
    return value


def get_string_map(document: Mapping[str, Any], key: str, *, where: str | None) -> dict[str, str]:
    """The object of strings under *key* (annotations, labels); null values read as empty."""
    result = {}
    for name, value in get_object(document, key, where=where).items():
        if value is not None and not isinstance(value, str):
            raise MalformedError(f"{key}[{name!r}] is {_kind(value)}, not a string", where=where)
        result[name] = value or ""
    return result


def get_size(document: Mapping[str, Any], key: str, *, where: str | None) -> int:
    """The required number of bytes under *key*, within a signed 64-bit integer."""
    value = document.get(key)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedError(f"{key!r} is not a size in bytes: {str(value)[:40]}", where=where)
    return value


def unknown_fields(document: Mapping[str, Any], known: frozenset[str]) -> JSON:
    """What *document* holds beside the *known* keys, so that it survives a rewrite."""
    return {key: value for key, value in document.items() if key not in known}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
