"""Members by name: cleaned on both sides, links followed inside the archive only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tarkit.errors import MemberNotFoundError, UnsafePathError
from tarkit.tar.member import Member, MemberType

MAX_HOPS = 40
"""Most links in a row that are followed; as many as Linux follows."""


def clean(name: bytes) -> bytes | None:
    """Return *name* without ``.``, ``..`` and extra slashes, or None if it leads out of the archive.

    A leading slash stands for the root of the archive, as in extraction.
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


class Names:
    """The members of an archive by their cleaned names.

    If no member has a name, backslashes count as slashes, as tools on Windows write them.
    Members whose names lead out of the archive cannot be found.
    """

    def __init__(self, members: Sequence[Member], where: str | None = None) -> None:
        self._where = where
        self._members: dict[bytes, list[Member]] = {}
        for member in members:
            if (name := clean(member.name)) is not None:
                self._members.setdefault(name, []).append(member)

    @property
    def duplicates(self) -> tuple[bytes, ...]:
        """Names that several members have, directories aside, in the order of the archive."""
        return tuple(
            name
            for name, members in self._members.items()
            if len(members) > 1 and any(m.type is not MemberType.DIRECTORY for m in members)
        )

    def candidates(self, name: str | bytes) -> tuple[Member, ...]:
        """All members of that name as they are, in order."""
        try:
            raw = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name
        except UnicodeEncodeError:  # JSON can spell surrogates that no name can hold
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
        """The members with backslashes in their names, as if these were slashes."""
        members: dict[bytes, list[Member]] = {}
        for name, found in self._members.items():
            if b"\\" in name and (slashed := clean(_slashed(name))) is not None:
                members.setdefault(slashed, []).extend(found)
        return members

    def find(self, name: str | bytes) -> Member | None:
        """The last member of that name, as extraction would leave it, with links followed.

        Raises :class:`UnsafePathError` for a name that leads out of the archive, and for an absolute
        name that no member has.
        """
        self._require_inside(name)
        found = self.candidates(name)
        return self.resolve(found[-1]) if found else None

    def resolve(self, member: Member) -> Member:
        """What *member* stands for: itself, or what its chain of links ends at.

        Raises :class:`UnsafePathError` for a loop and for a target outside the archive, and
        :class:`MemberNotFoundError` where the target is not there.
        """
        return self._follow([member], last=True)[0]

    def holders(self, name: str | bytes) -> list[Member]:
        """Every member a reader could take *name* to be, with links followed; as :meth:`resolve`."""
        self._require_inside(name)
        return self._follow(list(self.candidates(name)), last=False)

    def _require_inside(self, name: str | bytes) -> None:
        raw = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
        # An absolute name may mean a member, but never a file of this machine.
        if clean(raw) is None or (raw.startswith(b"/") and not self.candidates(name)):
            raise UnsafePathError(f"{shown(name)} leads out of the archive", where=self._where)

    def _follow(self, members: list[Member], *, last: bool) -> list[Member]:
        for _ in range(MAX_HOPS):
            if not any(member.type.is_link for member in members):
                return members
            reached: dict[int, Member] = {}
            for member in members:
                targets = self._targets(member) if member.type.is_link else (member,)
                reached.update((m.offset, m) for m in (targets[-1:] if last else targets))
            members = list(reached.values())
        raise UnsafePathError(f"{shown(members[0].name)} is a loop of links", where=self._where)

    def _targets(self, link: Member) -> tuple[Member, ...]:
        is_absolute = link.linkname.startswith(b"/")
        directory = b""
        if link.type is MemberType.SYMLINK and not is_absolute:
            directory = (clean(link.name) or b"").rpartition(b"/")[0]
        target = clean(directory + b"/" + link.linkname)
        found = () if target is None else self._named(target)
        # An absolute target may mean a member, but never a file of this machine.
        if target is None or (is_absolute and not found):
            raise UnsafePathError(
                f"{shown(link.name)} is a link out of the archive, to {shown(link.linkname)}",
                where=self._where,
            )
        if not found:
            raise MemberNotFoundError(
                f"{shown(link.name)} is a link to {shown(link.linkname)}, which is not there",
                where=self._where,
            )
        return found


def _slashed(name: bytes) -> bytes:
    return name.replace(b"\\", b"/")


def shown(name: str | bytes) -> str:
    """*name* for a message."""
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
