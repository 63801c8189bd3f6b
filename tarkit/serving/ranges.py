"""``Range`` and ``Content-Range`` (RFC 9110, section 14), and pages of lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from tarkit.serving.problems import Problem

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.ASCII)
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)


def requested(text: str | None, size: int) -> range | None:
    """Return the bytes that the ``Range`` header *text* requests of a blob of *size* bytes.

    Return None for the whole blob: there is no header, or it requests several ranges or is not
    valid, which servers ignore. An empty range cannot be satisfied.
    """
    match = _RANGE.fullmatch(text) if text else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return range(max(size - int(suffix), 0), size)
    start = int(first)
    if last and int(last) < start:
        return None
    return range(start, max(start, min(int(last) + 1, size) if last else size))


def uploaded(text: str) -> range:
    """Return the bytes that the ``Content-Range`` header of a chunk states."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None or int(match[2]) < int(match[1]):
        raise Problem("BLOB_UPLOAD_INVALID", "malformed Content-Range; write FIRST-LAST")
    return range(int(match[1]), int(match[2]) + 1)


def page(items: Sequence[str], count: str | None, last: str | None) -> tuple[list[str], bool]:
    """Return up to *count* of the sorted *items* after *last*, and True if more follow."""
    rest = [item for item in items if last is None or item > last]
    if count is None:
        return rest, False
    if not _COUNT.fullmatch(count):
        raise Problem("SIZE_INVALID", "n is not a number")
    chosen = list(islice(rest, int(count)))
    return chosen, bool(chosen) and len(chosen) < len(rest)
