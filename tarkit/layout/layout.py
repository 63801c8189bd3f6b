"""Reading a layout: its images by name or position, and everything they lead to, verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from tarkit.errors import (
    AmbiguousImageError,
    BlobNotFoundError,
    ImageNotFoundError,
    LimitExceededError,
    MalformedError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, get_string, parse_object
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.names import answers_to, names_of
from tarkit.streams.verify import verified
from tarkit.transports.base import ImageEntry

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


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout's ``index.json``, read, over the files it speaks of."""

    files: LayoutFiles
    top: RawManifest
    index: Index

    @classmethod
    def read(cls, files: LayoutFiles) -> Layout:
        """Read the marker and the index; raises :class:`MalformedError` where this is no layout."""
        _check_marker(files)
        data = files.read(INDEX_FILE)
        if data is None:
            raise MalformedError("no index.json, so this is not an OCI layout", where=files.where)
        where = f"{files.where}/{INDEX_FILE}"
        media_type = get_string(parse_object(data, where=where), "mediaType", where=where)
        top = RawManifest.of(data, media_type or media_types.OCI_INDEX, where=where)
        return cls(files, top, Index.parse(top))

    def images(self) -> tuple[LayoutImage, ...]:
        """The images the index names. A flat multi-platform index without names is one image: itself."""
        if self.is_flat():
            return (LayoutImage(0, (), self.top.descriptor),)
        return tuple(
            LayoutImage(position, names_of(entry.annotations), entry)
            for position, entry in enumerate(self.index.manifests)
        )

    def find(self, name: str | None, position: int | None) -> LayoutImage:
        """The image of that *name* or *position*, or the only one there is.

        Raises :class:`ImageNotFoundError` and :class:`AmbiguousImageError`; both list what there is.
        """
        images = self.images()
        labels = [image.label for image in images]
        where = self.files.where
        if position is not None:
            if not 0 <= position < len(images):
                count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
                raise ImageNotFoundError(
                    f"no image @{position}: it holds {count}", where=where, available=labels
                )
            return images[position]
        if name is not None:
            return self._named(name, images)
        if not images:
            raise ImageNotFoundError("it holds no image", where=where)
        return _the_one(images, f"it holds {len(images)} images and none was named", where)

    def _named(self, name: str, images: Sequence[LayoutImage]) -> LayoutImage:
        exact = [image for image in images if name in image.names]
        found = exact or [
            image for image in images if answers_to(image.descriptor.annotations, name)
        ]
        if not found:
            raise ImageNotFoundError(
                f"no image {name!r}",
                where=self.files.where,
                available=[image.label for image in images],
            )
        problem = f"{name!r} is the name of {len(found)} images"
        return _the_one(found, problem, self.files.where)

    def listing(self) -> Index:
        """The index as a list of images, to which others may be added.

        One that is an image itself is in a list of its own, whose blob is ``top``.
        """
        if self.is_flat():
            return Index(media_types.OCI_INDEX, (self.top.descriptor,))
        return self.index

    def is_flat(self) -> bool:
        """Whether ``index.json`` is one multi-platform image itself, and not a list of images."""
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


def _the_one(images: Sequence[LayoutImage], problem: str, where: str) -> LayoutImage:
    """The image that all of *images* are, whatever their names; an error of *problem* where they differ."""
    if len({image.descriptor.digest for image in images}) > 1:
        names = [image.names[0] if image.names else image.label for image in images]
        raise AmbiguousImageError(problem, where=where, available=names)
    return images[0]


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
        self.where = layout.files.where

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """See :class:`tarkit.transports.base.Source`."""
        descriptor = self._top if digest is None else self._known.get(digest)
        if descriptor is None:
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        raw = self._layout.manifest(descriptor)
        if raw.is_index:
            for child in Index.parse(raw).manifests:
                self._known.setdefault(child.digest, child)
        return raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """See :class:`tarkit.transports.base.Source`."""
        return self._layout.files.open_blob(descriptor.digest)

    def holds(self, descriptor: Descriptor) -> bool:
        """See :class:`tarkit.transports.base.SparseSource`."""
        return self._layout.files.blob_size(descriptor.digest) is not None
