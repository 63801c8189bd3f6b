"""``verify``: everything there is at a location, gone through to the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.errors import (
    NotAnImageError,
    TarkitError,
    TruncatedError,
    UnsupportedError,
    VerificationError,
)
from tarkit.findings import Findings, Report, Rule
from tarkit.image.descriptor import Descriptor
from tarkit.layout.archive_files import ArchiveFiles
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE, Layout, LayoutFiles
from tarkit.layout.names import answers_to
from tarkit.tar.archive import Archive
from tarkit.transports.directory.files import MANIFEST_FILE as LOOSE_MANIFEST_FILE
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import DockerImage, choose_image, choose_item
from tarkit.transports.docker_archive.legacy import legacy_items
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.location import Location, Transport
from tarkit.transports.oci_layout.reader import DirectoryFiles
from tarkit.verifying.agreement import check_agreement
from tarkit.verifying.archive import check_archive
from tarkit.verifying.contents import ArchiveContents, LayoutContents, LooseContents
from tarkit.verifying.docker import check_items, read_items
from tarkit.verifying.documents import read_bytes
from tarkit.verifying.images import VerificationContext
from tarkit.verifying.indexes import Walk, check_layout
from tarkit.verifying.layers import Claim
from tarkit.verifying.legacy import check_legacy
from tarkit.verifying.opening import archive_at, directory_transport, halves

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_BOOKKEEPING = re.compile(
    rf"(?:{MANIFEST_FILE}|{REPOSITORIES_FILE}|{INDEX_FILE}|{MARKER_FILE}"
    r"|[0-9a-f]{64}/(?:VERSION|json))"
)
_LOSING_REFERENCES = (
    Rule.MISSING_DOCUMENT,
    Rule.MALFORMED_DOCUMENT,
    Rule.SCHEMA,
    Rule.UNSUPPORTED,
    Rule.INDEX_DEPTH,
    Rule.DIGEST_MISMATCH,
)


def verify(
    location: Location | str,
    *,
    follow_links: bool = False,
    registry: RegistryOptions | None = None,
) -> Report:
    """Recompute all that is claimed at *location*, of every image and platform there, or of the one it names.

    What is wrong with an image is a finding, and never stops the rest from being looked at.
    With *follow_links*, the files of a layout or directory may be links out of it.
    *registry* says how to reach one, and who to be there.
    Raises :class:`~tarkit.errors.NotFoundError` where nothing is there, or no such image,
    :class:`~tarkit.errors.AmbiguousImageError` where a name means several, and
    :class:`~tarkit.errors.NotAnImageError` for a plain path to something else.
    """
    if isinstance(location, str):
        location = Location.parse(location)
    if location.transport is Transport.REGISTRY:
        return _verify_remote(location, registry)
    match directory_transport(location):
        case Transport.OCI:
            return _verify_layout(location, follow_links=follow_links)
        case Transport.DIR:
            return _verify_loose(location, follow_links=follow_links)
    if location.transport is Transport.DOCKER_DAEMON:  # whose failures are no findings
        with archive_at(location) as archive:
            return _verify_archive(archive, replace(location, name=None))
    try:
        with archive_at(location) as archive:
            return _verify_archive(archive, location)
    except NotAnImageError:
        raise
    except (VerificationError, UnsupportedError) as error:
        return _not_opened(error, location)


def _not_opened(error: TarkitError, location: Location) -> Report:
    """The report on an archive whose members cannot even be listed."""
    cut_short = isinstance(error, TruncatedError)
    rule = Rule.ARCHIVE_TRUNCATED if cut_short else Rule.ARCHIVE_MALFORMED
    findings = Findings()
    findings.blame(error, error.where or location.path, rule)
    return findings.report()


def _verify_layout(location: Location, *, follow_links: bool) -> Report:
    path = Path(location.path)
    book = VerificationContext(LayoutContents(path, follow_links=follow_links))
    files = DirectoryFiles(path, follow_links=follow_links)
    check_layout(book, _entries_meant(files, location))
    return _finish(book, location, in_order=False)


def _verify_loose(location: Location, *, follow_links: bool) -> Report:
    book = VerificationContext(LooseContents(Path(location.path), follow_links=follow_links))
    data = read_bytes(book.contents, LOOSE_MANIFEST_FILE, book.findings)
    if data is not None:
        Walk(book).check(data, "", LOOSE_MANIFEST_FILE, depth=0)
    return _finish(book, location, in_order=False)


def _verify_remote(location: Location, registry: RegistryOptions | None) -> Report:
    from tarkit.transports.registry.reader import RegistryReader
    from tarkit.verifying.remote import RegistryContents

    with RegistryReader.open(location.path, registry) as reader:
        source = reader.source(location.name)
        book = VerificationContext(RegistryContents(source.repository))
        try:
            top = source.manifest()
        except VerificationError as error:
            book.findings.blame(error, source.where)
        else:
            Walk(book).check(top.data, top.media_type, source.where, depth=0)
        return _finish(book, location, in_order=False)


def _verify_archive(archive: Archive, location: Location) -> Report:
    contents = ArchiveContents(archive)
    book = VerificationContext(contents)
    is_docker, is_layout = halves(archive, location)
    check_archive(archive, book.findings)
    if location.transport is Transport.OCI_ARCHIVE and _is_narrow(location):
        check_layout(book, _entries_meant(ArchiveFiles(archive), location))
    elif archive.candidates(MANIFEST_FILE) or not archive.candidates(REPOSITORIES_FILE):
        _check_halves(contents, book, location, is_docker=is_docker, is_layout=is_layout)
    else:
        check_legacy(contents, book, _legacy_image_meant(archive, location))
    return _finish(book, location, in_order=not archive.random_access)


def _check_halves(
    contents: ArchiveContents,
    book: VerificationContext,
    location: Location,
    *,
    is_docker: bool,
    is_layout: bool,
) -> None:
    """Check the docker archive, the layout, or both and their agreement."""
    items = read_items(book) if is_docker else ()
    meant = None
    if items and _is_narrow(location):
        image = _docker_image_meant(contents.archive, location)
        items = () if image.item is None else (image.item,)
        meant = _entries_called(image.names)
    images = list(check_items(items, contents, book))
    if is_layout:
        check_agreement(images, check_layout(book, meant), book.findings)


def _is_narrow(location: Location) -> bool:
    return location.name is not None or location.index is not None


def _docker_image_meant(archive: Archive, location: Location) -> DockerImage:
    catalog = DockerArchiveReader(archive).catalog
    return choose_image(catalog, location.name, location.index, where=location.path)[0]


def _entries_called(names: Sequence[str]) -> Callable[[Descriptor], bool]:
    return lambda entry: any(answers_to(entry.annotations, name) for name in names)


def _entries_meant(files: LayoutFiles, location: Location) -> Callable[[Descriptor], bool] | None:
    """Which entries of ``index.json`` the location means; ``None`` for all, or where nobody can tell."""
    if not _is_narrow(location):
        return None
    try:
        layout = Layout.read(files)
    except VerificationError:
        return None
    digest = layout.find(location.name, location.index).descriptor.digest
    return None if digest == layout.top.digest else lambda entry: entry.digest == digest


def _legacy_image_meant(archive: Archive, location: Location) -> str | None:
    """The ID of the image the location means; ``None`` for all, or where nobody can tell."""
    if not _is_narrow(location):
        return None
    try:
        items = legacy_items(archive)
    except VerificationError:
        return None
    position, _ = choose_item(items, location.name, location.index, where=location.path)
    return items[position].config


def _finish(book: VerificationContext, location: Location, *, in_order: bool) -> Report:
    """Note what nothing refers to, where all that could refer to it was read; then read all content."""
    unsure = book.findings.breaks(_LOSING_REFERENCES)
    for content in () if _is_narrow(location) else book.contents.stored():
        if content in book.referenced or _BOOKKEEPING.fullmatch(content.name):
            continue
        if not unsure:
            book.findings.add(Rule.UNREFERENCED, content.name, "nothing refers to it")
        if content.digest:
            book.claims.add(content, Claim(content.digest))
    book.claims.check(book.findings, in_order=in_order)
    return book.findings.report()
