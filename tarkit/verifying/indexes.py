"""Check an OCI layout: its marker, its index, and everything reachable from the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tarkit.errors import LimitExceededError
from tarkit.findings import Rule
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.walk import descends
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE
from tarkit.layout.names import REF_NAME, is_name, names_of
from tarkit.values import dataclass
from tarkit.verifying.contents import StoredBlob
from tarkit.verifying.documents import (
    descriptor,
    descriptors,
    matches_descriptor,
    parse_manifest,
    read_document,
    read_small,
)
from tarkit.verifying.images import VerificationContext, check_image


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An entry of ``index.json``, and the configs of the images below it."""

    descriptor: Descriptor
    configs: frozenset[Digest]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the entry in its annotations, the full name first."""
        return names_of(self.descriptor.annotations)


def check_layout(
    context: VerificationContext, selected: Callable[[Descriptor], bool] | None = None
) -> tuple[IndexEntry, ...]:
    """Check the layout, or only its *selected* entries; return the entries that could be read."""
    read_document(context.contents, MARKER_FILE, "oci-layout", context.findings)
    document = read_document(context.contents, INDEX_FILE, "index", context.findings)
    if not isinstance(document, dict):
        return ()
    found = descriptors(document, "manifests", INDEX_FILE, context.findings)
    if not found:
        is_null = document.get("manifests", ()) is None
        note = ": 'manifests' is null instead of a list" if is_null else ""
        context.findings.add(Rule.NO_IMAGES, INDEX_FILE, f"lists no image{note}")
    # If all entries have platforms and none has a name, index.json itself is the multi-platform
    # image.
    flat = all(entry and entry.platform and not names_of(entry.annotations) for entry in found)
    entries = [entry for entry in found if entry and (selected is None or selected(entry))]
    for entry in entries:
        name = entry.annotations.get(REF_NAME)
        if name is not None and not is_name(name):
            message = f"the name {name!r} is invalid; some tools refuse it"
            context.findings.add(Rule.INVALID_NAME, INDEX_FILE, message)
    configs = Walk(context).follow(entries, INDEX_FILE, sparse=flat)
    return tuple(map(IndexEntry, entries, configs))


class Walk:
    """Checks an index and everything below it; each manifest is checked once."""

    def __init__(self, context: VerificationContext) -> None:
        self._context = context
        self._seen: dict[tuple[StoredBlob, Digest, int, str], frozenset[Digest]] = {}

    def follow(
        self,
        children: Sequence[Descriptor],
        where: str,
        *,
        sparse: bool,
        above: tuple[Digest, ...] = (),
    ) -> list[frozenset[Digest]]:
        """Check *children* of the index *where*; return the configs of the images below each.

        In a *sparse* index, some children may be absent, but not all. *above* are the digests of
        the indexes that lead to the children, outermost first.
        """
        found = [self._context.find(child.digest) for child in children]
        absent = Rule.ABSENT_PLATFORM if sparse and any(found) else Rule.MISSING_BLOB
        for child, contents in zip(children, found, strict=True):
            if contents == ():
                platform = f" for {child.platform}" if child.platform else ""
                message = f"manifest {child.digest}{platform} is missing"
                self._context.findings.add(absent, where, message)
        configs = [
            _union(self._visit(child, content, above) for content in contents or ())
            for child, contents in zip(children, found, strict=True)
        ]
        for child, below in zip(children, configs, strict=True):
            if child.media_type in media_types.MANIFESTS:
                self._check_platform(child, below, where)
        return configs

    def _check_platform(self, child: Descriptor, configs: frozenset[Digest], where: str) -> None:
        """Add a finding if the index *where* and the configs state different platforms."""
        for config in configs:
            found = self._context.platforms.get(config)
            if found and child.platform and child.platform.contradicts(found):
                message = (
                    f"manifest {child.digest} is for {child.platform}, but its config says {found}"
                )
                self._context.findings.add(Rule.PLATFORM_MISMATCH, where, message)

    def _visit(
        self, described: Descriptor, content: StoredBlob, above: tuple[Digest, ...]
    ) -> frozenset[Digest]:
        # The same content may be described in several ways, and each description is checked.
        key = content, described.digest, described.size, described.media_type
        if key not in self._seen:
            self._seen[key] = frozenset()  # ends the recursion if an index contains itself
            data = read_small(content, self._context.findings)
            if data is not None and matches_descriptor(
                data, described, content.name, self._context.findings
            ):
                self._seen[key] = self.check(data, described.media_type, content.name, above)
        return self._seen[key]

    def check(
        self, data: bytes, media_type: str, where: str, above: tuple[Digest, ...] = ()
    ) -> frozenset[Digest]:
        """Check a manifest or index and all below it; return the configs of the images."""
        context = self._context
        parsed = parse_manifest(data, media_type, where, context.findings)
        if parsed is None:
            return frozenset()
        actual, document = parsed
        is_index = actual not in media_types.MANIFESTS
        subject = descriptor(document.get("subject"), "subject", where, context.findings)
        has_subject = subject is not None and bool(context.find(subject.digest))
        # Subjects form chains as indexes do, so both count towards the depth.
        chain = self._chain(above, data, where) if is_index or has_subject else None
        if subject and has_subject and chain:
            self.follow([subject], where, sparse=False, above=chain)
        if not is_index:
            config = check_image(document, where, context)
            return frozenset({config} if config else ())
        if chain is None:
            return frozenset()
        children = [c for c in descriptors(document, "manifests", where, context.findings) if c]
        return _union(self.follow(children, where, sparse=True, above=chain))

    def _chain(
        self, above: tuple[Digest, ...], data: bytes, where: str
    ) -> tuple[Digest, ...] | None:
        """Return *above* and the document *data*; if too deep, add a finding and return None."""
        try:
            return descends(above, Descriptor.of(data, ""), where)
        except LimitExceededError as error:
            self._context.findings.add(Rule.INDEX_DEPTH, where, error.message)
            return None


def _union(sets: Iterable[frozenset[Digest]]) -> frozenset[Digest]:
    return frozenset[Digest]().union(*sets)
