"""An OCI layout: its marker, its index, and everything the index leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tarkit.findings import Rule
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.walk import DEPTH_LIMIT
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE
from tarkit.layout.names import names_of
from tarkit.verifying.contents import StoredBlob
from tarkit.verifying.documents import (
    descriptor,
    descriptors,
    held,
    parse_manifest,
    read_document,
    read_small,
)
from tarkit.verifying.images import VerificationContext, check_image


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An entry of ``index.json``: its names, and the configs of the images it leads to."""

    descriptor: Descriptor
    configs: frozenset[Digest]

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called; see :func:`tarkit.layout.names.names_of`."""
        return names_of(self.descriptor.annotations)


def check_layout(
    book: VerificationContext, meant: Callable[[Descriptor], bool] | None = None
) -> tuple[IndexEntry, ...]:
    """Check the layout, or only what the entries that are *meant* lead to; the entries that could be read."""
    read_document(book.contents, MARKER_FILE, "oci-layout", book.findings)
    document = read_document(book.contents, INDEX_FILE, "index", book.findings)
    if not isinstance(document, dict):
        return ()
    found = descriptors(document, "manifests", INDEX_FILE, book.findings)
    if not found:
        book.findings.add(Rule.NO_IMAGES, INDEX_FILE, "names no image")
    flat = all(entry and entry.platform and not names_of(entry.annotations) for entry in found)
    entries = [entry for entry in found if entry and (meant is None or meant(entry))]
    configs = Walk(book).follow(entries, INDEX_FILE, sparse=flat, depth=0)
    return tuple(map(IndexEntry, entries, configs))


class Walk:
    """From an index to everything below it; nothing is looked at twice, however often it is named."""

    def __init__(self, book: VerificationContext) -> None:
        self._book = book
        self._seen: dict[tuple[StoredBlob, Digest, int, str], frozenset[Digest]] = {}

    def follow(
        self, children: Sequence[Descriptor], where: str, *, sparse: bool, depth: int
    ) -> list[frozenset[Digest]]:
        """Check all *children* of the index *where*; the configs of the images that each leads to.

        Of a *sparse* index some may be absent, but not all.
        """
        found = [self._book.find(child.digest, where) for child in children]
        absent = Rule.ABSENT_PLATFORM if sparse and any(found) else Rule.MISSING_BLOB
        for child, contents in zip(children, found, strict=True):
            if contents == ():
                platform = f" for {child.platform}" if child.platform else ""
                message = f"manifest {child.digest}{platform} is missing"
                self._book.findings.add(absent, where, message)
        configs = [
            _union(self._visit(child, content, depth) for content in contents or ())
            for child, contents in zip(children, found, strict=True)
        ]
        for child, below in zip(children, configs, strict=True):
            if child.media_type in media_types.MANIFESTS:
                self._check_platform(child, below, where)
        return configs

    def _check_platform(self, child: Descriptor, configs: frozenset[Digest], where: str) -> None:
        """Note that the index *where* states another platform for *child* than its config does."""
        for config in configs:
            found = self._book.platforms.get(config)
            if found and child.platform and child.platform.contradicts(found):
                message = (
                    f"manifest {child.digest} is for {child.platform}, but its config says {found}"
                )
                self._book.findings.add(Rule.PLATFORM_MISMATCH, where, message)

    def _visit(self, described: Descriptor, content: StoredBlob, depth: int) -> frozenset[Digest]:
        key = content, described.digest, described.size, described.media_type
        if key not in self._seen:
            self._seen[key] = frozenset()  # until it is known, lest an index contains itself
            data = read_small(content, self._book.findings)
            if data is not None and held(data, described, content.name, self._book.findings):
                self._seen[key] = self.check(data, described.media_type, content.name, depth)
        return self._seen[key]

    def check(self, data: bytes, media_type: str, where: str, depth: int) -> frozenset[Digest]:
        """Check a manifest or index and all below it; the configs of the images there."""
        book = self._book
        parsed = parse_manifest(data, media_type, where, book.findings)
        if parsed is None:
            return frozenset()
        actual, document = parsed
        subject = descriptor(document.get("subject"), "subject", where, book.findings)
        if subject and book.find(subject.digest, where):
            self.follow([subject], where, sparse=False, depth=depth + 1)
        if actual in media_types.MANIFESTS:
            config = check_image(document, where, book)
            return frozenset({config} if config else ())
        if depth >= DEPTH_LIMIT:
            message = f"indexes nested more than {DEPTH_LIMIT} deep"
            book.findings.add(Rule.INDEX_DEPTH, where, message)
            return frozenset()
        children = [c for c in descriptors(document, "manifests", where, book.findings) if c]
        configs = self.follow(children, where, sparse=True, depth=depth + 1)
        return _union(configs)


def _union(sets: Iterable[frozenset[Digest]]) -> frozenset[Digest]:
    return frozenset[Digest]().union(*sets)
