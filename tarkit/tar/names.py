"""Lookup of members by cleaned name, following links inside the archive only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tarkit.errors import MemberNotFoundError, UnsafePathError
from tarkit.tar.member import Member, MemberType

MAX_HOPS = 40
"""Longest chain of links to follow, as in Linux."""


def clean(name: bytes) -> bytes | None:
    """Return *name* without ``.``, ``..`` and extra slashes, or None if it leads out of the archive.

    A leading slash means the root of the archive, as in extraction.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class MemberNames:
    """The members of an archive by their cleaned names.

    If no member has the name, backslashes count as slashes, since tools on Windows write them.
    Members whose names lead out of the archive are ignored.
    """

    def __init__(self, members: Sequence[Member], where: str | None = None) -> None:
        self._where = where
        self._members: dict[bytes, list[Member]] = {}
        for member in members:
            if (name := clean(member.name)) is not None:
                self._members.setdefault(name, []).append(member)

    @property
    def duplicates(self) -> tuple[bytes, ...]:
        """Names shared by several members, in the order of the archive; directories may repeat."""
        return tuple(
            name
            for name, members in self._members.items()
            if len(members) > 1 and any(m.type is not MemberType.DIRECTORY for m in members)
        )

    def candidates(self, name: str | bytes) -> tuple[Member, ...]:
        """Return all members called *name* in order, without following links."""
        try:
            raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
        except UnicodeEncodeError:  # a lone surrogate from JSON, which no name contains
            return ()
        key = clean(raw)
        return () if key is None else self._named(key)

    def _named(self, key: bytes) -> tuple[Member, ...]:
        found = self._members.get(key)
        if found is None and (slashed := clean(_slashed(key))) is not None:
            found = self._members.get(slashed) or self._slashed.get(slashed)
        return tuple(found or ())

    @cached_property
    def _slashed(self) -> dict[bytes, list[Member]]:
        """The members with backslashes in their names, by those names with slashes instead."""
        members: dict[bytes, list[Member]] = {}
        for name, found in self._members.items():
            if b"\\" in name and (slashed := clean(_slashed(name))) is not None:
                members.setdefault(slashed, []).extend(found)
        return members

    def find(self, name: str | bytes) -> Member | None:
        """Return the last member called *name*, as extraction would leave it, following links.

        Return None if there is none. Raises :class:`UnsafePathError` if *name* leads out of the
        archive, or is absolute and no member has it, and the errors of :meth:`resolve`.
        """
        self._require_inside(name)
        found = self.candidates(name)
        return self.resolve(found[-1]) if found else None

    def resolve(self, member: Member) -> Member:
        """Return *member*, or the member at the end of its chain of links.

        Raises :class:`UnsafePathError` for a loop or a target outside the archive, and
        :class:`MemberNotFoundError` if the target is missing.
        """
        return self._follow([member], last=True)[0]

    def holders(self, name: str | bytes) -> list[Member]:
        """Return every member that some reader would open as *name*.

        Raises the errors of :meth:`find`.
        """
        self._require_inside(name)
        return self._follow(list(self.candidates(name)), last=False)

    def _require_inside(self, name: str | bytes) -> None:
        raw = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
        # an absolute name may mean a member, but never a file of the host
        if clean(raw) is None or (raw.startswith(b"/") and not self.candidates(name)):
            raise UnsafePathError(f"{shown(name)} leads out of the archive", where=self._where)

    def _follow(self, members: list[Member], *, last: bool) -> list[Member]:
        for _ in range(MAX_HOPS):
            if not any(member.type.is_link for member in members):
                return members
            reached: dict[int, Member] = {}
            seen: set[bytes | None] = set()
            # each member and each target name once, as many links may lead to many members
            for member in members:
                targets: tuple[Member, ...] = (member,)
                if member.type.is_link:
                    name = _target_name(member)
                    if name in seen:
                        continue
                    seen.add(name)
                    targets = self._targets(member, name)
                reached.update((m.offset, m) for m in (targets[-1:] if last else targets))
            members = list(reached.values())
        raise UnsafePathError(f"{shown(members[0].name)} is a loop of links", where=self._where)

    def _targets(self, link: Member, target: bytes | None) -> tuple[Member, ...]:
        is_absolute = link.linkname.startswith(b"/")
        found = () if target is None else self._named(target)
        # an absolute target may mean a member, but never a file of the host
        if target is None or (is_absolute and not found):
            raise UnsafePathError(
                f"{shown(link.name)} is a link out of the archive, to {shown(link.linkname)}",
                where=self._where,
            )
        if not found:
            raise MemberNotFoundError(
                f"{shown(link.name)} is a link to {shown(link.linkname)}, which is missing",
                where=self._where,
            )
        return found


def _slashed(name: bytes) -> bytes:
    return name.replace(b"\\", b"/")


def shown(name: str | bytes) -> str:
    """Return *name* as text for a message."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _target_name(link: Member) -> bytes | None:
    """Return the cleaned name that *link* leads to, or None if it leads out of the archive."""
    directory = b""
    if link.type is MemberType.SYMLINK and not link.linkname.startswith(b"/"):
        directory = (clean(link.name) or b"").rpartition(b"/")[0]
    return clean(directory + b"/" + link.linkname)
