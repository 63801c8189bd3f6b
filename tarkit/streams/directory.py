"""Directories held open, so that nobody leads their user astray by renaming or linking.

Whoever may write to a directory may rename the entries of it at any time, and put others or links
in their place. A path is resolved anew with every use; a descriptor reaches the directory that was
opened, whatever its name is now. So everything that writes to a directory opens it once, and then
names single entries in it, which are never followed if they are links.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import RefusedError, UnsafePathError
from tarkit.streams.closeable import Closeable


def open_flags(*names: str) -> int:
    """Return the flags of ``os.open`` with those *names*, leaving out those the system lacks."""
    return sum(getattr(os, name, 0) for name in names)


OPEN = open_flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC")
NO_LINK = open_flags("O_NOFOLLOW")
_CREATE = open_flags("O_RDWR", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")

_NO_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)
"""Filesystems without it, and directories that may not be read."""


class Directory(Closeable):
    """An open directory, to be closed; ``path`` is its name for messages.

    Methods take the name of one entry, raise :class:`OSError`, and never follow a link unless they
    say so. ``descriptor`` is ``None`` on systems whose calls take none, such as Windows; the path
    stands in for it there.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Directory:
        """Open the directory at *path*, following links: the caller trusts the path.

        A directory that may be written to but not read is enough for making files in it.
        """
        try:
            return cls._opened(path, path, None)
        except PermissionError:
            if not hasattr(os, "O_PATH"):
                raise
            return cls(path, os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    @classmethod
    def _opened(cls, path: Path, name: str | Path, parent: int | None, flags: int = 0) -> Directory:
        if os.open in os.supports_dir_fd:
            return cls(path, os.open(name, OPEN | flags, dir_fd=parent))
        os.scandir(path).close()  # raises what opening would
        return cls(path, None)

    def open_directory(self, name: str) -> Directory:
        """Open the directory *name*; raises :class:`UnsafePathError` if it is a link."""
        try:
            if os.open not in os.supports_dir_fd:
                self._refuse_link(name)
            return self._opened(self.path / name, name, self.descriptor, NO_LINK)
        except OSError:
            self._refuse_link(name)
            raise

    def open_inside(self, name: str) -> Directory:
        """Open the directory at the relative path *name*, following links that stay inside this one.

        Raises :class:`UnsafePathError` if a link leads out or nowhere, or changes meanwhile.
        """
        top = Path(os.path.realpath(self.reference))
        target = Path(os.path.realpath(self.reference / name))
        if not target.is_relative_to(top):
            raise UnsafePathError(
                f"a link that leads out of {self.path.name!r}", where=str(self.path / name)
            )
        current = self.reopen()
        for part in target.relative_to(top).parts:
            with current as outer:
                current = outer._open_resolved(part, self.path / name)
        current.path = self.path / name
        return current

    def _open_resolved(self, name: str, where: Path) -> Directory:
        try:
            return self.open_directory(name)
        except FileNotFoundError:
            raise UnsafePathError("a link that leads nowhere", where=str(where)) from None
        except NotADirectoryError:
            raise RefusedError("not a directory", where=str(where)) from None

    def reopen(self) -> Directory:
        """Open this directory once more, with a descriptor that shares no lock with this one."""
        return self._opened(
            self.path, self.path if self.descriptor is None else ".", self.descriptor
        )

    def make(self, name: str, mode: int = 0o755) -> Directory:
        """Make the directory *name* with *mode* under any umask, and open it.

        Raises :class:`RefusedError` if anything but a new directory of ours is there then.
        """
        os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)
        made = self.open_directory(name)
        try:
            if made.names() or not self._could_have_made(made):
                raise RefusedError(
                    "somebody else puts directories in the place of new ones", where=str(made.path)
                )
            if made.descriptor is not None:
                os.fchmod(made.descriptor, mode)
        except BaseException:
            made.close()
            raise
        return made

    def ensure(self, name: str) -> Directory:
        """Open the directory *name*, and make it for this user alone if it is not there.

        Raises :class:`UnsafePathError` if it is a link.
        """
        while True:
            with suppress(FileExistsError):
                os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)
            try:
                return self.open_directory(name)
            except FileNotFoundError:  # somebody has just removed it
                continue

    def _could_have_made(self, other: Directory) -> bool:
        """Whether *other* is on this filesystem and of the owner that new entries here get."""
        if self.descriptor is None:
            return True
        status = other.status()
        if status.st_dev != self.status().st_dev:
            return False
        return status.st_uid == os.geteuid() or status.st_uid == self._new_owner()

    def _new_owner(self) -> int:
        """The owner of a new file: some filesystems, such as vfat and NFS, do not give it to us."""
        name = temporary_name()
        descriptor = self.create(name)
        try:
            return os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
            self.unlink(name)

    def create(self, name: str) -> int:
        """Make the file *name*, for this user alone, and return its descriptor."""
        return os.open(self.at(name), _CREATE, 0o600, dir_fd=self.descriptor)

    def open_file(self, name: str) -> BinaryIO:
        """Open the file *name* for reading, without a buffer."""
        flags = open_flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
        descriptor = os.open(self.at(name), flags, dir_fd=self.descriptor)
        return os.fdopen(descriptor, "rb", buffering=0)

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)  # noqa: PTH208

    def status(self) -> os.stat_result:
        """Return the system's status of this directory."""
        return self.path.stat() if self.descriptor is None else os.fstat(self.descriptor)

    def lookup(self, name: str) -> os.stat_result | None:
        """Return the system's status of the entry *name*, or ``None`` if there is none."""
        try:
            return os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds_file(self, name: str) -> bool:
        """Return whether the entry *name* is a regular file."""
        status = self.lookup(name)
        return status is not None and stat.S_ISREG(status.st_mode)

    def holds(self, name: str, status: os.stat_result) -> bool:
        """Return whether the entry *name* is the inode that *status* describes."""
        found = self.lookup(name)
        return found is not None and os.path.samestat(found, status)

    def move(self, name: str, target: Directory, new_name: str) -> None:
        """Move the entry *name* to *new_name* in *target*, replacing a file or an empty directory."""
        os.replace(
            self.at(name),
            target.at(new_name),
            src_dir_fd=self.descriptor,
            dst_dir_fd=target.descriptor,
        )

    def publish(
        self,
        name: str,
        target: Directory,
        new_name: str,
        *,
        expected: os.stat_result,
        durable: bool = True,
    ) -> None:
        """Move *name*, which is the inode *expected*, to *new_name* in *target*, for all to see.

        The name is on the disk afterwards if *durable*. Raises :class:`RefusedError` if another
        inode got it: where others may write, they can be quicker.
        """
        self.move(name, target, new_name)
        if target.descriptor is not None and not target.holds(new_name, expected):
            raise RefusedError(
                "somebody else has put something in its place", where=str(target.path / new_name)
            )
        if durable:
            target.sync()

    def touch(self, name: str) -> None:
        """Give the entry *name* the current time."""
        follow = os.utime not in os.supports_follow_symlinks
        os.utime(self.at(name), dir_fd=self.descriptor, follow_symlinks=follow)

    def unlink(self, name: str) -> None:
        """Remove the entry *name*, which is no directory."""
        os.unlink(self.at(name), dir_fd=self.descriptor)

    def rmdir(self, name: str) -> None:
        """Remove the empty directory *name*."""
        os.rmdir(self.at(name), dir_fd=self.descriptor)

    def sync(self) -> None:
        """Write the names in this directory to the disk, if the system knows how."""
        if self.descriptor is not None:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno not in _NO_SYNC:
                    raise

    def fileno(self) -> int:
        """Return the descriptor, for callers on systems that have one."""
        assert self.descriptor is not None
        return self.descriptor

    def at(self, name: str) -> str | Path:
        """What a call that takes ``dir_fd=self.descriptor`` is to be given for the entry *name*."""
        return self.path / name if self.descriptor is None else name

    @property
    def reference(self) -> Path:
        """A path that leads here, for those that take nothing else: on Linux whatever the name is now."""
        held = Path(f"/proc/self/fd/{self.descriptor}")
        return held if self.descriptor is not None and held.is_dir() else self.path

    def _refuse_link(self, name: str) -> None:
        status = self.lookup(name)
        if status is not None and stat.S_ISLNK(status.st_mode):
            raise UnsafePathError(
                "a link, and none is followed to write something", where=str(self.path / name)
            )

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor is not None and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1  # and not None, which would stand for the path


def temporary_name() -> str:
    """Return a hidden name that nobody can foresee."""
    return f".tarkit-{os.urandom(8).hex()}.tmp"
