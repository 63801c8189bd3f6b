"""Provide a root filesystem as a real directory, and clean up afterwards, even if killed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tarkit.errors import (
    LockedError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
    UsageError,
)
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.mounts.capture import capture_copy, capture_upper
from tarkit.rootfs.mounts.overlayfs import mount_overlay, unmount
from tarkit.rootfs.mounts.recorded import RecordedDirectory
from tarkit.rootfs.mounts.user_namespace import overlay_in_namespace
from tarkit.rootfs.output.attributes import Attributes
from tarkit.rootfs.output.directory import unpack
from tarkit.rootfs.writable.staged_tree import StagedFileSystem
from tarkit.streams.atomic import atomic_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory, share_lock, try_lock
from tarkit.streams.os_errors import os_errors
from tarkit.streams.removal import remove_tree

_KEY = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_+.:-]{0,199}")


class MountedDirectory:
    """A root filesystem as the directory ``path``.

    ``is_overlay`` is true for an overlay, and false for a copy. *changed* is the directory with the
    changes: the upper directory of an overlay, or *path*; None if it is read-only. *recorded* holds
    the initial attributes of the copy or of the lower directory.
    """

    def __init__(
        self,
        path: Path,
        changed: Path | None,
        recorded: RecordedDirectory | None = None,
        *,
        is_overlay: bool,
    ) -> None:
        self.path = path
        self.is_overlay = is_overlay
        self._changed = changed
        self._recorded = recorded

    def capture(self, files: StagedFileSystem) -> None:
        """Stage all changes of the directory in *files*, the root filesystem that was mounted.

        Raises :class:`~tarkit.errors.RefusedError` for names that no layer can have, and if the mount
        is not writable; sockets are left out.
        """
        if self._changed is None:
            raise RefusedError("not mounted for writing", where=str(self.path))
        with os_errors(self.path), Directory.open(self._changed) as top:
            if self.is_overlay:
                capture_upper(top.fileno(), files, self._recorded)
            elif self._recorded is not None:
                capture_copy(top.fileno(), self._recorded, files)


class Mounts:
    """Directories below *directory*, which only this user can enter::

        trees/KEY               an unpacked root filesystem, which never changes
        attributes/KEY          its attributes, if they are not those of its layers
        active/NAME/            one for each mount, locked by its process
            root                the overlay
            upper, work         its changes
            unpacked/root       the copy, or the lower directory of an overlay without a key

    A process that is killed leaves its entry of ``active`` unlocked. The next mount, or
    :meth:`sweep`, unmounts and removes it.
    """

    def __init__(self, directory: Path) -> None:
        self._trees = directory / "trees"
        self._records = directory / "attributes"
        self._active = directory / "active"
        with os_errors(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (self._trees, self._records, self._active):
                path.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def mount(
        self, files: FileSystem, key: str | None = None, *, writable: bool = False
    ) -> Iterator[MountedDirectory]:
        """Provide *files* as a directory for the block.

        It is an overlay over an unpacked directory, which is kept if *key* is given: it must identify
        the content of *files*, such as a chain ID. Without root, a writable overlay is mounted in a
        user namespace. In all other cases, or if the system does not support it, the directory is a
        copy. Without root, files have the attributes that the user can keep. Unless *writable*,
        changes are refused or lost.

        Raises the errors of unpacking; see :func:`tarkit.rootfs.output.directory.write_directory`.
        """
        with self._new() as active, ExitStack() as stack:
            if os.geteuid() == 0:
                mounted = self._overlay(files, key, active, stack, writable=writable)
            else:
                mounted = self._in_namespace(files, key, active, stack) if writable else None
            if mounted is None:
                copy = _unpacked_in(active, files)
                # the record is only needed to find changes
                recorded = RecordedDirectory.of(copy) if writable else None
                changed = copy if writable else None
                mounted = MountedDirectory(copy, changed, recorded, is_overlay=False)
            yield mounted

    def sweep(self) -> None:
        """Unmount and remove the leftovers of killed processes."""
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
                (self._records / key).unlink(missing_ok=True)
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
    ) -> MountedDirectory | None:
        """Mount an overlay over the unpacked *files*; return None if the system refuses.

        The unpacked directory stays open, and locked, until *stack* ends.
        """
        lower = stack.enter_context(self._unpacked(files, key, active))
        with _parts(active) as (root, upper, work):
            # the root of the overlay has the attributes of the upper directory
            Attributes().apply(upper.fileno(), files.tree.root.member)
            try:
                if writable:
                    mount_overlay(root, [lower], upper, work)
                else:
                    mount_overlay(root, [upper, lower], None, None)
            except OSError:
                return None
        stack.callback(unmount, root.path)
        return MountedDirectory(root.path, upper.path if writable else None, is_overlay=True)

    def _in_namespace(
        self, files: FileSystem, key: str | None, active: Directory, stack: ExitStack
    ) -> MountedDirectory | None:
        """Mount a writable overlay as :meth:`_overlay` does, in a user namespace."""
        lower = stack.enter_context(self._unpacked(files, key, active))
        with _parts(active) as (_, upper, _):
            Attributes().apply(upper.fileno(), files.tree.root.member)
        path = stack.enter_context(overlay_in_namespace(active.path, lower.path))
        if path is None:
            return None
        return MountedDirectory(path, upper.path, self._recorded(lower.path, key), is_overlay=True)

    def _recorded(self, lower: Path, key: str | None) -> RecordedDirectory:
        """Return the attributes of *lower*, recorded when it was first used if it has a *key*."""
        if key is None:
            return RecordedDirectory.of(lower)
        file = self._records / key
        with suppress(PathNotFoundError, MalformedError):
            return RecordedDirectory.load(file)
        recorded = RecordedDirectory.of(lower)
        with os_errors(file), atomic_file(file) as output:
            recorded.write(output)
        return recorded

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
                try:
                    unpack(files, path)
                except (TarkitError, OSError):
                    if not path.exists():
                        raise
                    # another thread or process was faster
            with suppress(FileNotFoundError), Directory.open(path) as lower:
                if share_lock(lower) and path.exists():
                    yield lower
                    return

    def _tree(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UsageError(f"invalid key {key!r}")
        return self._trees / key


@contextmanager
def _parts(active: Directory) -> Iterator[tuple[Directory, Directory, Directory]]:
    """Create and open the mount point of an overlay, its upper and its work directory."""
    with (
        active.make("root", 0o700) as root,
        active.make("upper", 0o700) as upper,
        active.make("work", 0o700) as work,
    ):
        yield root, upper, work


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
