"""Times in cache configs: RFC 3339 with up to nine decimals, here nanoseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tarkit.errors import MalformedError

_FORMAT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN = int((datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)) * 10**9
"""Go's zero time, which stands for an absent time and is older than all others."""


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch; raise MalformedError if *text* is not RFC 3339."""
    match = _FORMAT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        clock, fraction, _, sign, hours, minutes = match.groups()
        time = datetime.fromisoformat(clock).replace(tzinfo=UTC)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        if not offset < timedelta(days=1):
            raise ValueError
        seconds = (time - _EPOCH) // timedelta(seconds=1)
        seconds -= (-1 if sign == "-" else 1) * (offset // timedelta(seconds=1))
    except ValueError:
        raise MalformedError(f"time {text[:80]!r} is not in the format of RFC 3339") from None
    return seconds * 10**9 + int((fraction or "")[:9].ljust(9, "0"))


def format_time(nanoseconds: int) -> str:
    """Return the time in UTC, with as many decimals as needed."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    time = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
    decimals = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{time.isoformat()}{decimals}Z"
