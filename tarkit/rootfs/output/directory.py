"""An image unpacked into a directory.

Files are made in a workshop first, by number, while the layers go by once. When the merge knows
what they are called, the directories are made, and the files moved into them. So no name in a
layer is resolved on this machine at all, whatever links the layers bring; directories are entered
one component at a time, never through a link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tarkit.errors import RefusedError, TransportError, UnsupportedError
from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.output.attributes import Attributes
from tarkit.rootfs.output.limits import require_writable
from tarkit.rootfs.output.unpack import FileStager
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.rootfs.tree import Node, Tree
from tarkit.streams.directory import NO_LINK, OPEN, Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.spread import spread_out
from tarkit.streams.staging import staging_directory
from tarkit.tar.names import shown

_OPEN = OPEN | NO_LINK


@dataclass(frozen=True, slots=True)
class RootfsResult:
    """What was written: ``entries``, hard links among them, the ``size`` of all files in bytes,
    and ``notes`` on what could not be kept."""

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

    *path* must not exist yet or be empty; it appears when everything is in it. As root all
    metadata is kept; see :mod:`tarkit.rootfs.output.attributes` for others, and for *rootless*. Raises
    :class:`RefusedError`, :class:`UnsupportedError` on a system without POSIX directories, and
    whatever reading the image or writing to the disk may bring.
    """
    if os.open not in os.supports_dir_fd:
        raise UnsupportedError("a directory cannot keep an image's files on this system")
    refuse_occupied(path)
    attributes = Attributes(rootless=rootless)
    path = path.absolute()
    with os_errors(path.parent):
        parent = Directory.open(path.parent)
    with os_errors(path), parent, _Places.open(parent) as places:
        workshop = FileStager(places.files, attributes)
        with FileSystem.of(
            source, platform=platform, overlay=overlay, sink=workshop, on_progress=on_progress
        ) as files:
            require_writable(files.tree)
            inodes = files.tree.inodes()
            missing = [node for node in inodes if workshop.lacks(node)]
            files.contents.deliver(missing, workshop)
        entries = _build(files.tree, places.root, path, workshop, attributes)
        places.publish(parent, path.name)
    size = sum(node.member.size for node in inodes if node.children is None)
    return RootfsResult(entries, size, attributes.notes())


@dataclass(frozen=True, slots=True)
class _Places:
    """Open directories in a *staging* directory: one for *files* and the *root* of the tree."""

    staging: Directory
    files: Directory
    root: Directory

    @classmethod
    @contextlib.contextmanager
    def open(cls, parent: Directory) -> Iterator[Self]:
        """Make them on the filesystem of *parent* for the block."""
        with staging_directory(parent) as staging:
            spread_out(staging)
            # at random, as ext4 decides by the name: much was just deleted where the last run's were
            names = [f"{name}-{os.urandom(4).hex()}" for name in ("files", "root")]
            with staging.make(names[0], 0o700) as files, staging.make(names[1], 0o700) as root:
                yield cls(staging, files, root)

    def publish(self, parent: Directory, name: str) -> None:
        """Move the tree to *name* in *parent*; only root may move a directory that is read-only."""
        status = self.root.status()
        mode = stat.S_IMODE(status.st_mode)
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
        raise RefusedError(
            "something is mounted there", where=str(path), hint="name a directory in it"
        )


def _build(
    tree: Tree, top: Directory, path: Path, workshop: FileStager, attributes: Attributes
) -> int:
    """Make the directories of *tree* in the open directory *top* and move everything into them.

    Returns the number of entries. *path* is what *top* is called in messages.
    """
    entries = 1
    with contextlib.closing(_Descent(top, tree.root)) as place:
        while (entry := place.next()) or not place.at_top:
            if entry is None:
                place.leave(attributes)
                continue
            name, node = entry
            entries += 1
            with os_errors(f"{path}: {shown(name)}"):
                if node.children is None:
                    workshop.move(node, place.descriptor, name)
                else:
                    place.enter(name, node)
        attributes.apply(place.descriptor, tree.root.member)
    return entries


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory on the way down: its inode in the image and on the disk, and what is left in it."""

    node: Node
    pending: Iterator[tuple[bytes, Node]]
    identity: tuple[int, int]


class _Descent:
    """A place in the tree that is being built: one open directory, however deep it lies."""

    def __init__(self, top: Directory, root: Node) -> None:
        self.descriptor = os.open(".", _OPEN, dir_fd=top.fileno())
        self._levels = [self._level(root)]

    @property
    def at_top(self) -> bool:
        """Whether it is the root."""
        return len(self._levels) == 1

    def next(self) -> tuple[bytes, Node] | None:
        """The next entry of the directory, by name; ``None`` after the last."""
        return next(self._levels[-1].pending, None)

    def enter(self, name: bytes, node: Node) -> None:
        """Make the directory *name* and go into it."""
        os.mkdir(name, 0o700, dir_fd=self.descriptor)
        child = os.open(name, _OPEN, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = child
        self._levels.append(self._level(node))

    def leave(self, attributes: Attributes) -> None:
        """Give the finished directory its metadata and go back to the one it is in."""
        finished = self._levels.pop()
        parent = os.open("..", _OPEN, dir_fd=self.descriptor)
        attributes.apply(self.descriptor, finished.node.member)
        os.close(self.descriptor)
        self.descriptor = parent
        if _identity(parent) != self._levels[-1].identity:
            raise TransportError("somebody moves directories while they are being built")

    def close(self) -> None:
        """Close the directory."""
        os.close(self.descriptor)

    def _level(self, node: Node) -> _Level:
        children = sorted((node.children or {}).items())
        return _Level(node, iter(children), _identity(self.descriptor))


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
