"""Parse numbers and dates in answers; invalid values count as absent, and all are bounded."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

_LONGEST = 10.0**9  # seconds: about 30 years
_DIGITS = 19  # of a signed 64-bit integer; int() is slow on thousands of digits
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(?:\d{1,19}|\*)", re.ASCII)
_STORED_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})", re.ASCII)


def whole_number(text: str) -> int | None:
    """Return *text* as a number, or None unless it consists of at most 19 ASCII digits."""
    text = text.strip()
    plain = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return int(text) if plain else None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return ``Content-Length`` in bytes, or None."""
    return whole_number(headers.get("Content-Length", ""))


def first_byte(headers: Mapping[str, str]) -> int | None:
    """Return the start of a partial answer in bytes (RFC 9110, section 14.4), or None."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None


def last_byte(headers: Mapping[str, str]) -> int | None:
    """Return the last byte that an upload session has stored, from its ``Range``, or None.

    The distribution specification writes ``0-N``; some registries prefix ``bytes=``.
    """
    match = _STORED_RANGE.fullmatch(headers.get("Range", "").strip())
    return int(match[1]) if match else None


def seconds(value: object) -> float | None:
    """Return a JSON *value* or string of digits as a positive number of seconds, or None."""
    if isinstance(value, str):
        value = whole_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(min(value, _LONGEST)) if value > 0 else None


def retry_after(text: str | None) -> float | None:
    """Return the seconds to wait, given as a number or a date (RFC 9110, section 10.2.3), or None."""
    if not text:
        return None
    if text.strip().isdecimal():
        number = whole_number(text)
        return _LONGEST if number is None else min(float(number), _LONGEST)
    from email.utils import mktime_tz, parsedate_tz

    try:
        date = parsedate_tz(text[:64])
        wait = mktime_tz(date) - time.time() if date else None
    except (ValueError, OverflowError, LookupError, TypeError):
        return None
    return None if wait is None else min(max(0.0, wait), _LONGEST)
