"""Tar archives: header codec, streaming reader, random-access index, deterministic writer."""

BLOCK_SIZE = 512
"""Headers and data start at multiples of this many bytes."""


def padding(size: int) -> int:
    """Bytes of zeros that follow *size* bytes of data, up to the next block."""
    return -size % BLOCK_SIZE
