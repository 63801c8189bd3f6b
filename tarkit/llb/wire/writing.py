"""Write the fields of a message as Go does.

Vertex digests are hashes of these bytes, so the order matters: fields in the order of their
numbers, then the members of oneofs, then unknown fields; entries of a map by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import DELIMITED, VARINT, Kind, string
from tarkit.llb.wire.varints import SMALL, delimited, varint

Write = Callable[[Any], bytes]
"""Returns the bytes of a field with its tags."""

_KEY, _VALUE = 1, 2  # numbers of the fields of a map's entry


def writers(fields: Iterable[Field]) -> list[tuple[str, bool, Write]]:
    """Return attribute, "is written even if zero" and writer of each field, in Go's order."""
    order = sorted(fields, key=lambda field: (field.oneof != "", field.number))
    return [(field.attribute, field.oneof != "", _writer(field)) for field in order]


def _writer(field: Field) -> Write:
    kind = field.resolved()
    is_scalar = isinstance(kind, Kind)
    wire_type = kind.wire_type if is_scalar else DELIMITED
    if field.shape == "map":
        return _map_writer(field.number, kind.write if is_scalar else _message, wire_type)
    if field.shape == "list" and wire_type == VARINT:
        return _packed_writer(tag(field.number, DELIMITED), kind.write)
    start = tag(field.number, wire_type)
    one = _value_writer(start, kind.write) if is_scalar else _message_writer(start)
    return _list_writer(one) if field.shape == "list" else one


def _value_writer(start: bytes, write: Write) -> Write:
    return lambda value: start + write(value)


def _message_writer(start: bytes) -> Write:
    # small messages are frequent: their size is one byte, which is added to the tag beforehand
    starts = [start + size for size in SMALL]

    def writer(value: Any) -> bytes:
        payload: bytes = value.encode()
        size = len(payload)
        return starts[size] + payload if size < len(starts) else start + delimited(payload)

    return writer


def _message(value: Any) -> bytes:
    return delimited(value.encode())


def _list_writer(write: Write) -> Write:
    return lambda values: b"".join([write(value) for value in values])


def _packed_writer(start: bytes, write: Write) -> Write:
    return lambda values: start + delimited(b"".join(map(write, values)))


def _map_writer(number: int, write: Write, wire_type: int) -> Write:
    start, key_start, value_start = tag(number, 2), tag(_KEY, 2), tag(_VALUE, wire_type)

    def writer(values: Mapping[str, Any]) -> bytes:
        entries = [
            key_start + string.write(key) + value_start + write(values[key])
            for key in sorted(values, key=str.encode)
        ]
        return b"".join([start + delimited(entry) for entry in entries])

    return writer


def tag(number: int, wire_type: int) -> bytes:
    """Return the bytes that precede the value of the field *number*."""
    return varint(number << 3 | wire_type)
