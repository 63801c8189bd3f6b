"""Parse sizes given on the command line."""

from __future__ import annotations

import re

from tarkit.errors import UsageError
from tarkit.ext4 import Percent, SizePolicy

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_PERCENT = re.compile(r"([0-9]{1,3})%", re.ASCII)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Return the bytes of a size such as ``512M`` or ``2GiB``; suffixes are powers of 1024.

    Raises :class:`UsageError` if *text* is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"invalid size {text!r}", hint="use a number with an optional suffix K, M, G or T"
        )
    return int(match[1]) * _FACTORS[match[2].upper()]


def parse_policy(text: str) -> SizePolicy:
    """Parse ``auto``, ``min`` or a size."""
    match text:
        case "auto" | "min":
            return text
    return parse_size(text)


def parse_free(text: str) -> int | Percent:
    """Parse a size or a percentage."""
    match = _PERCENT.fullmatch(text)
    return Percent(int(match[1])) if match else parse_size(text)
