"""CRC32C as ext4 keeps it: the Castagnoli polynomial, seeded by the caller, not inverted.

A checksum per inode and per metadata block is too much for a loop over bytes. Messages of equal
length are therefore taken side by side: each of the four bytes of the running checksums is one
plane, a byte string with a place for every message, and a step is a handful of table look-ups
(``bytes.translate``) and exclusive-ors (of one big integer) over whole planes. That is 100 to
200 MB/s without leaving the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator

ALL_ONES = 0xFFFFFFFF
_POLYNOMIAL = 0x82F63B78


def _step(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(_step(byte) for byte in range(256))
_PLANES = tuple(bytes(entry >> shift & 0xFF for entry in _TABLE) for shift in (0, 8, 16, 24))


def crc32c(data: bytes, seed: int = ALL_ONES) -> int:
    """The checksum of *data* continued from *seed*; for single short messages."""
    value = seed
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value


def crc32c_many(prefixes: bytes, bodies: bytes, count: int, covered: int, seed: int) -> bytes:
    """The checksums of *count* messages, as little-endian 32-bit words one after the other.

    Message *i* is the *i*-th of the *count* equal parts of *prefixes* followed by the first
    *covered* bytes of the *i*-th of the *count* equal parts of *bodies*.
    """
    if not count:
        return b""
    low, second, third, high = (
        int.from_bytes(bytes([seed >> shift & 0xFF]) * count, "little") for shift in (0, 8, 16, 24)
    )
    table_0, table_1, table_2, table_3 = _PLANES
    for column in _columns(prefixes, bodies, count, covered):
        index = (low ^ int.from_bytes(column, "little")).to_bytes(count, "little")
        low = second ^ int.from_bytes(index.translate(table_0), "little")
        second = third ^ int.from_bytes(index.translate(table_1), "little")
        third = high ^ int.from_bytes(index.translate(table_2), "little")
        high = int.from_bytes(index.translate(table_3), "little")
    words = bytearray(4 * count)
    for place, plane in enumerate((low, second, third, high)):
        words[place::4] = plane.to_bytes(count, "little")
    return bytes(words)


def _columns(prefixes: bytes, bodies: bytes, count: int, covered: int) -> Iterator[bytes]:
    prefix_size, body_size = len(prefixes) // count, len(bodies) // count
    for place in range(prefix_size):
        yield prefixes[place::prefix_size]
    for place in range(covered):
        yield bodies[place::body_size]
