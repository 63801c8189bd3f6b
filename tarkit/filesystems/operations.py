"""The operations of a read-only FUSE filesystem over the files of an image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, BinaryIO

from tarkit.errors import PathNotFoundError, TarkitError, UnsafePathError
from tarkit.rootfs.filesystem import entry_of
from tarkit.rootfs.image_files import ImageFiles
from tarkit.rootfs.node import Node
from tarkit.tar.member import MemberType

_KINDS = {
    MemberType.FILE: stat.S_IFREG,
    MemberType.DIRECTORY: stat.S_IFDIR,
    MemberType.SYMLINK: stat.S_IFLNK,
    MemberType.FIFO: stat.S_IFIFO,
    MemberType.CHAR: stat.S_IFCHR,
    MemberType.BLOCK: stat.S_IFBLK,
}
_NO_ATTRIBUTE = getattr(errno, "ENOATTR", errno.ENODATA)  # the first only on macOS and the BSDs


class ImageOperations:
    """Answers the requests of the kernel about *files*, one at a time.

    The methods are those of ``mfusepy.Operations``; the kernel resolves links itself. ``started``
    is true once the filesystem is mounted.
    """

    use_ns = True

    def __init__(self, files: ImageFiles) -> None:
        self._files = files
        self._open: dict[int, BinaryIO] = {}
        self._handles = count(1)
        self._inodes: dict[Node, int] = {}
        self.started = False

    def init(self, path: str) -> None:
        """Note that the filesystem is mounted."""
        self.started = True

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return the attributes of *path*; times are in nanoseconds."""
        with _os_errors():
            node = self._node(path)
        entry = entry_of(_bytes(path).lstrip(b"/"), node)
        return {
            "st_mode": _KINDS[entry.type] | entry.mode,
            "st_ino": self._number(node),
            "st_nlink": _link_count(node),
            "st_uid": entry.uid,
            "st_gid": entry.gid,
            "st_rdev": os.makedev(entry.major, entry.minor),
            "st_size": entry.size,
            "st_blocks": (node.member.stored + 511) // 512,
            "st_mtime": entry.mtime_ns,
            "st_atime": entry.mtime_ns,
            "st_ctime": entry.mtime_ns,
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        """Return the names in the directory at *path* with the types and numbers of their inodes."""
        with _os_errors():
            directory = self._node(path)
            parent = self._node(os.path.dirname(path))  # noqa: PTH120  a path in the image
        nodes = [(".", directory), ("..", parent)]
        nodes += [(_text(name), node) for name, node in (directory.children or {}).items()]
        return [
            (name, {"st_mode": _KINDS[node.type], "st_ino": self._number(node)}, 0)
            for name, node in nodes
        ]

    def readlink(self, path: str) -> str:
        """Return the target of the link at *path*."""
        with _os_errors():
            return self._files.readlink(path)

    def open(self, path: str, flags: int) -> int:
        """Open the file at *path*; return a handle."""
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        with _os_errors():
            stream = self._files.contents.open(self._node(path))
        handle = next(self._handles)
        self._open[handle] = stream
        return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return *size* bytes from *offset* of the open file *fh*, fewer only at its end."""
        stream = self._open[fh]
        pieces = []
        with _os_errors():
            stream.seek(offset)
            while size and (piece := stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
        return b"".join(pieces)

    def release(self, path: str, fh: int) -> int:
        """Close the open file *fh*."""
        self._open.pop(fh).close()
        return 0

    def listxattr(self, path: str) -> list[str]:
        """Return the names of the extended attributes of *path*."""
        with _os_errors():
            return [_text(name) for name in self._node(path).member.xattrs]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return the extended attribute *name* of *path*."""
        with _os_errors():
            value = self._node(path).member.xattrs.get(_bytes(name))
        if value is None:
            raise OSError(_NO_ATTRIBUTE, os.strerror(_NO_ATTRIBUTE))
        return value

    def _number(self, node: Node) -> int:
        """Return the inode number of *node*: hard links share it, and readdir(3) skips number 0."""
        return self._inodes.setdefault(node, len(self._inodes) + 1)

    def _node(self, path: str) -> Node:
        return self._files.tree.find(self._files.tree.parts(path), follow=False)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")  # as mfusepy passes names, in any locale


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _link_count(node: Node) -> int:
    """Return the link count of *node*; of a directory, two and one for each directory in it."""
    if node.children is None:
        return node.links
    return 2 + sum(child.children is not None for child in node.children.values())


@contextmanager
def _os_errors() -> Iterator[None]:
    """Convert errors to the codes that the kernel passes on."""
    try:
        yield
    except PathNotFoundError as error:
        raise OSError(errno.ENOENT, error.message) from error
    except UnsafePathError as error:
        raise OSError(errno.ELOOP, error.message) from error
    except TarkitError as error:
        raise OSError(errno.EIO, str(error)) from error
