"""Verify everything at a location and report all findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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
from tarkit.progress import Progress, ProgressTracker
from tarkit.tar.archive import Archive
from tarkit.transports.directory.files import MANIFEST_FILE as LOOSE_MANIFEST_FILE
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import DockerImage, choose_image, choose_item
from tarkit.transports.docker_archive.legacy import legacy_items
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.location import AnyLocation, Location, Transport, to_location
from tarkit.transports.oci_layout.reader import DirectoryFiles
from tarkit.values import replace
from tarkit.verifying.agreement import check_agreement
from tarkit.verifying.archive import check_archive
from tarkit.verifying.contents import ArchiveContents, LayoutContents, LooseContents
from tarkit.verifying.docker import check_items, read_items
from tarkit.verifying.documents import read_bytes
from tarkit.verifying.images import VerificationContext
from tarkit.verifying.indexes import Walk, check_layout
from tarkit.verifying.layers import Claim
from tarkit.verifying.legacy import check_legacy
from tarkit.verifying.opening import archive_at, directory_transport, image_formats

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

# Files that no document refers to by design.
_METADATA_FILES = re.compile(
    rf"(?:{MANIFEST_FILE}|{REPOSITORIES_FILE}|{INDEX_FILE}|{MARKER_FILE}"
    r"|[0-9a-f]{64}/(?:VERSION|json))"
)
# After one of these findings, unread documents may refer to any file.
_REFERENCE_LOSSES = (
    Rule.MISSING_DOCUMENT,
    Rule.MALFORMED_DOCUMENT,
    Rule.SCHEMA,
    Rule.UNSUPPORTED,
    Rule.INDEX_DEPTH,
    Rule.DIGEST_MISMATCH,
)


def verify(
    location: AnyLocation,
    *,
    follow_links: bool = False,
    registry: RegistryOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Recompute all digests, sizes and diff IDs at *location*, and check every document.

    Checks all images and platforms, or only the image that *location* names. A defect becomes a
    finding and never stops the verification. If *follow_links* is true, the files of a layout or
    directory may be links to outside. *registry* holds connection settings and credentials.
    *on_progress* is called from several threads, one at a time, while the blobs are read.

    Raises :class:`~tarkit.errors.NotFoundError` if the location or image does not exist,
    :class:`~tarkit.errors.AmbiguousImageError` if several images have the name, and
    :class:`~tarkit.errors.NotAnImageError` if a plain path is not a container of images.

    >>> report = tarkit.verify("fixtures/hello.tar")
    >>> report.ok, report.findings
    (True, ())
    """
    location = to_location(location)
    if location.transport is Transport.STORE:  # its named images are a layout
        from tarkit.store.roots import store_root

        location = replace(location, transport=Transport.OCI, path=str(store_root()))
    tracker = ProgressTracker(on_progress)
    if location.transport is Transport.REGISTRY:
        return _verify_remote(location, registry, tracker)
    match directory_transport(location):
        case Transport.OCI:
            return _verify_layout(location, tracker, follow_links=follow_links)
        case Transport.DIR:
            return _verify_loose(location, tracker, follow_links=follow_links)
    if location.transport is Transport.DOCKER_DAEMON:  # a daemon's failures are not findings
        with archive_at(location) as archive:
            # The daemon exports only the named image, perhaps under another of its names.
            return _verify_archive(archive, replace(location, name=None), tracker)
    try:
        with archive_at(location) as archive:
            return _verify_archive(archive, location, tracker)
    except NotAnImageError:
        raise
    except (VerificationError, UnsupportedError) as error:
        return _report_unopened(error, location)


def _report_unopened(error: TarkitError, location: Location) -> Report:
    """Return the report on an archive whose members could not be listed."""
    cut_short = isinstance(error, TruncatedError)
    rule = Rule.ARCHIVE_TRUNCATED if cut_short else Rule.ARCHIVE_MALFORMED
    findings = Findings()
    findings.blame(error, error.where or location.path, rule)
    return findings.report()


def _verify_layout(location: Location, tracker: ProgressTracker, *, follow_links: bool) -> Report:
    path = Path(location.path)
    context = VerificationContext(LayoutContents(path, follow_links=follow_links), tracker)
    files = DirectoryFiles(path, follow_links=follow_links)
    check_layout(context, _selected_entries(files, location))
    return _finish(context, location, in_order=False)


def _verify_loose(location: Location, tracker: ProgressTracker, *, follow_links: bool) -> Report:
    context = VerificationContext(
        LooseContents(Path(location.path), follow_links=follow_links), tracker
    )
    data = read_bytes(context.contents, LOOSE_MANIFEST_FILE, context.findings)
    if data is not None:
        Walk(context).check(data, "", LOOSE_MANIFEST_FILE)
    return _finish(context, location, in_order=False)


def _verify_remote(
    location: Location, registry: RegistryOptions | None, tracker: ProgressTracker
) -> Report:
    from tarkit.transports.registry.reader import RegistryReader
    from tarkit.verifying.remote import RegistryContents

    with RegistryReader.open(location.path, registry) as reader:
        source = reader.source(location.name)
        context = VerificationContext(RegistryContents(source.repository), tracker)
        try:
            top = source.manifest()
        except VerificationError as error:
            context.findings.blame(error, source.where)
        else:
            Walk(context).check(top.data, top.media_type, source.where)
        return _finish(context, location, in_order=False)


def _verify_archive(archive: Archive, location: Location, tracker: ProgressTracker) -> Report:
    contents = ArchiveContents(archive)
    context = VerificationContext(contents, tracker)
    is_docker, is_layout = image_formats(archive, location)
    check_archive(archive, context.findings)
    if location.transport is Transport.OCI_ARCHIVE and _selects_image(location):
        check_layout(context, _selected_entries(ArchiveFiles(archive), location))
    elif archive.candidates(MANIFEST_FILE) or not archive.candidates(REPOSITORIES_FILE):
        _check_halves(contents, context, location, is_docker=is_docker, is_layout=is_layout)
    else:
        check_legacy(contents, context, _selected_legacy_image(archive, location))
    return _finish(context, location, in_order=not archive.random_access)


def _check_halves(
    contents: ArchiveContents,
    context: VerificationContext,
    location: Location,
    *,
    is_docker: bool,
    is_layout: bool,
) -> None:
    """Check the docker archive, the layout, or both and their agreement."""
    items = read_items(context) if is_docker else ()
    selected = None
    if items and _selects_image(location):
        image = _selected_docker_image(contents.archive, location)
        items = () if image.item is None else (image.item,)
        selected = _entries_named(image.names)
    images = list(check_items(items, contents, context))
    if is_layout:
        check_agreement(images, check_layout(context, selected), context.findings)


def _selects_image(location: Location) -> bool:
    return location.name is not None or location.index is not None


def _selected_docker_image(archive: Archive, location: Location) -> DockerImage:
    catalog = DockerArchiveReader(archive).catalog
    return choose_image(catalog, location.name, location.index, where=location.path)[0]


def _entries_named(names: Sequence[str]) -> Callable[[Descriptor], bool]:
    return lambda entry: any(answers_to(entry.annotations, name) for name in names)


def _selected_entries(
    files: LayoutFiles, location: Location
) -> Callable[[Descriptor], bool] | None:
    """Return a predicate for the entries of ``index.json`` that *location* selects.

    Returns None for all entries. Also returns None if the index cannot be read, because
    verification then reports it.
    """
    if not _selects_image(location):
        return None
    try:
        layout = Layout.read(files)
    except VerificationError:
        return None
    digest = layout.find(location.name, location.index).descriptor.digest
    return None if digest == layout.top.digest else lambda entry: entry.digest == digest


def _selected_legacy_image(archive: Archive, location: Location) -> str | None:
    """Return the ID of the image that *location* selects, or None for all images.

    Also returns None if the list of images cannot be read, because verification then reports it.
    """
    if not _selects_image(location):
        return None
    try:
        items = legacy_items(archive)
    except VerificationError:
        return None
    position, _ = choose_item(items, location.name, location.index, where=location.path)
    return items[position].config


def _finish(context: VerificationContext, location: Location, *, in_order: bool) -> Report:
    """Report unreferenced files, then check all claims and return the report."""
    incomplete = context.findings.breaks(_REFERENCE_LOSSES)
    for content in () if _selects_image(location) else context.contents.stored():
        if content in context.referenced or _METADATA_FILES.fullmatch(content.name):
            continue
        if not incomplete:
            context.findings.add(Rule.UNREFERENCED, content.name, "no document refers to it")
        # An unreferenced blob must still match the digest in its name.
        if content.digest:
            context.claims.add(content, Claim(content.digest))
    context.claims.check(context.findings, context.tracker, in_order=in_order)
    return context.findings.report()
