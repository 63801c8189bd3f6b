"""Detect the format of a plain path: a directory by its files, an archive by its members."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tarkit.errors import (
    MalformedError,
    NotAnImageError,
    PathNotFoundError,
    TruncatedError,
    VerificationError,
)
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE
from tarkit.protocols import Reader
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.streams.standard import standard_input
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.archive import Archive
from tarkit.transports.directory.reader import DirectoryReader
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.oci_archive.reader import OCIArchiveReader
from tarkit.transports.oci_layout.reader import OCILayoutReader

_DOCKER_FILES = (MANIFEST_FILE, REPOSITORIES_FILE)
_LAYOUT_FILES = (INDEX_FILE, MARKER_FILE)


def sniff(path_text: str, *, metadata_only: bool = False, follow_links: bool = False) -> Reader:
    """Open the image, archive or layout at *path_text*, or on standard input if it is ``-``.

    Raises :class:`PathNotFoundError` if the path does not exist, and :class:`NotAnImageError`,
    which names the actual file type, if it is not an image.
    """
    if path_text == "-":
        return _archive_reader(Archive.from_stream(standard_input(), keep_data=not metadata_only))
    path = Path(path_text)
    if not path.exists():
        raise PathNotFoundError("no such file or directory", where=path_text)
    if path.is_dir():
        reader = OCILayoutReader if is_layout(path) else DirectoryReader
        return reader.open(path, follow_links=follow_links)
    return _archive_reader(open_archive(path))


def is_layout(path: Path) -> bool:
    """Return True if the directory *path* is an OCI layout, False if it is a ``dir:`` image.

    Raises :class:`NotAnImageError` for any other directory.
    """
    if any((path / name).exists() for name in _LAYOUT_FILES):
        return True
    if (path / MANIFEST_FILE).exists():
        return False
    raise NotAnImageError("is a directory, but not an OCI layout or an image", where=str(path))


def open_archive(path: Path) -> Archive:
    """Open the archive at *path*.

    Raises :class:`NotAnImageError` if the file has another known type, and otherwise the error of
    reading the archive.
    """
    try:
        archive = Archive.open(path)
    except (MalformedError, TruncatedError):
        kind = identify(path)
        if kind is None:
            raise
        raise NotAnImageError(f"is {kind}, not an image archive", where=str(path)) from None
    # A file that begins with zeros, such as a disk image, looks like an empty tar.
    if not archive.members and (kind := identify(path)):
        archive.close()
        raise NotAnImageError(f"is {kind}, not an image archive", where=str(path))
    return archive


class Kinds(NamedTuple):
    """The formats of an archive: a docker archive, an OCI layout, or both."""

    docker: bool
    layout: bool


_NONE = Kinds(docker=False, layout=False)


def kinds_of(archive: Archive, requested: Kinds = _NONE) -> Kinds:
    """Return the formats of *archive*, based on its members, and the *requested* formats.

    Raises :class:`NotAnImageError` if there are none, or :class:`TruncatedError` if the end of the
    archive, which may contain the deciding members, is missing.
    """
    docker, layout = (
        any(archive.candidates(name) for name in names) for names in (_DOCKER_FILES, _LAYOUT_FILES)
    )
    kinds = Kinds(docker or requested.docker, layout or requested.layout)
    if any(kinds):
        return kinds
    if archive.size and not archive.trailer:
        message = f"truncated: the archive ends before {MANIFEST_FILE} or {INDEX_FILE}"
        raise TruncatedError(message, where=archive.where)
    kind = "a tar archive" if archive.size else "empty"
    message = f"is {kind}, but neither a docker archive nor an OCI layout"
    raise NotAnImageError(message, where=archive.where)


def _archive_reader(archive: Archive) -> Reader:
    """Return a reader of *archive*; if it has both formats, read it as a docker archive."""
    try:
        is_docker = kinds_of(archive).docker
        return DockerArchiveReader(archive) if is_docker else OCIArchiveReader(archive)
    except BaseException:
        archive.close()
        raise


def identify(path: Path) -> str | None:
    """Return libmagic's description of the file at *path*.

    Return None for a tar, even a broken one (its reader reports a better error), for anything but a
    regular file, and if libmagic is not installed.
    """
    if not path.is_file():  # a pipe cannot be read again
        return None
    try:
        # pylibmagic comes first: it makes its bundled shared library visible to magic.
        import_module("pylibmagic")
        import magic
    except ImportError:
        return None
    with path.open("rb") as file:
        compression = detect(file.read(SNIFF_SIZE))
        file.seek(0)
        # libmagic does not look inside compressed files, so also check the decompressed start.
        try:
            head = decompress(file, compression).peek(BLOCK_SIZE)
        except VerificationError:
            return None
    try:
        kinds = [str(magic.from_buffer(head)), str(magic.from_file(os.path.realpath(path)))]
    except magic.MagicException:
        return None
    return None if any("tar archive" in kind for kind in kinds) else kinds[1].partition(",")[0]
