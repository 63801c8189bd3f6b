"""Read a layout: find images by name or position, and verify their manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import BinaryIO, Protocol

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, get_string, parse_object
from tarkit.image.manifest import Index, RawManifest, UnreadableEntry
from tarkit.image.referrer import subject_in_tag
from tarkit.layout.names import CONTAINERD_NAME, names_of, normalized
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.selection.catalog import EXACT, Catalog, Spelling
from tarkit.streams.verify import verified
from tarkit.values import dataclass

INDEX_FILE = "index.json"
MARKER_FILE = "oci-layout"
VERSION = "1.0.0"
MARKER = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class LayoutImage(ImageEntry):
    """An entry of ``index.json`` and its ``descriptor``."""

    descriptor: Descriptor


class LayoutFiles(Protocol):
    """The files of a layout, in a directory or in an archive."""

    where: str

    def read(self, name: str) -> bytes | None:
        """Return the metadata file *name* at the top of the layout, or None if it is missing.

        Raises :class:`LimitExceededError` if it is too large.
        """
        ...

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of the blob in bytes, or None if it is missing."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open the blob, unverified; raise :class:`BlobNotFoundError` if it is missing."""
        ...


class Layout:
    """The parsed ``index.json`` of a layout, and the layout's files."""

    def __init__(self, files: LayoutFiles, top: RawManifest, index: Index) -> None:
        self.files = files
        self.top = top
        self.index = index

    @classmethod
    def read(cls, files: LayoutFiles) -> Layout:
        """Read the marker and the index of a layout.

        Unreadable entries of the index are kept, and do not prevent reading the others. Raises
        :class:`MalformedError` if *files* are not a layout.
        """
        _check_marker(files)
        data = files.read(INDEX_FILE)
        if data is None:
            raise MalformedError("not an OCI layout: index.json is missing", where=files.where)
        # index.json need not have a mediaType, but only OCI indexes may omit it.
        where = f"{files.where}/{INDEX_FILE}"
        media_type = get_string(parse_object(data, where=where), "mediaType", where=where)
        top = RawManifest.of(data, media_type or media_types.OCI_INDEX, where=where)
        return cls(files, top, Index.parse(top, strict=False, where=where))

    def images(self) -> Sequence[LayoutImage | UnreadableImage]:
        """Return the images that the index lists; a flat index is itself the only image."""
        return self._catalog.images

    def find(self, name: str | None, position: int | None) -> LayoutImage:
        """Return the image with that *name* or *position*; without either, the only image.

        The name is compared literally first, then as a full reference. Raises the errors of
        :meth:`Catalog.choose`.
        """
        if name is None and position is None:
            position = self._only_image()
        return self._catalog.choose(name, position)[0]

    def _only_image(self) -> int | None:
        """Return the position of the only entry that is not a list of referrers, or None."""
        found = [
            image.index
            for image in self.images()
            if not (len(image.names) == 1 and subject_in_tag(image.names[0]))
        ]
        return found[0] if len(found) == 1 else None

    def matches(self, name: str) -> Mapping[int, str]:
        """Return the positions of all images that *name* matches, with their matching names."""
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
        """Return all entries of the index in order, including unreadable entries."""
        # The index keeps readable and unreadable entries apart; unreadable entries have positions.
        odd = {entry.position: entry for entry in self.index.unreadable}
        readable = iter(self.index.manifests)
        return [
            _unreadable(odd[position]) if position in odd else _readable(position, next(readable))
            for position in range(len(self.index.manifests) + len(odd))
        ]

    def listing(self) -> Index:
        """Return the index as a list of images to which others can be added.

        If the index is flat, the result is a new list with ``top`` as its only entry.
        """
        if self.is_flat():
            return Index(media_types.OCI_INDEX, (self.top.descriptor,))
        return self.index

    def is_flat(self) -> bool:
        """Return True if ``index.json`` is itself a multi-platform image, not a list of images."""
        # BuildKit's "oci" exporter and buildah with --all write such a file in place of a list.
        if self.index.unreadable:
            return False
        platforms = [entry.platform for entry in self.index.manifests]
        named = any(names_of(entry.annotations) for entry in self.index.manifests)
        return len(platforms) > 1 and not named and all(platforms)

    def manifest(self, descriptor: Descriptor) -> RawManifest:
        """Return the manifest or index of *descriptor*, verified by digest and size."""
        if descriptor.digest == self.top.digest:
            return self.top
        where = f"{self.files.where}: manifest {descriptor.digest}"
        if descriptor.size > METADATA_LIMIT:
            raise LimitExceededError(
                f"manifest too large: {descriptor.size} bytes", limit=METADATA_LIMIT, where=where
            )
        stream = self.files.open_blob(descriptor.digest)
        data = verified(stream, descriptor.digest, descriptor.size, where=where)
        return RawManifest.of(data, descriptor.media_type, where=where)

    def nested(self, descriptor: Descriptor) -> RawManifest | None:
        """Return the index of *descriptor*, or None if its blob is missing."""
        # A flat index is in index.json and usually has no blob.
        is_stored = (
            descriptor.digest == self.top.digest
            or self.files.blob_size(descriptor.digest) is not None
        )
        return self.manifest(descriptor) if is_stored else None


def _readable(position: int, descriptor: Descriptor) -> LayoutImage:
    return LayoutImage(position, names_of(descriptor.annotations), descriptor)


def _unreadable(entry: UnreadableEntry) -> UnreadableImage:
    """Return *entry* with the names and the digest that it states, as far as they are strings."""
    document = entry.document if isinstance(entry.document, dict) else {}
    annotations = document.get("annotations")
    texts = annotations if isinstance(annotations, dict) else {}
    names = names_of({key: text for key, text in texts.items() if isinstance(text, str)})
    digest = document.get("digest")
    return UnreadableImage(
        entry.position, names, entry.error, digest if isinstance(digest, str) else ""
    )


def _full_names(image: ImageEntry) -> Iterator[tuple[str, str]]:
    """Yield the full name of *image*, normalized and as written, if it has one."""
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
        raise MalformedError("not an OCI layout: the oci-layout file is missing", where=files.where)
    where = f"{files.where}/{MARKER_FILE}"
    version = get_string(parse_object(marker, where=where), "imageLayoutVersion", where=where)
    if version != VERSION:
        message = f"unsupported layout version {version[:40]!r}, expected {VERSION}"
        raise MalformedError(message, where=where)
