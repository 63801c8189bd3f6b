"""Paths inside an image, used like :class:`pathlib.Path`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Literal, Self, cast, overload

from tarkit.errors import PathNotFoundError, UnsafePathError, UnsupportedError
from tarkit.rootfs.filesystem import TEXT_LIMIT, Entry, FileSystem, entry_of
from tarkit.tar.member import MemberType

_SPECIAL = re.compile(r"([*?[])")  # in the patterns of FileSystem.glob


class ImagePath:
    """An absolute path inside an image, with the reading methods of :class:`pathlib.Path`.

    Join paths with ``/``. Links are followed inside the image. Methods that read raise
    :class:`~tarkit.errors.PathNotFoundError` if the path does not exist and
    :class:`~tarkit.errors.UnsafePathError` if symbolic links form a loop. The object also
    implements :class:`importlib.resources.abc.Traversable`.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     motd = image.files / "etc" / "motd"
    ...     motd.name, motd.is_file(), motd.read_text()
    ('motd', True, 'Welcome.\\n')
    """

    __slots__ = ("_files", "_path")

    def __init__(self, files: FileSystem, path: str | PurePosixPath = "/") -> None:
        self._files = files
        self._path = PurePosixPath("/") / path

    def __truediv__(self, other: str | PurePosixPath) -> Self:
        return type(self)(self._files, self._path / other)

    def joinpath(self, *others: str | PurePosixPath) -> Self:
        """Return this path joined with *others*; an absolute path replaces it."""
        return type(self)(self._files, self._path.joinpath(*others))

    @property
    def name(self) -> str:
        """The last component; empty for the root."""
        return self._path.name

    @property
    def stem(self) -> str:
        """The last component without its suffix."""
        return self._path.stem

    @property
    def suffix(self) -> str:
        """The extension of the last component with its dot, or nothing."""
        return self._path.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The components; the first is ``/``."""
        return self._path.parts

    @property
    def parent(self) -> Self:
        """The directory of this path; the root is its own parent."""
        return type(self)(self._files, self._path.parent)

    def stat(self, *, follow_symlinks: bool = True) -> Entry:
        """Return the metadata; of a symbolic link itself only if not *follow_symlinks*."""
        return self._files.stat(str(self), follow=follow_symlinks)

    def exists(self) -> bool:
        """Return True if the path exists, following links."""
        return self._type() is not None

    def is_dir(self) -> bool:
        """Return True if the path is a directory or a link to one."""
        return self._type() is MemberType.DIRECTORY

    def is_file(self) -> bool:
        """Return True if the path is a regular file or a link to one."""
        return self._type() is MemberType.FILE

    def is_symlink(self) -> bool:
        """Return True if the path is a symbolic link."""
        return self._type(follow=False) is MemberType.SYMLINK

    def _type(self, *, follow: bool = True) -> MemberType | None:
        try:
            return self.stat(follow_symlinks=follow).type
        except (PathNotFoundError, UnsafePathError):
            return None

    def readlink(self) -> PurePosixPath:
        """Return the target of the symbolic link, as it is stored.

        Raises :class:`~tarkit.errors.UnsupportedError` if the path is not a symbolic link.
        """
        return PurePosixPath(link_target(self._files, str(self)))

    def resolve(self) -> Self:
        """Return the path with all links followed."""
        return type(self)(self._files, self._files.resolve(str(self)))

    def iterdir(self) -> Iterator[Self]:
        """Yield the paths in the directory, in byte order of their names.

        Raises :class:`~tarkit.errors.UnsupportedError` if the path is not a directory.
        """
        for entry in entries_in(self._files, str(self)):
            yield self / entry.path.rpartition("/")[2]

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield the paths below that match *pattern*; see :meth:`FileSystem.glob`.

        Links below this path are not followed.
        """
        real = self._files.resolve(str(self)).rstrip("/")
        literal = _SPECIAL.sub(r"[\1]", real)
        for entry in self._files.glob(f"{literal}/{pattern}"):
            yield self / entry.path[len(real) :].lstrip("/")

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Yield the paths at any depth below that match *pattern*."""
        yield from self.glob(f"**/{pattern}")

    def walk(self) -> Iterator[tuple[Self, list[str], list[str]]]:
        """Yield each directory from here on with the names of its directories and of other entries.

        Parents come first. Links are not followed. Remove a name from the first list to skip that
        directory, as with :meth:`pathlib.Path.walk`.
        """
        pending = [self]
        while pending:
            path = pending.pop()
            directories: list[str] = []
            others: list[str] = []
            for entry in entries_in(self._files, str(path)):
                kind = directories if entry.type is MemberType.DIRECTORY else others
                kind.append(entry.path.rpartition("/")[2])
            yield path, directories, others
            pending += [path / name for name in reversed(directories)]

    @overload
    def open(
        self,
        mode: Literal["r", "rt"] = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[str]: ...

    @overload
    def open(self, mode: Literal["rb"], buffering: int = -1) -> IO[bytes]: ...

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[str] | IO[bytes]:
        """Open the file for reading, as text in UTF-8 or with ``rb`` as bytes; see :func:`open`.

        Raises :class:`~tarkit.errors.UnsupportedError` if it is not a regular file, or if *mode*
        would write.
        """
        if mode not in ("r", "rt", "rb"):
            raise UnsupportedError(f"an image is read-only, so mode {mode!r} is not supported")
        raw = cast(io.RawIOBase, self._files.open(str(self)))
        if buffering == 0:
            return cast("IO[bytes]", raw)
        buffered = io.BufferedReader(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
        if mode == "rb":
            return buffered
        return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    def read_bytes(self, limit: int = TEXT_LIMIT) -> bytes:
        """Return the content of the file.

        Raises :class:`~tarkit.errors.LimitExceededError` if it is larger than *limit* bytes.
        """
        return self._files.read_bytes(str(self), limit)

    def read_text(
        self, encoding: str = "utf-8", errors: str = "strict", *, limit: int = TEXT_LIMIT
    ) -> str:
        """Return the content of the file as text; see :meth:`read_bytes` for *limit*."""
        return self.read_bytes(limit).decode(encoding, errors)

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImagePath):
            return NotImplemented
        return self._files is other._files and self._path == other._path

    def __lt__(self, other: ImagePath) -> bool:
        return self._path < other._path

    def __hash__(self) -> int:
        return hash((id(self._files), self._path))


def entries_in(files: FileSystem, path: str | bytes) -> Iterator[Entry]:
    """Yield the entries of the directory at *path* in byte order of their names.

    Follows *path* if it is a link. Raises :class:`~tarkit.errors.UnsupportedError` if it is not a
    directory.
    """
    parts = files.tree.parts(path)
    children = files.tree.find(parts).children
    if children is None:
        raise UnsupportedError("not a directory", where=files.resolve(path))
    prefix = b"".join(part + b"/" for part in parts)
    for name, node in sorted(children.items()):
        yield entry_of(prefix + name, node)


def link_target(files: FileSystem, path: str | bytes) -> str:
    """Return the target of the symbolic link at *path*, as it is stored.

    Raises :class:`~tarkit.errors.UnsupportedError` if *path* is not a symbolic link.
    """
    entry = files.stat(path, follow=False)
    if entry.type is not MemberType.SYMLINK:
        raise UnsupportedError("not a symbolic link", where=entry.path)
    return entry.target
