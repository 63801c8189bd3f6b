"""Provide a root filesystem as a real directory, and clean up afterwards, even if killed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tarkit.errors import LockedError, RefusedError, UsageError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.mounts.capture import capture_copy, capture_upper
from tarkit.rootfs.mounts.overlayfs import mount_overlay, unmount
from tarkit.rootfs.mounts.recorded import RecordedDirectory
from tarkit.rootfs.output.attributes import Attributes
from tarkit.rootfs.output.directory import unpack
from tarkit.rootfs.writable.staged_tree import StagedFileSystem
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory, share_lock, try_lock
from tarkit.streams.os_errors import os_errors
from tarkit.streams.removal import remove_tree

_KEY = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.:-]{0,199}")


class MountedDirectory:
    """A root filesystem as the directory ``path``; *recorded* are its attributes if it is a copy."""

    def __init__(self, path: Path, changed: Path, recorded: RecordedDirectory | None) -> None:
        self.path = path
        self._changed = changed
        self._recorded = recorded

    @property
    def is_overlay(self) -> bool:
        """Whether the directory is an overlay, and not a copy."""
        return self._recorded is None

    def capture(self, files: StagedFileSystem) -> None:
        """Stage all changes of the directory in *files*, which had its content when it was mounted.

        Raises :class:`~tarkit.errors.RefusedError` for names that no layer can have; sockets are
        left out.
        """
        with os_errors(self.path), Directory.open(self._changed) as top:
            if self._recorded is None:
                capture_upper(top.fileno(), files)
            else:
                capture_copy(top.fileno(), self._recorded, files)


class Mounts:
    """Directories below *directory*, which only this user can enter::

        trees/KEY               an unpacked root filesystem, which never changes
        active/NAME/            one for each mount, locked by its process
            root                the overlay
            upper, work         its changes
            unpacked/root       the copy, or the lower directory of an overlay without a key

    A process that is killed leaves its entry of ``active`` unlocked. The next mount, or
    :meth:`sweep`, unmounts and removes it.
    """

    def __init__(self, directory: Path) -> None:
        self._trees = directory / "trees"
        self._active = directory / "active"
        with os_errors(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (self._trees, self._active):
                path.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def mount(
        self, files: FileSystem, key: str | None = None, *, writable: bool = False
    ) -> Iterator[MountedDirectory]:
        """Provide *files* as a directory for the block.

        As root it is an overlay over an unpacked directory, which is kept if *key* is given: it must
        identify the content of *files*, such as a chain ID. In all other cases, or if the system does
        not support it, it is a copy, with the attributes that this user can keep. Unless *writable*,
        changes are refused or lost.

        Raises the errors of unpacking; see :func:`tarkit.rootfs.output.directory.write_directory`.
        """
        with self._new() as active, ExitStack() as stack:
            root = active.path / "root"
            if os.geteuid() == 0 and self._overlay(files, key, active, stack, writable=writable):
                stack.callback(unmount, root)
                yield MountedDirectory(root, active.path / "upper", None)
                return
            copy = _unpacked_in(active, files)
            # the record is only needed to find changes
            recorded = RecordedDirectory.of(copy) if writable else RecordedDirectory({})
            yield MountedDirectory(copy, copy, recorded)

    def sweep(self) -> None:
        """Unmount and remove what killed processes have left."""
        with (
            os_errors(self._active),
            Directory.open(self._active) as parent,
            locked_directory(parent),
        ):
            _sweep(parent)

    def discard(self, key: str) -> None:
        """Remove the unpacked directory *key*, if it exists.

        Raises :class:`~tarkit.errors.LockedError` if it is in use.
        """
        path = self._tree(key)
        with os_errors(path), Directory.open(self._trees) as parent:
            if parent.lookup(key) is None:
                return
            with parent.open_directory(key) as directory:
                if not try_lock(directory):
                    raise LockedError("a process uses this directory", where=str(path))
                remove_tree(parent, key, directory)

    def keys(self) -> list[str]:
        """Return the keys of all unpacked directories, sorted."""
        with os_errors(self._trees):
            return sorted(each.name for each in self._trees.iterdir() if _KEY.fullmatch(each.name))

    @contextmanager
    def _new(self) -> Iterator[Directory]:
        """Create an entry of ``active`` for the block."""
        name = os.urandom(8).hex()
        with ExitStack() as stack:
            with os_errors(self._active):
                parent = stack.enter_context(Directory.open(self._active))
                with locked_directory(parent):
                    _sweep(parent)
                    made = stack.enter_context(parent.make(name, 0o700))
                    stack.callback(_clean, parent, name, made)
                    try_lock(made)
            yield made

    def _overlay(
        self,
        files: FileSystem,
        key: str | None,
        active: Directory,
        stack: ExitStack,
        *,
        writable: bool,
    ) -> bool:
        """Mount an overlay over the unpacked *files*; return False if the system refuses.

        The unpacked directory stays open, and locked, until *stack* ends.
        """
        lower = stack.enter_context(self._unpacked(files, key, active))
        try:
            with ExitStack() as parts:
                root, upper, work = (
                    parts.enter_context(active.make(name, 0o700))
                    for name in ("root", "upper", "work")
                )
                # the root of the overlay has the attributes of the upper directory
                Attributes().apply(upper.fileno(), files.tree.root.member)
                if writable:
                    mount_overlay(root, [lower], upper, work)
                else:
                    mount_overlay(root, [upper, lower], None, None)
        except OSError:
            active.rmdir("root")
            return False
        return True

    @contextmanager
    def _unpacked(
        self, files: FileSystem, key: str | None, active: Directory
    ) -> Iterator[Directory]:
        """Open the directory with the unpacked *files*; other processes cannot remove it meanwhile."""
        if key is None:
            with Directory.open(_unpacked_in(active, files)) as lower:
                yield lower
            return
        path = self._tree(key)
        while True:
            if not path.exists():
                with suppress(RefusedError):  # another process was faster
                    unpack(files, path)
            with suppress(FileNotFoundError), Directory.open(path) as lower:
                if share_lock(lower) and path.exists():
                    yield lower
                    return

    def _tree(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UsageError(f"invalid key {key!r}")
        return self._trees / key


def _unpacked_in(active: Directory, files: FileSystem) -> Path:
    """Unpack *files* in *active*, unless that was done before; return the directory."""
    # unpacking locks the directory around its result, and *active* is locked already
    with active.ensure("unpacked") as around:
        path = around.path / "root"
    if not path.exists():
        unpack(files, path)
    return path


def _sweep(parent: Directory) -> None:
    for name in parent.names():
        with suppress(OSError, RefusedError), parent.open_directory(name) as left:
            if try_lock(left):
                _clean(parent, name, left)


def _clean(parent: Directory, name: str, directory: Directory) -> None:
    unmount(parent.path / name / "root")
    remove_tree(parent, name, directory)
