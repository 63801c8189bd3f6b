"""Reading a layout: its images by name or position, and everything they lead to, verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, Protocol

from tarkit.errors import BlobNotFoundError, LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, get_string, parse_object
from tarkit.image.manifest import Index, RawManifest, UnreadableEntry
from tarkit.layout.names import CONTAINERD_NAME, names_of, normalized
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.selection.catalog import EXACT, Catalog, Spelling
from tarkit.streams.verify import verified

INDEX_FILE = "index.json"
MARKER_FILE = "oci-layout"
VERSION = "1.0.0"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class LayoutImage(ImageEntry):
    """An entry of the index, and what it points at."""

    descriptor: Descriptor


class LayoutFiles(Protocol):
    """The files of a layout, in a directory or in an archive."""

    where: str

    def read(self, name: str) -> bytes | None:
        """A metadata file at the top of the layout, within bounds; ``None`` where there is none."""
        ...

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes, or ``None`` where there is no such blob."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The raw bytes of a blob; raises :class:`BlobNotFoundError`."""
        ...


class Layout:
    """A layout's ``index.json``, read, over the files it speaks of."""

    def __init__(self, files: LayoutFiles, top: RawManifest, index: Index) -> None:
        self.files = files
        self.top = top
        self.index = index

    @classmethod
    def read(cls, files: LayoutFiles) -> Layout:
        """Read the marker and the index; raises :class:`MalformedError` if this is no layout.

        An entry of the index that cannot be read hides no other.
        """
        _check_marker(files)
        data = files.read(INDEX_FILE)
        if data is None:
            raise MalformedError("no index.json, so this is not an OCI layout", where=files.where)
        where = f"{files.where}/{INDEX_FILE}"
        media_type = get_string(parse_object(data, where=where), "mediaType", where=where)
        top = RawManifest.of(data, media_type or media_types.OCI_INDEX, where=where)
        return cls(files, top, Index.parse(top, strict=False))

    def images(self) -> Sequence[LayoutImage | UnreadableImage]:
        """Return the images the index names.

        A flat multi-platform index without names is one image: itself.
        """
        return self._catalog.images

    def find(self, name: str | None, position: int | None) -> LayoutImage:
        """Return the image of that *name* or *position*, or the only one.

        A name is compared as it is, then in full. Raises as :meth:`Catalog.choose` does.
        """
        return self._catalog.choose(name, position)[0]

    def matches(self, name: str) -> Mapping[int, str]:
        """Return the positions of all images that *name* means, and the name that each has there."""
        return self._catalog.matches(name)

    @cached_property
    def _catalog(self) -> Catalog[LayoutImage]:
        if self.is_flat():
            images: Sequence[LayoutImage | UnreadableImage] = [
                LayoutImage(0, (), self.top.descriptor)
            ]
        else:
            images = self.entries()
        return Catalog(
            images,
            (EXACT, Spelling(_full_names, normalized)),
            where=self.files.where,
            identity=lambda image: image.descriptor.digest,
        )

    def entries(self) -> list[LayoutImage | UnreadableImage]:
        """Return the entries of the index, each at its position."""
        odd = {entry.position: entry for entry in self.index.unreadable}
        readable = iter(self.index.manifests)
        return [
            _unreadable(odd[position]) if position in odd else _readable(position, next(readable))
            for position in range(len(self.index.manifests) + len(odd))
        ]

    def listing(self) -> Index:
        """The index as a list of images, to which others may be added.

        One that is an image itself is in a list of its own, whose blob is ``top``.
        """
        if self.is_flat():
            return Index(media_types.OCI_INDEX, (self.top.descriptor,))
        return self.index

    def is_flat(self) -> bool:
        """Whether ``index.json`` is one multi-platform image itself, and not a list of images."""
        if self.index.unreadable:
            return False
        platforms = [entry.platform for entry in self.index.manifests]
        named = any(names_of(entry.annotations) for entry in self.index.manifests)
        return len(platforms) > 1 and not named and all(platforms)

    def manifest(self, descriptor: Descriptor) -> RawManifest:
        """The manifest or index that *descriptor* points at, checked against its digest and size."""
        if descriptor.digest == self.top.digest:
            return self.top
        where = f"{self.files.where}: manifest {descriptor.digest}"
        if descriptor.size > METADATA_LIMIT:
            raise LimitExceededError(
                f"a manifest of {descriptor.size} bytes", limit=METADATA_LIMIT, where=where
            )
        data = verified(self.files.open_blob(descriptor.digest), descriptor.digest, descriptor.size)
        return RawManifest.of(data, descriptor.media_type, where=where)

    def nested(self, descriptor: Descriptor) -> RawManifest | None:
        """Return the index that *descriptor* points at, or None if it is absent."""
        is_there = (
            descriptor.digest == self.top.digest
            or self.files.blob_size(descriptor.digest) is not None
        )
        return self.manifest(descriptor) if is_there else None


def _readable(position: int, descriptor: Descriptor) -> LayoutImage:
    return LayoutImage(position, names_of(descriptor.annotations), descriptor)


def _unreadable(entry: UnreadableEntry) -> UnreadableImage:
    """Return what can be said of *entry*: the names and the digest that it states, if these are text."""
    document = entry.document if isinstance(entry.document, dict) else {}
    annotations = document.get("annotations")
    texts = annotations if isinstance(annotations, dict) else {}
    names = names_of({key: text for key, text in texts.items() if isinstance(text, str)})
    digest = document.get("digest")
    return UnreadableImage(
        entry.position, names, entry.error, digest if isinstance(digest, str) else ""
    )


def _full_names(image: ImageEntry) -> Iterator[tuple[str, str]]:
    """Yield the full name of *image*, written out, with the name that comes first in its list."""
    full = (
        image.descriptor.annotations.get(CONTAINERD_NAME)
        if isinstance(image, LayoutImage)
        else None
    )
    if full and (key := normalized(full)) is not None:
        yield key, full


def _check_marker(files: LayoutFiles) -> None:
    marker = files.read(MARKER_FILE)
    if marker is None:
        raise MalformedError("no oci-layout file, so this is not an OCI layout", where=files.where)
    where = f"{files.where}/{MARKER_FILE}"
    version = get_string(parse_object(marker, where=where), "imageLayoutVersion", where=where)
    if version != VERSION:
        raise MalformedError(f"layout version {version[:40]!r}, not {VERSION}", where=where)


class LayoutSource:
    """One image of a layout. Every manifest it hands out was reached from the top and verified."""

    def __init__(self, layout: Layout, top: Descriptor, names: tuple[str, ...]) -> None:
        self._layout = layout
        self._top = top
        self._known = {top.digest: top}
        self.names = names
        self.platform = top.platform
        self.where = layout.files.where

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """See :class:`tarkit.protocols.Source`."""
        descriptor = self._top if digest is None else self._known.get(digest)
        if descriptor is None:
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        raw = self._layout.manifest(descriptor)
        if raw.is_index:
            for child in Index.parse(raw, strict=False).manifests:
                self._known.setdefault(child.digest, child)
        return raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """See :class:`tarkit.protocols.Source`."""
        return self._layout.files.open_blob(descriptor.digest)

    def holds(self, descriptor: Descriptor) -> bool:
        """See :class:`tarkit.protocols.SparseSource`."""
        return self._layout.files.blob_size(descriptor.digest) is not None
