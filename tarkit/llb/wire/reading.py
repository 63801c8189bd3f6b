"""Read the fields of a message from untrusted bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tarkit.errors import LimitExceededError, MalformedError, TruncatedError
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import DELIMITED, VARINT, Kind, string
from tarkit.llb.wire.varints import read_varint

DEEPEST = 100
"""Levels of nested messages, as in other implementations of protobuf."""

MOST = 1_000_000
"""Messages within one. The bytes of a message bound other values, but an empty message needs two
bytes on the wire and a hundred times that in memory."""

_FIXED = {1: 8, 5: 4}  # wire types that only unknown fields have, and their sizes

Values = dict[str, Any]
Collect = Callable[["Reader", Values, int, int], None]
"""Adds a value, given as a number (then the last argument is unused) or as a span, to others."""


def collectors(fields: Iterable[Field]) -> dict[int, Collect]:
    """Return the collector of each field by tag; numbers in lists may be packed or single."""
    table: dict[int, Collect] = {}
    members = [field for field in fields if field.oneof]
    for field in fields:
        kind = field.resolved()
        wire_type = kind.wire_type if isinstance(kind, Kind) else DELIMITED
        collect = _collector(field, kind)
        if field.oneof:
            others = [m.attribute for m in members if m.oneof == field.oneof and m is not field]
            collect = _exclusive(collect, others)
        table[field.number << 3 | (wire_type if field.shape != "map" else DELIMITED)] = collect
        if field.shape == "list" and wire_type == VARINT:
            table[field.number << 3 | DELIMITED] = _unpacking(collect)
    return table


class Reader:
    """Reads messages from *data*, and counts them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._messages = self._depth = 0

    def enter(self, fields: dict[int, Collect], values: Values, start: int, end: int) -> None:
        """Add the fields of the message between *start* and *end* to *values*."""
        self._messages += 1
        self._depth += 1
        if self._messages > MOST:
            raise LimitExceededError(f"more than {MOST} nested messages", limit=MOST)
        if self._depth > DEEPEST:
            raise LimitExceededError(f"messages nested deeper than {DEEPEST}", limit=DEEPEST)
        self._read(fields, values, start, end)
        self._depth -= 1

    def _read(self, fields: dict[int, Collect], values: Values, at: int, end: int) -> None:
        data = self.data
        while at < end:
            start, tag = at, data[at]
            at += 1
            if tag > 127:
                tag, at = read_varint(data, start, end)
            collect = fields.get(tag)
            if tag & 7 == VARINT:
                if at < end and data[at] < 128:
                    first, last, at = data[at], 0, at + 1
                else:
                    first, at = read_varint(data, at, end)
                    last = 0
            else:
                first, last = self._span(tag, at, end)
                at = last
            if collect is not None:
                collect(self, values, first, last)
            elif tag >> 3 in range(1, 1 << 29):
                _keep(values, data[start:at])
            else:
                raise MalformedError(f"field number {tag >> 3} at byte {start} is invalid")

    def _span(self, tag: int, at: int, end: int) -> tuple[int, int]:
        """Return the first byte of the value at *at*, and the byte behind it."""
        if tag & 7 == DELIMITED:
            size, at = read_varint(self.data, at, end)
        elif (size := _FIXED.get(tag & 7, -1)) < 0:
            raise MalformedError(f"wire type {tag & 7} before byte {at} is unknown")
        if size > end - at:
            raise TruncatedError(f"value of {size} bytes at byte {at} exceeds its message")
        return at, at + size


def _keep(values: Values, field: bytes) -> None:
    """Add an unknown *field*; a bytearray grows without copying the others."""
    values.setdefault("unknown_fields", bytearray()).extend(field)


def _collector(field: Field, kind: Any) -> Collect:
    name = field.attribute
    read = _scalar_reader(kind) if isinstance(kind, Kind) else _message_reader(kind)
    if field.shape == "map":
        return _map_collector(name, kind, read)
    if field.shape == "list":
        return lambda reader, values, first, last: values.setdefault(name, []).append(
            read(reader, None, first, last)
        )

    def collect(reader: Reader, values: Values, first: int, last: int) -> None:
        values[name] = read(reader, values.get(name), first, last)

    return collect


Read = Callable[[Reader, Any, int, int], Any]
"""Returns a value; a message is merged into the one that the field has already."""


def _scalar_reader(kind: Kind) -> Read:
    read = kind.read
    if kind.wire_type == VARINT:
        return lambda reader, old, first, last: read(first)
    return lambda reader, old, first, last: read(reader.data, first, last)


def _message_reader(cls: Any) -> Read:
    def read(reader: Reader, old: Any, first: int, last: int) -> Any:
        message = cls.__new__(cls) if old is None else old
        reader.enter(cls.collectors(), vars(message), first, last)
        return message

    return read


def _map_collector(name: str, kind: Any, read: Read) -> Collect:
    wire_type = kind.wire_type if isinstance(kind, Kind) else DELIMITED
    key = Field(1, string)
    key.attribute = "key"

    def value(reader: Reader, entry: Values, first: int, last: int) -> None:
        entry["value"] = read(reader, entry.get("value"), first, last)

    fields = {1 << 3 | DELIMITED: _collector(key, string), 2 << 3 | wire_type: value}
    absent = (lambda: kind.default) if isinstance(kind, Kind) else kind

    def collect(reader: Reader, values: Values, first: int, last: int) -> None:
        entry: Values = {}
        reader.enter(fields, entry, first, last)
        found = entry["value"] if "value" in entry else absent()
        values.setdefault(name, {})[entry.get("key", "")] = found

    return collect


def _exclusive(collect: Collect, others: list[str]) -> Collect:
    """Return *collect* for a member of a oneof: the last member wins."""

    def exclusive(reader: Reader, values: Values, first: int, last: int) -> None:
        for other in others:
            values.pop(other, None)
        collect(reader, values, first, last)

    return exclusive


def _unpacking(collect: Collect) -> Collect:
    def unpack(reader: Reader, values: Values, at: int, end: int) -> None:
        while at < end:
            number, at = read_varint(reader.data, at, end)
            collect(reader, values, number, 0)

    return unpack
