"""The user of a process by name or number, looked up in the root filesystem."""

from __future__ import annotations

from tarkit.errors import NotFoundError
from tarkit.executor.container import User
from tarkit.rootfs.accounts import account_rows
from tarkit.rootfs.filesystem import FileSystem


def find_user(text: str, files: FileSystem) -> User:
    """Return the user that *text* names: empty for root, else ``user[:group]``, names or numbers.

    A user without a group has its primary group, and the supplementary groups that list its name.
    Raises :class:`NotFoundError` for unknown names.
    """
    name, colon, group = text.partition(":")
    if not name:
        return User() if not colon else User(0, _group(group, files))
    row = _user_row(name, files)
    if row is None and not name.isdecimal():
        raise NotFoundError(f"no user {name[:80]!r} in /etc/passwd")
    uid, gid = (int(row[2]), int(row[3])) if row is not None else (int(name), 0)
    if colon:
        return User(uid, _group(group, files))
    return User(uid, gid, _groups(row[0], files) if row is not None else ())


def _user_row(name: str, files: FileSystem) -> list[str] | None:
    for row in account_rows(files, "/etc/passwd", 4):
        if row[0] == name or (name.isdecimal() and int(row[2]) == int(name)):
            return row
    return None


def _group(name: str, files: FileSystem) -> int:
    if name.isdecimal():
        return int(name)
    for row in account_rows(files, "/etc/group", 3):
        if row[0] == name:
            return int(row[2])
    raise NotFoundError(f"no group {name[:80]!r} in /etc/group")


def _groups(user: str, files: FileSystem) -> tuple[int, ...]:
    return tuple(
        int(row[2])
        for row in account_rows(files, "/etc/group", 3)
        if len(row) > 3 and user in row[3].split(",")
    )
