"""Numbers as base-128 varints, the one number format that BuildKit's messages use."""

from __future__ import annotations

from tarkit.errors import MalformedError, TruncatedError

SMALL = tuple(bytes((number,)) for number in range(128))
"""The encoding of each number below 128."""

_LONGEST = 10  # bytes of a 64-bit number


def varint(number: int) -> bytes:
    """Encode *number*, which must not be negative."""
    if number < 128:
        return SMALL[number]
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return the number at *position* of *data*, and the position behind it.

    Raises TruncatedError if it continues behind *end*, and MalformedError if it exceeds 64 bits.
    """
    number = shift = 0
    for at in range(position, min(end, position + _LONGEST)):
        byte = data[at]
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> 64:
                raise MalformedError(f"number at byte {position} exceeds 64 bits")
            return number, at + 1
        shift += 7
    if position + _LONGEST <= end:
        raise MalformedError(f"number at byte {position} exceeds {_LONGEST} bytes")
    raise TruncatedError(f"number at byte {position} continues behind the end of its message")
