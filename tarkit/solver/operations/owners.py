"""Owners of created files: by number, or by names of the accounts in an input."""

from __future__ import annotations

from collections.abc import Callable

from tarkit.llb.messages import ChownOpt, UserOpt
from tarkit.rootfs.accounts import account_rows
from tarkit.rootfs.filesystem import FileSystem

Owner = tuple[int, int]

FilesOf = Callable[[int], FileSystem | None]
"""Returns the files of an input or earlier action by its number, None for scratch."""


def owner_of(option: ChownOpt | None, files_of: FilesOf) -> Owner | None:
    """Return the user and group that *option* names, None if it names none.

    A user without group gets its primary group: that of ``/etc/passwd`` for a name, and the same
    number for a number. An unknown user is root, and an unknown group is ignored, as in BuildKit.
    """
    if option is None or (option.user is None and option.group is None):
        return None
    user, group = _user(option.user, files_of)
    if option.group is not None:
        number = _group(option.group, files_of)
        group = group if number is None else number
    return user, group


def _user(option: UserOpt | None, files_of: FilesOf) -> Owner:
    if option is None:
        return 0, 0
    if option.by_name is None:
        return option.by_id or 0, option.by_id or 0
    for fields in account_rows(files_of(option.by_name.input), "/etc/passwd", 4):
        if fields[0] == option.by_name.name:
            return int(fields[2]), int(fields[3])
    return 0, 0


def _group(option: UserOpt, files_of: FilesOf) -> int | None:
    if option.by_name is None:
        return option.by_id or 0
    for fields in account_rows(files_of(option.by_name.input), "/etc/group", 3):
        if fields[0] == option.by_name.name:
            return int(fields[2])
    return None
