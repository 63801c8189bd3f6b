"""Tar archives: header codec, streaming reader, random-access index, deterministic writer."""

BLOCK_SIZE = 512
"""Headers and data start at multiples of this size (POSIX.1-2017 pax, "ustar Interchange Format")."""


def padding(size: int) -> int:
    """Return the number of zero bytes that pad *size* bytes of data to a whole block."""
    return -size % BLOCK_SIZE
