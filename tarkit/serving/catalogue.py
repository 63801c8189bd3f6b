"""The images of a Reader by repository and tag, and their content by digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import RLock
from typing import BinaryIO

from tarkit.errors import RefusedError, VerificationError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.protocols import ImageEntry, Reader, Source, UnreadableImage
from tarkit.selection.select import is_present
from tarkit.serving.names import Place, RegistryNaming
from tarkit.serving.problems import Problem
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class ServedBlob:
    """A blob of ``size`` bytes; ``open`` returns its bytes, which the client verifies."""

    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class _Held:
    """A descriptor, and the image that it is part of."""

    source: Source
    descriptor: Descriptor


class Catalogue:
    """The images of an open *reader*; safe to use from several threads.

    Images are read one by one when a request needs them. Content is found by digest in every
    repository, as in a registry that shares its blobs. Unreadable images are left out.
    """

    def __init__(self, reader: Reader, naming: RegistryNaming) -> None:
        self._reader = reader
        self._lock = RLock()
        self._images = [e for e in reader.images() if not isinstance(e, UnreadableImage)]
        self._unread = {entry.index: entry for entry in self._images}
        self._tops: dict[int, RawManifest] = {}
        self._manifests: dict[Digest, _Held] = {}
        self._blobs: dict[Digest, _Held] = {}
        self._referrers: dict[Digest, dict[Digest, Descriptor]] = defaultdict(dict)
        self.notes: list[str] = []
        self._repositories = self._arrange(naming)

    @property
    def repositories(self) -> Mapping[str, Mapping[str, int]]:
        """The tags of each repository, both sorted, with the positions of their images."""
        return self._repositories

    def manifest(self, repository: str, tag: str) -> RawManifest | None:
        """Return the manifest or index with *tag*, or None if there is none."""
        position = self._repositories.get(repository, {}).get(tag)
        if position is None:
            return None
        with self._lock:
            self._read(position)
            return self._tops[position]

    def manifest_at(self, digest: Digest) -> RawManifest | None:
        """Return the manifest or index with *digest*, or None if it is not part of any image."""
        with self._lock:
            held = self._find(self._manifests, digest)
            return held.source.manifest(digest) if held else None

    def is_top(self, digest: Digest) -> bool:
        """Return True if *digest* is that of a whole image that was read already, or of the only one."""
        with self._lock:
            if len(self._images) == 1:
                self._read_all()
            return any(top.digest == digest for top in self._tops.values())

    def blob(self, digest: Digest) -> ServedBlob | None:
        """Return the blob with *digest*, or None if it is not part of any image or missing."""
        with self._lock:
            held = self._find(self._blobs, digest)
        if held is None or not is_present(held.source, held.descriptor):
            return None
        source, descriptor = held.source, held.descriptor
        return ServedBlob(descriptor.size, lambda: source.open_blob(descriptor))

    def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        """Return the manifests whose subject is *digest*."""
        with self._lock:
            self._read_all()
            return tuple(self._referrers.get(digest, {}).values())

    def contains(self, digest: Digest) -> bool:
        """Return True if an image has a manifest or blob with *digest*."""
        with self._lock:
            return any(self._find(table, digest) for table in (self._manifests, self._blobs))

    def _arrange(self, naming: RegistryNaming) -> dict[str, dict[str, int]]:
        found: dict[Place, ImageEntry] = {}
        for entry in self._images:
            for place in naming.places(entry.names):
                if (first := found.setdefault(place, entry)) is not entry:
                    self.notes.append(f"{place} is {first.label}; {entry.label} is left out")
        if not found and len(self._images) == 1:  # the only image needs no name
            found[Place(naming.only or naming.default, "latest")] = self._images[0]
        repositories: dict[str, dict[str, int]] = {}
        for place, entry in sorted(found.items(), key=lambda item: item[0]):
            repositories.setdefault(place.repository, {})[place.tag] = entry.index
        return repositories

    def _find(self, table: dict[Digest, _Held], digest: Digest) -> _Held | None:
        if digest not in table:
            self._read_all()
        return table.get(digest)

    def _read_all(self) -> None:
        for position in tuple(self._unread):
            try:
                self._read(position)
            except (VerificationError, RefusedError):  # must not hide the other images
                self._unread.pop(position, None)

    def _read(self, position: int) -> None:
        """Read the manifests of the image at *position*, unless that is done."""
        if position not in self._tops:
            source = self._reader.source(index=position)
            top = source.manifest()
            for raw in _manifests(source, top):
                self._add(source, raw)
            self._tops[position] = top
            self._unread.pop(position, None)

    def _add(self, source: Source, raw: RawManifest) -> None:
        self._manifests[raw.digest] = _Held(source, raw.descriptor)
        content = parse(raw)
        if content is None:
            return
        if content.subject:
            self._referrers[content.subject.digest][raw.digest] = _referrer(raw, content)
        if isinstance(content, Manifest):
            for blob in (content.config, *content.layers):
                self._blobs.setdefault(blob.digest, _Held(source, blob))


def _manifests(source: Source, top: RawManifest) -> Iterator[RawManifest]:
    """Yield *top* and every present manifest below it once."""
    seen = {top.digest}
    pending = [top]
    while pending:  # no recursion: indexes may nest deeply
        raw = pending.pop()
        yield raw
        for child in Index.parse(raw, strict=False).manifests if raw.is_index else ():
            known = child.media_type in media_types.MANIFESTS | media_types.INDEXES
            if known and child.digest not in seen and is_present(source, child):
                seen.add(child.digest)
                pending.append(source.manifest(child.digest))


def parse(raw: RawManifest) -> Manifest | Index | None:
    """Return *raw* parsed, or None for another kind of document, such as Docker's schema 1."""
    if raw.is_index:
        return Index.parse(raw, strict=False)
    return Manifest.parse(raw) if raw.media_type in media_types.MANIFESTS else None


def _referrer(raw: RawManifest, content: Manifest | Index) -> Descriptor:
    """Return the entry of *raw* in a list of referrers (distribution-spec, "Listing Referrers")."""
    config_type = content.config.media_type if isinstance(content, Manifest) else ""
    return replace(
        raw.descriptor,
        artifact_type=content.artifact_type or config_type,
        annotations=content.annotations,
    )


def require_manifest(raw: RawManifest | None, reference: object) -> RawManifest:
    """Return *raw*; raise :class:`Problem` if it is None."""
    if raw is None:
        raise Problem("MANIFEST_UNKNOWN", f"no manifest {reference}")
    return raw


def blobs_of(content: Manifest | Index | None) -> Iterable[Descriptor]:
    """Return the content that must exist before *content*: all but layers that have URLs."""
    if isinstance(content, Manifest):
        return [b for b in (content.config, *content.layers) if not b.is_foreign]
    return content.manifests if content else ()
