"""CRC32C as used by ext4: the Castagnoli polynomial, seeded by the caller, not inverted.

See "ext4 Data Structures and Algorithms", section 2.8, Checksums.

A loop over the bytes of every inode and metadata block would be too slow, so messages of equal
length are processed side by side. Each of the four bytes of the running checksums is a plane: a
byte string with one byte per message. A step takes a few table look-ups (``bytes.translate``) and
exclusive-ors (of one big integer) over whole planes, which reaches 100 to 200 MB/s with the
standard library alone. Most directory blocks end in zeros. A run of zeros changes a checksum by a
linear map, so one multiplication replaces the loop over them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache

ALL_ONES = 0xFFFFFFFF
_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41, bits reversed
_LEAST_SKIP = 128  # bytes; processing fewer zeros is faster than detecting them


def _step(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(_step(byte) for byte in range(256))
_PLANES = tuple(bytes(entry >> shift & 0xFF for entry in _TABLE) for shift in (0, 8, 16, 24))


def crc32c(data: bytes, seed: int = ALL_ONES) -> int:
    """Return the checksum of *data*, continued from *seed*; use it for single short messages."""
    value = seed
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value


def crc32c_many(
    prefixes: Sequence[bytes], bodies: Sequence[bytes], covered: int, seed: int, *, tail: int = 0
) -> list[int]:
    """Return the checksum of each prefix followed by the first *covered* bytes of its body.

    All prefixes have the same length, and no body is shorter than *covered*. For short bodies,
    *tail* is the number of zeros at the end of many of them.
    """
    checksums = [0] * len(bodies)
    skips = [tail] if tail else _halves(covered)
    for length, positions in _by_length(bodies, covered, skips).items():
        messages = [prefixes[position] + bodies[position][:length] for position in positions]
        values = _side_by_side(messages, seed)
        if length < covered:
            values = _with_zeros(values, covered - length)
        for position, value in zip(positions, values, strict=True):
            checksums[position] = value
    return checksums


def _halves(covered: int) -> list[int]:
    """Return the lengths of zeros to try to skip in long bodies: descending powers of two."""
    if covered <= 2 * _LEAST_SKIP:
        # The largest power of two below *covered*, so that at least one byte is left to process.
        return []
    largest = (covered - 1).bit_length() - 1
    return [1 << n for n in range(largest, -1, -1) if 1 << n >= _LEAST_SKIP]


def _by_length(
    bodies: Sequence[bytes], covered: int, skips: Sequence[int]
) -> Mapping[int, Sequence[int]]:
    """Group the positions of *bodies* by length without trailing zeros, up to *covered*.

    Lengths are *covered* less the first few *skips*, so that there are few groups.
    """
    if not skips:
        return {covered: range(len(bodies))}
    zeros = [bytes(skip) for skip in skips]  # to compare with, made once
    by_length: dict[int, list[int]] = {}
    for position, body in enumerate(bodies):
        length = covered
        for skip, blank in zip(skips, zeros, strict=True):
            if length < skip or not body.startswith(blank, length - skip):
                break
            length -= skip
        by_length.setdefault(length, []).append(position)
    return by_length


def _side_by_side(messages: Sequence[bytes], seed: int) -> list[int]:
    """Return the checksums of *messages*, all of the same length."""
    count, data = len(messages), b"".join(messages)
    size = len(data) // (count or 1)
    low, second, third, high = (
        int.from_bytes(bytes([seed >> shift & 0xFF]) * count, "little") for shift in (0, 8, 16, 24)
    )
    table_0, table_1, table_2, table_3 = _PLANES
    for place in range(size):
        # data[place::size] is byte number *place* of every message.
        index = (low ^ int.from_bytes(data[place::size], "little")).to_bytes(count, "little")
        low = second ^ int.from_bytes(index.translate(table_0), "little")
        second = third ^ int.from_bytes(index.translate(table_1), "little")
        third = high ^ int.from_bytes(index.translate(table_2), "little")
        high = int.from_bytes(index.translate(table_3), "little")
    words = bytearray(4 * count)
    for place, plane in enumerate((low, second, third, high)):
        words[place::4] = plane.to_bytes(count, "little")
    return list(struct.unpack(f"<{count}I", words))


def _with_zeros(checksums: Sequence[int], count: int) -> list[int]:
    """Continue *checksums* over *count* zeros."""
    # The map is linear over GF(2), so the results for the four bytes are added by exclusive-or.
    first, second, third, fourth = _after_zeros(count)
    return [
        first[value & 0xFF]
        ^ second[value >> 8 & 0xFF]
        ^ third[value >> 16 & 0xFF]
        ^ fourth[value >> 24]
        for value in checksums
    ]


@cache
def _after_zeros(count: int) -> list[list[int]]:
    """Return the linear map of *count* zeros as one table for each byte of the checksum."""
    # Square-and-multiply over the binary digits of *count*.
    columns = [1 << bit for bit in range(32)]  # the identity
    for exponent in range(count.bit_length()):
        if count >> exponent & 1:
            columns = _compose(_power_of_zeros(exponent), columns)
    tables = []
    for place in range(0, 32, 8):
        table = [0]
        for column in columns[place : place + 8]:
            # Doubling: each column adds the entries with its bit set.
            table += [value ^ column for value in table]
        tables.append(table)
    return tables


@cache
def _power_of_zeros(exponent: int) -> list[int]:
    """Return the linear map of 2 ** *exponent* zeros, as the images of the 32 bits."""
    if not exponent:
        return [crc32c(b"\0", 1 << bit) for bit in range(32)]
    half = _power_of_zeros(exponent - 1)
    return _compose(half, half)


def _compose(outer: Sequence[int], inner: Sequence[int]) -> list[int]:
    """Return the map that applies *inner*, then *outer*."""
    made = []
    for value in inner:
        total = 0
        while value:
            low = value & -value
            total ^= outer[low.bit_length() - 1]
            value ^= low
        made.append(total)
    return made
