"""The kinds of values in a message, and their bytes (protobuf encoding guide, proto3).

A kind also declares a field: ``size: int = int64(3)`` in the body of a message's class.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from tarkit.errors import MalformedError, UsageError
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.varints import SMALL, varint
from tarkit.values import dataclass

VARINT, DELIMITED = 0, 2
"""The two wire types of known fields."""

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of value, and its bytes behind the tag, or behind the length if it is delimited.

    ``read`` takes the number if the wire type is VARINT, else the data and the span of the value.
    """

    name: str
    wire_type: int
    default: Any
    write: Callable[[Any], bytes]
    read: Callable[..., Any]

    def __call__(self, number: int, *, name: str = "", oneof: str = "") -> Any:
        """Declare a field of this kind; see :class:`~tarkit.llb.wire.fields.Field`."""
        return Field(number, self, name=name, oneof=oneof)


def _integer(name: str, bits: int, *, signed: bool) -> Kind:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    mask = (1 << bits) - 1

    def write(value: int) -> bytes:
        if 0 <= value < 128:
            return SMALL[value]
        if not low <= value < high:
            raise UsageError(f"{value} is not in the range of {name}")
        return varint(value & _MASK)

    def read(value: int) -> int:
        value &= mask  # like Go, drop the higher bits
        return value - (1 << bits) if value >= high else value

    return Kind(name, VARINT, 0, write, read)


int32 = _integer("int32", 32, signed=True)
int64 = _integer("int64", 64, signed=True)
uint32 = _integer("uint32", 32, signed=False)
uint64 = _integer("uint64", 64, signed=False)
boolean = Kind("bool", VARINT, False, lambda value: SMALL[bool(value)], bool)


def _write_string(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{value[:160]!r} has no UTF-8 form") from None


def _read_string(data: bytes, start: int, end: int) -> str:
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise MalformedError(f"text at byte {start} is not UTF-8") from None


string = Kind("string", DELIMITED, "", _write_string, _read_string)
raw_bytes = Kind(
    "bytes",
    DELIMITED,
    b"",
    bytes,
    lambda data, start, end: data[start:end],
)


def enum(number: int, values: type[IntEnum], *, name: str = "", oneof: str = "") -> Any:
    """Declare a field with one of *values*; unknown values are kept as numbers."""
    return Field(number, enum_kind(values), name=name, oneof=oneof)


def enum_kind(values: type[IntEnum]) -> Kind:
    """Return the kind of the numbers in *values*, as for lists."""
    members = {int(member): member for member in values}

    def read(value: int) -> int:
        number: int = int32.read(value)
        return members.get(number, number)

    return Kind("enum", VARINT, members.get(0, 0), int32.write, read)
