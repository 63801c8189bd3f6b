"""Files of this machine, and the metadata that they keep in an image.

Set-id bits and file capabilities are kept only if root or the caller owns the file, since they would
give its owner root's rights. Of the extended attributes, ``user.`` and file capabilities are kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tarkit.rootfs.path_patterns import PathPatterns
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_staging
from tarkit.tar.member import MemberType
from tarkit.values import dataclass

_CAPABILITY = "security.capability"
_SET_ID = stat.S_ISUID | stat.S_ISGID
_KINDS = {
    stat.S_IFREG: MemberType.FILE,
    stat.S_IFDIR: MemberType.DIRECTORY,
    stat.S_IFLNK: MemberType.SYMLINK,
}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One entry: *below* is its path relative to the top, *first* an earlier name or None."""

    path: Path
    below: str
    status: os.stat_result
    kind: MemberType
    mode: int
    xattrs: dict[bytes, bytes]
    first: str | None


def local_files(top: Path, exclude: PathPatterns | None = None) -> Iterator[LocalFile]:
    """Yield *top* and everything below it, parents first, siblings by name.

    What *exclude* matches is left out, but not the parent directories of anything else. Raises
    :class:`~tarkit.errors.PathNotFoundError` and other errors of the system.
    """
    if exclude is None:
        yield from _all(top)
        return
    parents: list[LocalFile] = []
    for found in _all(top):
        while parents and not found.below.startswith(f"{parents[-1].below}/"):
            parents.pop()
        if found.below == "." or not exclude.match(found.below):
            yield from parents
            parents.clear()
            yield found
        elif found.kind is MemberType.DIRECTORY:
            parents.append(found)


def _all(top: Path) -> Iterator[LocalFile]:
    first: dict[tuple[int, int], str] = {}
    pending = [top]
    while pending:
        path = pending.pop()
        below = path.relative_to(top).as_posix()
        with os_errors(path):
            status = path.stat() if path is top else path.lstat()
            if stat.S_ISDIR(status.st_mode):
                # unfinished outputs of tarkit may be in the tree while it is added
                inside = (each for each in path.iterdir() if not is_staging(each))
                pending += sorted(inside, reverse=True)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), MemberType.OTHER)
        other = None
        if kind is MemberType.FILE and status.st_nlink > 1:
            other = first.setdefault((status.st_dev, status.st_ino), below)
        yield LocalFile(
            path,
            below,
            status,
            kind,
            kept_mode(status, kind),
            kept_attributes(path, status, kind),
            None if other == below else other,
        )


def _is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid()) if hasattr(os, "geteuid") else True


def kept_mode(status: os.stat_result, kind: MemberType) -> int:
    """Return the permissions that a file keeps in an image."""
    mode = stat.S_IMODE(status.st_mode)
    is_kept = kind is MemberType.DIRECTORY or _is_trusted(status)
    return mode if is_kept else mode & ~_SET_ID


def kept_attributes(
    path: Path | bytes, status: os.stat_result, kind: MemberType
) -> dict[bytes, bytes]:
    """Return the attributes of *path* that belong to the file and not to the machine."""
    trusted = _is_trusted(status)
    if kind not in (MemberType.FILE, MemberType.DIRECTORY) or not hasattr(os, "listxattr"):
        return {}
    names: list[str] = []
    with suppress(OSError):  # the filesystem does not support attributes
        names = sorted(os.listxattr(path))
    kept = [name for name in names if name.startswith("user.") or (trusted and name == _CAPABILITY)]
    with os_errors(Path(os.fsdecode(path))):
        return {os.fsencode(name): os.getxattr(path, name) for name in kept}
