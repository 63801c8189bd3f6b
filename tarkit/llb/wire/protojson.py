"""Messages as JSON, like protobuf's mapping with the field names of BuildKit."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from tarkit.llb.wire.base import Message
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import Kind

_WIDE = {"int64", "uint64"}  # written as text, because JavaScript would round them


def to_json(message: Message) -> dict[str, Any]:
    """Return *message* as a JSON object: bytes in base64, 64-bit numbers as text, no defaults."""
    document = {}
    for field in sorted(message.FIELDS, key=lambda field: field.name):
        value = getattr(message, field.attribute)
        if value or (field.oneof and value is not None):
            document[field.name] = _json(field, value)
    return document


def _json(field: Field, value: Any) -> Any:
    kind = field.resolved()
    one: Callable[[Any], Any] = to_json if not isinstance(kind, Kind) else _SCALARS[kind.name]
    if field.shape == "list":
        return [one(each) for each in value]
    if field.shape == "map":
        return {key: one(value[key]) for key in sorted(value)}
    return one(value)


def _plain(value: Any) -> Any:
    return value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("int32", "uint32", "bool", "string"), _plain),
    **dict.fromkeys(_WIDE, str),
    "bytes": lambda value: b64encode(value).decode("ascii"),
    "enum": lambda value: value.name if isinstance(value, IntEnum) else value,
}
