"""Unpack an image into a directory.

While the layers are read, once, files are staged under numbers. After the merge has determined their
paths, the directories are created and the files moved into them. So no name in a layer is ever
resolved by the kernel, and links in layers are harmless; directories are entered one component at a
time, never through a link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tarkit.errors import RefusedError, TransportError, UnsupportedError
from tarkit.image.platform import Platform
from tarkit.progress import Progress, ProgressTracker
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.node import Node
from tarkit.rootfs.output.attributes import Attributes
from tarkit.rootfs.output.limits import require_writable
from tarkit.rootfs.output.unpack import FileStager
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.rootfs.tree import Tree
from tarkit.streams.directory import NO_LINK, OPEN, Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.spread import spread_out
from tarkit.streams.staging import parent_of, staging_directory
from tarkit.tar.names import shown
from tarkit.values import dataclass

_OPEN = OPEN | NO_LINK


@dataclass(frozen=True, slots=True)
class RootfsResult:
    """The result of writing a root filesystem.

    ``entries`` is the number of entries including hard links, ``size`` the total size of all files
    in bytes; ``notes`` lists metadata that could not be kept.
    """

    entries: int
    size: int
    notes: tuple[str, ...] = ()


def write_directory(
    source: Source,
    path: Path,
    *,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    rootless: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """Unpack *source*'s image, with *overlay* on top, as the directory *path*.

    *path* must not exist or be an empty directory; it appears when it is complete. Root keeps all
    metadata; for other users and *rootless* see :mod:`tarkit.rootfs.output.attributes`. Raises
    :class:`RefusedError` if *path* is occupied, :class:`UnsupportedError` on a system without POSIX
    directories, and the errors of reading the image and writing to the disk.

    Parameters:

    - *source*: an open source.
    - *path*: the new directory.
    - *platform*: the platform to select from an index; by default that of this machine.
    - *overlay*: changes on top of the image.
    - *rootless*: store owners in extended attributes.
    - *on_progress*: a listener for events, as in a copy.

    Returns the number of entries, the size, and notes on metadata that could not be kept.

    >>> from pathlib import Path
    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     tarkit.write_directory(source, Path("unpacked")).entries
    5
    """

    def read(stager: FileStager) -> FileSystem:
        return FileSystem.of(
            source, platform=platform, overlay=overlay, sink=stager, on_progress=on_progress
        )

    return _unpack(read, path, Attributes(rootless=rootless), ProgressTracker(on_progress))


def unpack(files: FileSystem, path: Path) -> RootfsResult:
    """Unpack *files* as the directory *path*, as :func:`write_directory` does."""

    @contextlib.contextmanager
    def opened(_: FileStager) -> Iterator[FileSystem]:
        yield files  # it stays open

    return _unpack(opened, path, Attributes(), ProgressTracker(None))


def _unpack(
    read: Callable[[FileStager], contextlib.AbstractContextManager[FileSystem]],
    path: Path,
    attributes: Attributes,
    progress: ProgressTracker,
) -> RootfsResult:
    """Unpack the root filesystem from *read*, which may already pass data to the stager."""
    if os.open not in os.supports_dir_fd:
        raise UnsupportedError(
            "cannot unpack into a directory on this system: no POSIX directories"
        )
    refuse_occupied(path)
    path = path.absolute()
    with parent_of(path) as parent, os_errors(path), _Workspace.open(parent) as workspace:
        stager = FileStager(workspace.files, attributes)
        with read(stager) as files:
            require_writable(files.tree)
            inodes = list(files.tree.inodes())
            # all data, or data that was wrongly predicted to be hidden
            missing = [node.row for node in inodes if stager.lacks(node)]
            files.contents.deliver(missing, stager)
        progress.begin_phase("placing files")
        entries = _build(files.tree, workspace.root, path, stager, attributes)
        workspace.publish(parent, path.name)
    size = sum(node.member.size for node in inodes if node.directory is None)
    return RootfsResult(entries, size, attributes.notes())


@dataclass(frozen=True, slots=True)
class _Workspace:
    """Open directories in a *staging* directory: one for *files* and the *root* of the tree."""

    staging: Directory
    files: Directory
    root: Directory

    @classmethod
    @contextlib.contextmanager
    def open(cls, parent: Directory) -> Iterator[Self]:
        """Create the directories on the filesystem of *parent*; remove them after the block."""
        with staging_directory(parent) as staging:
            spread_out(staging)
            # ext4 chooses block groups by name. Random names avoid those of the last run, in
            # which many blocks may just have been freed.
            names = [f"{name}-{os.urandom(4).hex()}" for name in ("files", "root")]
            with staging.make(names[0], 0o700) as files, staging.make(names[1], 0o700) as root:
                yield cls(staging, files, root)

    def publish(self, parent: Directory, name: str) -> None:
        """Move the tree to *name* in *parent*."""
        status = self.root.status()
        mode = stat.S_IMODE(status.st_mode)
        # Only root can move a read-only directory, as its ".." changes.
        may_move = os.geteuid() == 0 or mode & stat.S_IWUSR
        if not may_move:
            os.fchmod(self.root.fileno(), mode | stat.S_IWUSR)
        staged = self.root.path.name
        self.staging.publish(staged, parent, name, expected=status, durable=False)
        if not may_move:
            os.fchmod(self.root.fileno(), mode)


def refuse_occupied(path: Path) -> None:
    """Raise :class:`RefusedError` unless *path* is free, or an empty directory."""
    with os_errors(path):
        occupied = path.is_symlink() or (
            path.exists() and not (path.is_dir() and next(path.iterdir(), None) is None)
        )
    if occupied:
        raise RefusedError("exists already and is not an empty directory", where=str(path))
    if os.path.ismount(path):
        raise RefusedError("is a mount point", where=str(path), hint="name a directory inside it")


def _build(
    tree: Tree, top: Directory, path: Path, stager: FileStager, attributes: Attributes
) -> int:
    """Create the directories of *tree* in the open directory *top* and move the staged files into them.

    Return the number of entries. *path* stands for *top* in messages.
    """
    entries = 1
    with contextlib.closing(_Cursor(top, tree.root)) as cursor:
        while (entry := cursor.next()) or not cursor.at_top:
            if entry is None:
                cursor.leave(attributes)
                continue
            name, node = entry
            entries += 1
            with os_errors(f"{path}: {shown(name)}"):
                if node.directory is None:
                    stager.move(node, cursor.descriptor, name)
                else:
                    cursor.enter(name, node)
        attributes.apply(cursor.descriptor, tree.root.member)
    return entries


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory being built: its node, its pending entries, and its identity on the disk."""

    node: Node
    pending: Iterator[tuple[bytes, Node]]
    identity: tuple[int, int]


class _Cursor:
    """A position in the tree being built; keeps one directory open, regardless of the depth."""

    def __init__(self, top: Directory, root: Node) -> None:
        self.descriptor = os.open(".", _OPEN, dir_fd=top.fileno())
        self._levels = [self._level(root)]

    @property
    def at_top(self) -> bool:
        """True if the current directory is the root."""
        return len(self._levels) == 1

    def next(self) -> tuple[bytes, Node] | None:
        """Return the next entry of the directory, sorted by name, or None after the last."""
        return next(self._levels[-1].pending, None)

    def enter(self, name: bytes, node: Node) -> None:
        """Create the directory *name* and enter it."""
        os.mkdir(name, 0o700, dir_fd=self.descriptor)
        child = os.open(name, _OPEN, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = child
        self._levels.append(self._level(node))

    def leave(self, attributes: Attributes) -> None:
        """Set the metadata of the finished directory and return to its parent."""
        finished = self._levels.pop()
        parent = os.open("..", _OPEN, dir_fd=self.descriptor)
        attributes.apply(self.descriptor, finished.node.member)
        os.close(self.descriptor)
        self.descriptor = parent
        # ".." leads elsewhere if another process has moved the directory
        if _identity(parent) != self._levels[-1].identity:
            raise TransportError(
                "a directory was moved by another program while it was being written"
            )

    def close(self) -> None:
        """Close the directory."""
        os.close(self.descriptor)

    def _level(self, node: Node) -> _Level:
        children = sorted((node.children or {}).items())
        return _Level(node, iter(children), _identity(self.descriptor))


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
