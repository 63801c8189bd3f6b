"""Mount points that a container needs, and that must not stay in its root filesystem."""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.tar.member import MemberType

_ALWAYS = ("/etc/hosts", "/etc/resolv.conf")


class Stubs:
    """The mount points at *destinations*, and their parents, that the root *files* lack."""

    def __init__(self, files: FileSystem, destinations: Iterable[str]) -> None:
        self._files = files
        found = {each: None for dest in (*_ALWAYS, *destinations) for each in _missing(files, dest)}
        self._paths = sorted(found, key=lambda path: path.count("/"), reverse=True)

    def remove(self, changed: WritableFileSystem) -> None:
        """Remove those that are still empty from *changed*, the root after the process.

        Their parents get back their times, unless the process created or removed something there.
        """
        for path in self._paths:
            if changed.exists(path) and _is_empty(changed, path):
                changed.remove(path)
        for parent in {path.rpartition("/")[0] or "/" for path in self._paths}:
            if self._files.exists(parent) and _names(self._files, parent) == _names(
                changed, parent
            ):
                changed.utime(parent, self._files.stat(parent).mtime_ns)
        changed.flush()


def _missing(files: FileSystem, dest: str) -> list[str]:
    """Return the path *dest* and its parents as far as they are missing, with links followed."""
    current = ""
    missing: list[str] = []
    for part in (each for each in dest.split("/") if each not in ("", ".")):
        path = f"{current}/{part}"
        if not missing and files.exists(path):
            current = files.resolve(path).rstrip("/")
        else:
            missing.append(path)
            current = path
    return missing


def _is_empty(files: FileSystem, path: str) -> bool:
    entry = files.stat(path, follow=False)
    if entry.type is MemberType.DIRECTORY:
        return not _names(files, path)
    return entry.type is MemberType.FILE and entry.size == 0


def _names(files: FileSystem, path: str) -> set[bytes]:
    children = files.tree.find(files.tree.parts(path)).children if files.exists(path) else None
    return set(children or ())
