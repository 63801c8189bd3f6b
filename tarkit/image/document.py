"""JSON documents from outside: parsed within bounds, and read field by field with typed errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from tarkit.errors import LimitExceededError, MalformedError

METADATA_LIMIT = 4 << 20
"""Bytes of a manifest, index or config that tarkit is willing to read (4 MiB, as registries do)."""

JSON = dict[str, Any]


def parse_json(data: bytes, *, where: str | None = None, limit: int = METADATA_LIMIT) -> Any:
    """The JSON value in *data*.

    Raises :class:`LimitExceededError` above *limit* bytes or beyond the parser's depth, and
    :class:`MalformedError` for anything that is not JSON in UTF-8.
    """
    if len(data) > limit:
        raise LimitExceededError(
            f"document of {len(data)} bytes, the limit is {limit}", limit=limit, where=where
        )
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise LimitExceededError("JSON nested too deeply", limit=limit, where=where) from None
    except UnicodeDecodeError as error:
        raise MalformedError(f"JSON that is not UTF-8 at byte {error.start}", where=where) from None
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}", where=where) from None


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: lists of thousands of images read and write as many documents.
_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
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
