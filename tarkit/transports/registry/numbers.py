"""Numbers and dates from outside. One that makes no sense is as good as none, and none is too large."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

_LONGEST = 10.0**9  # seconds; some 30 years
_DIGITS = 19  # of a signed 64-bit integer


def whole_number(text: str) -> int | None:
    """Return *text* as a number, or ``None`` unless it is plain digits of a sensible length."""
    text = text.strip()
    plain = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return int(text) if plain else None


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the size of a body in bytes, as far as its *headers* say."""
    return whole_number(headers.get("Content-Length", ""))


def seconds(value: object) -> float | None:
    """Return a JSON *value* as a positive number of seconds; strings of digits count as well."""
    if isinstance(value, str):
        value = whole_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return float(min(value, _LONGEST)) if value > 0 else None


def retry_after(text: str | None) -> float | None:
    """Return the seconds to wait, from a number or a date (RFC 9110, section 10.2.3)."""
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
