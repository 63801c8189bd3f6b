"""The files of an image, by path or as path objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from tarkit.rootfs.filesystem import Entry, FileSystem
from tarkit.rootfs.image_path import ImagePath, entries_in, link_target


class ImageFiles(FileSystem):
    """A :class:`FileSystem` with the methods of :mod:`os.path` and path objects.

    ``files / "etc"`` is an :class:`~tarkit.rootfs.image_path.ImagePath`, which works like a
    :class:`pathlib.Path`. All other methods take paths as text, relative to the image's root.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     [entry.path for entry in image.files.iterdir("/etc")]
    ['/etc/motd']
    """

    def __truediv__(self, path: str | PurePosixPath) -> ImagePath:
        return ImagePath(self, path)

    def iterdir(self, path: str | bytes = "/") -> Iterator[Entry]:
        """Yield the entries of the directory at *path* in byte order of their names.

        Raises :class:`~tarkit.errors.UnsupportedError` if *path* is not a directory.
        """
        return entries_in(self, path)

    def is_dir(self, path: str) -> bool:
        """Return True if *path* is a directory or a link to one."""
        return (self / path).is_dir()

    def is_file(self, path: str) -> bool:
        """Return True if *path* is a regular file or a link to one."""
        return (self / path).is_file()

    def is_symlink(self, path: str) -> bool:
        """Return True if *path* is a symbolic link."""
        return (self / path).is_symlink()

    def readlink(self, path: str | bytes) -> str:
        """Return the target of the symbolic link at *path*, as it is stored.

        Raises :class:`~tarkit.errors.UnsupportedError` if *path* is not a symbolic link.
        """
        return link_target(self, path)
