"""A limit on the number of members, in which a member with long headers counts more than once."""

from __future__ import annotations

from tarkit.errors import LimitExceededError
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.member import Member

# Memory in bytes
_PLAIN = 256  # of a plain member in a listing and in a merged tree
_OBJECT = 600  # of a member kept as an object, without its texts and attributes
_ATTRIBUTE = 200  # of an extended attribute, besides its name and value
_SEGMENT = 130  # of a segment of a sparse member


class Allowance:
    """A counter that raises an error beyond *limit*.

    *what* names the counted things, and *reason* explains the limit, both in messages. Several
    threads may share an allowance, because an inexact count does no harm.
    """

    def __init__(self, limit: int, what: str, reason: str | None = None) -> None:
        self._limit = limit
        self._left = limit
        self._what = what
        self._reason = reason

    def admit(self, member: Member) -> None:
        """Count *member* by the memory it takes; raises :class:`LimitExceededError`."""
        extended = member.data_offset - member.offset - BLOCK_SIZE
        self.take(1 + _memory(member) // _PLAIN if extended > 0 else 1)

    def take(self, count: int) -> None:
        """Count *count* at once; raises :class:`LimitExceededError` if the limit is exceeded."""
        self._left -= count
        if self._left < 0:
            reason = f", {self._reason}" if self._reason else ""
            raise LimitExceededError(
                f"more than {self._limit} {self._what}{reason}", limit=self._limit
            )


def _memory(member: Member) -> int:
    """Return the memory in bytes that *member* takes in addition to a plain member."""
    texts = (member.name, member.linkname, member.uname, member.gname)
    attributes = sum(_ATTRIBUTE + len(key) + len(value) for key, value in member.xattrs.items())
    segments = _SEGMENT * len(member.sparse or ())
    own = _OBJECT if attributes or segments else 0
    return sum(map(len, texts)) + attributes + segments + own
