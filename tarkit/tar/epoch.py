"""``SOURCE_DATE_EPOCH``, the only time from the environment that output may depend on."""

from __future__ import annotations

import os

from tarkit.errors import UsageError

_VARIABLE = "SOURCE_DATE_EPOCH"
_LAST = 1 << 40  # seconds; about 35,000 years


def source_date_epoch() -> int | None:
    """Return ``SOURCE_DATE_EPOCH`` in seconds, or None if it is unset or empty.

    Raises :class:`UsageError` if it is not a number. Specified at https://reproducible-builds.org/specs/source-date-epoch/.
    """
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) > _LAST:
        raise UsageError(f"{_VARIABLE} is {text[:40]!r}, not a number of seconds")
    return int(text)
