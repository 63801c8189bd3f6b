"""Write the fields of a message as Go does.

Vertex digests are hashes of these bytes, so the order matters: fields in the order of their
numbers, then the members of oneofs, then unknown fields; entries of a map by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import DELIMITED, VARINT, Kind, string
from tarkit.llb.wire.varints import SMALL, varint

Write = Callable[[Any], bytes]
"""Returns the bytes of a field with its tags."""

_KEY, _VALUE = 1, 2  # numbers of the fields of a map's entry


def writers(fields: Iterable[Field]) -> list[tuple[str, bool, Write]]:
    """Return attribute, "is written even if zero" and writer of each field, in Go's order."""
    order = sorted(fields, key=lambda field: (field.oneof != "", field.number))
    return [(field.attribute, field.oneof != "", _writer(field)) for field in order]


def _writer(field: Field) -> Write:
    kind = field.resolved()
    write = kind.write if isinstance(kind, Kind) else _encode
    wire_type = kind.wire_type if isinstance(kind, Kind) else DELIMITED
    if field.shape == "map":
        return _map_writer(field.number, _value_writer(_VALUE, write, wire_type))
    if field.shape == "list" and wire_type == VARINT:
        return _value_writer(field.number, lambda values: b"".join(map(write, values)), DELIMITED)
    one = _value_writer(field.number, write, wire_type)
    return _list_writer(one) if field.shape == "list" else one


def _encode(message: Any) -> bytes:
    encoded: bytes = message.encode()
    return encoded


def _value_writer(number: int, write: Write, wire_type: int) -> Write:
    """Return a function that puts the tag, and the length if there is one, before a value."""
    start = tag(number, wire_type)
    if wire_type == VARINT:
        return lambda value: start + write(value)
    starts = [start + size for size in SMALL]  # most values are short

    def writer(value: Any) -> bytes:
        payload = write(value)
        size = len(payload)
        return starts[size] + payload if size < 128 else start + varint(size) + payload

    return writer


def _list_writer(write: Write) -> Write:
    return lambda values: b"".join([write(value) for value in values])


def _map_writer(number: int, write_value: Write) -> Write:
    write_key = _value_writer(_KEY, string.write, DELIMITED)

    def entry(item: tuple[str, Any]) -> bytes:
        key, value = item
        return write_key(key) + write_value(value)

    write = _list_writer(_value_writer(number, entry, DELIMITED))
    return lambda values: write(sorted(values.items(), key=_key_bytes))


def _key_bytes(item: tuple[str, Any]) -> bytes:
    return item[0].encode()


def tag(number: int, wire_type: int) -> bytes:
    """Return the bytes that precede the value of the field *number*."""
    return varint(number << 3 | wire_type)
