"""Write the fields of a message as Go does.

Vertex digests are hashes of these bytes, so the order matters: fields in the order of their
numbers, then the members of oneofs, then unknown fields; entries of a map by key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import DELIMITED, VARINT, Kind, string
from tarkit.llb.wire.varints import delimited, varint

Writer = Callable[[list[bytes], Any], None]

_KEY, _VALUE = 1, 2  # numbers of the fields of a map's entry


def writers(fields: Iterable[Field]) -> list[tuple[str, bool, Writer]]:
    """Return attribute, "is written even if zero" and writer of each field, in Go's order."""
    order = sorted(fields, key=lambda field: (field.oneof != "", field.number))
    return [(field.attribute, field.oneof != "", _writer(field)) for field in order]


def _writer(field: Field) -> Writer:
    write, wire_type = _value_writer(field.resolved())
    if field.shape == "map":
        return _map_writer(field.number, write, wire_type)
    if field.shape == "list":
        packed = wire_type == VARINT
        return (_packed_writer if packed else _list_writer)(tag(field.number, DELIMITED), write)
    start = tag(field.number, wire_type)
    return lambda out, value: out.append(start + write(value))


def _value_writer(kind: Any) -> tuple[Callable[[Any], bytes], int]:
    """Return the writer of single values, and their wire type."""
    if isinstance(kind, Kind):
        return kind.write, kind.wire_type
    return lambda value: delimited(value.encode()), DELIMITED


def _list_writer(start: bytes, write: Callable[[Any], bytes]) -> Writer:
    def writer(out: list[bytes], values: Iterable[Any]) -> None:
        out.extend([start + write(value) for value in values])

    return writer


def _packed_writer(start: bytes, write: Callable[[Any], bytes]) -> Writer:
    return lambda out, values: out.append(start + delimited(b"".join(map(write, values))))


def _map_writer(number: int, write: Callable[[Any], bytes], wire_type: int) -> Writer:
    start, key_start, value_start = tag(number, 2), tag(_KEY, 2), tag(_VALUE, wire_type)

    def writer(out: list[bytes], values: Mapping[str, Any]) -> None:
        for key in sorted(values, key=str.encode):
            entry = key_start + string.write(key) + value_start + write(values[key])
            out.append(start + delimited(entry))

    return writer


def tag(number: int, wire_type: int) -> bytes:
    """Return the bytes that precede the value of the field *number*."""
    return varint(number << 3 | wire_type)
