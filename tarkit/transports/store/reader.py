"""Read images of a store: by name, position, digest or the ID of a ref."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tarkit.errors import ImageNotFoundError, MalformedError, TarkitError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, get_string, parse_object
from tarkit.image.media_types import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from tarkit.layout.layout import Layout, LayoutImage
from tarkit.layout.source import LayoutSource
from tarkit.protocols import ImageEntry, PlainLayer, Source
from tarkit.store.plain import PlainLayers
from tarkit.store.store import Store
from tarkit.streams.closeable import Closeable
from tarkit.streams.verify import verified

OpenRef = Callable[[Store, str], Source | None]
"""Returns the ref with an ID as a source, or None if there is none."""


class StoreSource(LayoutSource):
    """One image of a store; see :class:`tarkit.protocols.Source` and its ``IndexedSource``."""

    def __init__(
        self, layout: Layout, top: Descriptor, names: tuple[str, ...], plain: PlainLayers
    ) -> None:
        super().__init__(layout, top, names)
        self._plain = plain

    def plain_layer(self, layer: Descriptor, diff_id: Digest) -> PlainLayer | None:
        """Return the uncompressed form of *layer*, or None: then open its blob."""
        return self._plain.get(layer, diff_id)


class StoreReader(Closeable):
    """The images of *store*, which it closes; see :class:`tarkit.protocols.Reader`.

    *open_ref* finds refs, which the names ``@ID`` select.
    """

    def __init__(self, store: Store, open_ref: OpenRef | None = None) -> None:
        self._store = store
        self._open_ref = open_ref
        self._plain = PlainLayers(store)
        self.layout = store.names.layout()
        self.where = str(store.root)

    @classmethod
    def open(cls, root: str | Path, open_ref: OpenRef | None = None) -> Self:
        """Open the store at *root*; raises the errors of :meth:`tarkit.store.store.Store.open`."""
        return cls(Store.open(root, create=False), open_ref)

    def images(self) -> Sequence[ImageEntry]:
        """Return the images in the order of the container."""
        return self.layout.images()

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """Return the image with *name* or at position *index*, or the only image."""
        if name is not None and name.startswith("@"):
            return self._by_id(name[1:])
        image = self.layout.find(name, index)
        return self._source(image.descriptor, image.names[:1])

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _by_id(self, text: str) -> Source:
        if ":" not in text:
            found = self._open_ref(self._store, text) if self._open_ref else None
            if found is None:
                raise ImageNotFoundError(f"no ref {text!r}", where=self.where)
            return found
        digest = Digest.parse(text)
        for entry in self.layout.images():
            if isinstance(entry, LayoutImage) and entry.descriptor.digest == digest:
                return self._source(entry.descriptor, entry.names[:1])
        return self._source(self._describe(digest), ())

    def _describe(self, digest: Digest) -> Descriptor:
        """Return the descriptor of the manifest or index *digest*, which no name refers to."""
        size = self._store.content.size(digest)
        if size is None:
            raise ImageNotFoundError(f"no image {digest}", where=self.where)
        where = f"{self.where}: {digest}"
        if size > METADATA_LIMIT:
            raise MalformedError("a blob, not a manifest", where=where)
        data = verified(self._store.content.open(digest), digest, size)
        try:
            document = parse_object(data, where=where)
            media_type = get_string(document, "mediaType", where=where) or _guessed(document)
        except TarkitError:
            media_type = ""
        if media_type not in MANIFESTS | INDEXES:
            raise MalformedError("a blob, not a manifest", where=where)
        return Descriptor(media_type, digest, size)

    def _source(self, top: Descriptor, names: tuple[str, ...]) -> StoreSource:
        return StoreSource(self.layout, top, names, self._plain)


def _guessed(document: dict[str, Any]) -> str:
    """Return the media type of a document that does not state it, as the specification allows."""
    if "manifests" in document:
        return OCI_INDEX
    return OCI_MANIFEST if "config" in document and "layers" in document else ""
