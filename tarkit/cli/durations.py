"""Parse durations given on the command line."""

from __future__ import annotations

import re

from tarkit.errors import UsageError

_PART = re.compile(r"([0-9]{1,9})(s|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> int:
    """Return the seconds in ``90s``, ``1h30m`` or ``2d``. Raises :class:`UsageError`."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"invalid duration {text!r}", hint="write for example 30m, 48h or 7d")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)
