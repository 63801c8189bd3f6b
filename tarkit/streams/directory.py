"""Open directories, which stay safe if other processes rename entries or add links.

Any user with write access to a directory may rename its entries at any time and replace them with
others or with links. Each use of a path resolves it again, but a descriptor always refers to the
directory that was opened. So code that writes to a directory opens it once, then accesses single
directory that was opened. Code that writes to a directory therefore opens it once, then accesses
single

Together with :mod:`tarkit.streams.atomic`, this module is the one place for durability:
:meth:`Directory.publish` and :meth:`Directory.sync` put names on the disk.
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
    """Combine the named flags of ``os.open``, except those that the system does not have."""
    return sum(getattr(os, name, 0) for name in names)


OPEN = open_flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC")
NO_LINK = open_flags("O_NOFOLLOW")
_CREATE = open_flags("O_RDWR", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")

_NO_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)
"""Errors of fsync on filesystems without it, and on directories opened with ``O_PATH``."""


class Directory(Closeable):
    """An open directory; errors name its ``path``.

    Methods take the name of a single entry, raise :class:`OSError`, and follow links only if their
    docstrings say so. ``descriptor`` is None on systems without ``dir_fd``, such as Windows; their
    calls use the path instead.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Directory:
        """Open the directory at *path*, following links: the caller must trust the path.

        Write access is enough to create files in it; read access is not required.
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
        os.scandir(path).close()  # raises the same errors as opening it
        return cls(path, None)

    def open_directory(self, name: str) -> Directory:
        """Open the directory *name*; raise :class:`UnsafePathError` if it is a link."""
        try:
            # Without O_NOFOLLOW, the check can only come before.
            if os.open not in os.supports_dir_fd:
                self._refuse_link(name)
            return self._opened(self.path / name, name, self.descriptor, NO_LINK)
        except OSError:
            # ELOOP or ENOTDIR, depending on the system; a link deserves a clear error.
            self._refuse_link(name)
            raise

    def open_inside(self, name: str) -> Directory:
        """Open the directory at the relative path *name*, following links that stay inside.

        Raises :class:`UnsafePathError` if a link leads out of this directory, dangles or changes
        concurrently, and :class:`RefusedError` if it does not lead to a directory.
        """
        top = Path(os.path.realpath(self.reference))
        target = Path(os.path.realpath(self.reference / name))
        if not target.is_relative_to(top):
            raise UnsafePathError(
                f"link that leads out of {self.path.name!r}", where=str(self.path / name)
            )
        # Descend from here step by step without following links, in case one appears meanwhile.
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
            raise UnsafePathError("dangling link", where=str(where)) from None
        except NotADirectoryError:
            raise RefusedError("not a directory", where=str(where)) from None

    def reopen(self) -> Directory:
        """Open this directory again, with a descriptor that holds locks of its own."""
        return self._opened(
            self.path, self.path if self.descriptor is None else ".", self.descriptor
        )

    def make(self, name: str, mode: int = 0o755) -> Directory:
        """Create the directory *name* with exactly *mode*, whatever the umask, and open it.

        Raises :class:`RefusedError` if another process has replaced it meanwhile.
        """
        # Mode 0700 until it is verified, so that nobody else can enter it.
        os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)
        try:
            made = self.open_directory(name)
        except OSError:
            with suppress(OSError):  # removes an empty directory only, and never follows a link
                self.rmdir(name)
            raise
        try:
            # Between mkdir and open, another user may have put a different directory here.
            if made.names() or not self._could_have_made(made):
                raise RefusedError(
                    "another process replaced the new directory", where=str(made.path)
                )
            if made.descriptor is not None:
                os.fchmod(made.descriptor, mode)
        except BaseException:
            made.close()
            raise
        return made

    def ensure(self, name: str) -> Directory:
        """Open the directory *name*; create it with mode 0700 if it is missing.

        Raises :class:`UnsafePathError` if it is a link.
        """
        while True:
            with suppress(FileExistsError):
                os.mkdir(self.at(name), 0o700, dir_fd=self.descriptor)
            try:
                return self.open_directory(name)
            except FileNotFoundError:  # removed in the meantime
                continue

    def _could_have_made(self, other: Directory) -> bool:
        """Return True if *other* is on this filesystem and has the owner of new entries here."""
        if self.descriptor is None:
            return True
        status = other.status()
        if status.st_dev != self.status().st_dev:
            return False
        # Usually the owner is this user, and no file needs to be created to find out.
        return status.st_uid == os.geteuid() or status.st_uid == self._new_owner()

    def _new_owner(self) -> int:
        """Return the owner of new files, another user on some filesystems (vfat, NFS)."""
        name = temporary_name()
        descriptor = self.create(name)
        try:
            return os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
            self.unlink(name)

    def create(self, name: str) -> int:
        """Create the file *name* with mode 0600; return its descriptor."""
        return os.open(self.at(name), _CREATE, 0o600, dir_fd=self.descriptor)

    def open_file(self, name: str) -> BinaryIO:
        """Open the file *name* for unbuffered reading; do not wait if it is a pipe."""
        flags = open_flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
        descriptor = os.open(self.at(name), flags, dir_fd=self.descriptor)
        return os.fdopen(descriptor, "rb", buffering=0)

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)  # noqa: PTH208

    def status(self) -> os.stat_result:
        """Return the status of this directory."""
        return self.path.stat() if self.descriptor is None else os.fstat(self.descriptor)

    def lookup(self, name: str) -> os.stat_result | None:
        """Return the status of the entry *name*, or None if it is missing."""
        try:
            return os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds_file(self, name: str) -> bool:
        """Return True if the entry *name* is a regular file."""
        status = self.lookup(name)
        return status is not None and stat.S_ISREG(status.st_mode)

    def holds(self, name: str, status: os.stat_result) -> bool:
        """Return True if the entry *name* is the inode that *status* describes."""
        found = self.lookup(name)
        return found is not None and os.path.samestat(found, status)

    def move(self, name: str, target: Directory, new_name: str) -> None:
        """Move the entry *name* to *new_name* in *target*; replace a file or an empty directory."""
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
        """Move *name*, which is the inode *expected*, to *new_name* in *target*.

        Syncs *target* afterwards if *durable* is true. Raises :class:`RefusedError` if the new name
        is another inode, since other users with write access may have replaced it.
        """
        self.move(name, target, new_name)
        if target.descriptor is not None and not target.holds(new_name, expected):
            raise RefusedError(
                "another process replaced the new file", where=str(target.path / new_name)
            )
        if durable:
            target.sync()

    def touch(self, name: str) -> None:
        """Set the times of the entry *name* to now."""
        # Where links must be followed, the entry is one of the store's own files.
        follow = os.utime not in os.supports_follow_symlinks
        os.utime(self.at(name), dir_fd=self.descriptor, follow_symlinks=follow)

    def unlink(self, name: str) -> None:
        """Remove the entry *name*, which is not a directory."""
        os.unlink(self.at(name), dir_fd=self.descriptor)

    def rmdir(self, name: str) -> None:
        """Remove the empty directory *name*."""
        os.rmdir(self.at(name), dir_fd=self.descriptor)

    def sync(self) -> None:
        """Write the names in this directory to the disk, if the system supports it."""
        if self.descriptor is not None:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno not in _NO_SYNC:
                    raise

    def fileno(self) -> int:
        """Return the descriptor, on systems that have one."""
        assert self.descriptor is not None
        return self.descriptor

    def at(self, name: str) -> str | Path:
        """Return the path of the entry *name* for a call with ``dir_fd=self.descriptor``."""
        return self.path / name if self.descriptor is None else name

    @property
    def reference(self) -> Path:
        """A path to this directory for functions that need one; on Linux it survives renaming."""
        held = Path(f"/proc/self/fd/{self.descriptor}")
        return held if self.descriptor is not None and held.is_dir() else self.path

    def _refuse_link(self, name: str) -> None:
        status = self.lookup(name)
        if status is not None and stat.S_ISLNK(status.st_mode):
            raise UnsafePathError(
                "is a link, which is not followed for writing", where=str(self.path / name)
            )

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor is not None and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1  # None would mean that calls use the path


def temporary_name() -> str:
    """Return an unpredictable hidden name."""
    return f".tarkit-{os.urandom(8).hex()}.tmp"
