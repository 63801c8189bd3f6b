"""Mappings between the users of a container and those of the machine (user_namespaces(7))."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import UsageError
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class IdRange:
    """A range of *size* IDs, from ``container`` on inside and from ``host`` on outside."""

    container: int
    host: int
    size: int


@dataclass(frozen=True, slots=True)
class IdentityMapping:
    """The user and group IDs of a user namespace; without ranges, IDs are the same on both sides."""

    uids: Sequence[IdRange] = ()
    gids: Sequence[IdRange] = ()

    def to_host(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the IDs outside; raises :class:`UsageError` if one is not mapped."""
        return _outside(uid, self.uids, "user"), _outside(gid, self.gids, "group")

    def to_container(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the IDs inside; raises :class:`UsageError` if one is not mapped."""
        return _outside(uid, _turned(self.uids), "user"), _outside(gid, _turned(self.gids), "group")

    @property
    def root(self) -> tuple[int, int]:
        """The user and group outside that are root inside."""
        return self.to_host(0, 0)


def _turned(ranges: Sequence[IdRange]) -> list[IdRange]:
    return [IdRange(each.host, each.container, each.size) for each in ranges]


def _outside(number: int, ranges: Sequence[IdRange], kind: str) -> int:
    for each in ranges:
        if each.container <= number < each.container + each.size:
            return each.host + number - each.container
    if ranges:
        raise UsageError(f"the {kind} ID {number} is not mapped")
    return number
