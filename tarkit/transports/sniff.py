"""What a plain path is: a directory by its files, a file by its first bytes and its members."""

from __future__ import annotations

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
    """Open the image, archive or layout at a plain path, or on standard input if it is ``-``.

    Raises :class:`PathNotFoundError`, and :class:`NotAnImageError` that says what the path is instead.
    """
    if path_text == "-":
        return _of_archive(Archive.from_stream(standard_input(), keep_data=not metadata_only))
    path = Path(path_text)
    if not path.exists():
        raise PathNotFoundError("no such file or directory", where=path_text)
    if path.is_dir():
        reader = OCILayoutReader if is_layout(path) else DirectoryReader
        return reader.open(path, follow_links=follow_links)
    return _of_archive(open_archive(path))


def is_layout(path: Path) -> bool:
    """Whether the directory *path* is an OCI layout, or else the loose files of one image.

    Raises :class:`NotAnImageError` for any other directory.
    """
    if any((path / name).exists() for name in _LAYOUT_FILES):
        return True
    if (path / MANIFEST_FILE).exists():
        return False
    raise NotAnImageError("is a directory, but not an OCI layout or an image", where=str(path))


def open_archive(path: Path) -> Archive:
    """The archive *path*; raises what is wrong with it, or :class:`NotAnImageError` that says what it is."""
    try:
        archive = Archive.open(path)
    except (MalformedError, TruncatedError):
        kind = identify(path)
        if kind is None:
            raise
        raise NotAnImageError(f"is {kind}, not an image archive", where=str(path)) from None
    if not archive.members and (
        kind := identify(path)
    ):  # zeros at the front look like an empty tar
        archive.close()
        raise NotAnImageError(f"is {kind}, not an image archive", where=str(path))
    return archive


class Kinds(NamedTuple):
    """What an archive is by its members: a docker archive, an OCI layout, or both."""

    docker: bool
    layout: bool


_NONE = Kinds(docker=False, layout=False)


def kinds_of(archive: Archive, asked: Kinds = _NONE) -> Kinds:
    """What *archive* is, be it only because somebody *asked* for it as that.

    Raises :class:`NotAnImageError` for one that is neither, and :class:`TruncatedError` where that
    is because its end is missing.
    """
    docker, layout = (
        any(archive.candidates(name) for name in names) for names in (_DOCKER_FILES, _LAYOUT_FILES)
    )
    kinds = Kinds(docker or asked.docker, layout or asked.layout)
    if any(kinds):
        return kinds
    if archive.size and not archive.trailer:
        message = f"cut short: it ends before a {MANIFEST_FILE} or {INDEX_FILE}"
        raise TruncatedError(message, where=archive.where)
    kind = "a tar archive" if archive.size else "empty"
    message = f"is {kind}, but neither a docker archive nor an OCI layout"
    raise NotAnImageError(message, where=archive.where)


def _of_archive(archive: Archive) -> Reader:
    """The reader of *archive*; a docker archive that is a layout too is read as the former."""
    try:
        is_docker = kinds_of(archive).docker
        return DockerArchiveReader(archive) if is_docker else OCIArchiveReader(archive)
    except BaseException:
        archive.close()
        raise


def identify(path: Path) -> str | None:
    """What the file at *path* is, in libmagic's words; ``None`` where it begins as a tar does, or nobody knows.

    A broken archive stays an archive: it is for its reader to say what is wrong with it.
    """
    try:
        import_module(
            "pylibmagic"
        )  # has to come first: it puts the library it ships where magic looks
        import magic
    except ImportError:
        return None
    with path.open("rb") as file:
        compression = detect(file.read(SNIFF_SIZE))
        file.seek(0)
        try:
            head = decompress(file, compression).peek(BLOCK_SIZE)
        except VerificationError:
            return None
    try:
        kinds = [str(magic.from_buffer(head)), str(magic.from_file(str(path)))]
    except magic.MagicException:
        return None
    return None if any("tar archive" in kind for kind in kinds) else kinds[1].partition(",")[0]
