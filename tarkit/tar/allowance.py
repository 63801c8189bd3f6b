"""A limit on the number of members, in which those with long headers count more than once."""

from __future__ import annotations

from tarkit.errors import LimitExceededError
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.member import Member

_USUAL = 2 << 10  # bytes of extended headers: a long name, times and the attributes that files have
_PLAIN = 1536  # bytes of memory that a plain member takes
_ATTRIBUTE = 200  # and an extended attribute beside its name and value
_SEGMENT = 130  # and a segment of a sparse member


class Allowance:
    """Counts *what* up to *limit*, and names the *reason* for the limit beyond it.

    Several readers may share one, and be in different threads: an inexact count does no harm.
    """

    def __init__(self, limit: int, what: str, reason: str | None = None) -> None:
        self._limit = limit
        self._left = limit
        self._what = what
        self._reason = reason

    def admit(self, member: Member) -> None:
        """Count *member*, whose headers tell how much memory it takes.

        Raises :class:`LimitExceededError` beyond the limit.
        """
        extended = member.data_offset - member.offset - BLOCK_SIZE
        self.take(1 if extended <= _USUAL else 1 + _memory(member) // _PLAIN)

    def take(self, count: int) -> None:
        """Count *count* at once; raises :class:`LimitExceededError` beyond the limit."""
        self._left -= count
        if self._left < 0:
            reason = f", {self._reason}" if self._reason else ""
            raise LimitExceededError(
                f"more than {self._limit} {self._what}{reason}", limit=self._limit
            )


def _memory(member: Member) -> int:
    """Return how many bytes *member* takes that a plain one does not."""
    texts = (member.name, member.linkname, member.uname, member.gname)
    attributes = sum(_ATTRIBUTE + len(key) + len(value) for key, value in member.xattrs.items())
    return sum(map(len, texts)) + attributes + _SEGMENT * len(member.sparse or ())
