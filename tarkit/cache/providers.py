"""Fetch the blobs of lazy refs: from the handlers of a ref, or from the location stored with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import BinaryIO

from tarkit.cache import facts
from tarkit.cache.facts import digest_of, number_of, text_of, texts_of
from tarkit.cache.options import DescHandler, DescHandlers
from tarkit.errors import NeedsRemoteProviderError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.progress import Event, ProgressTracker
from tarkit.protocols import Source
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.streams.closeable import Closeable
from tarkit.values import replace

OpenLocation = Callable[[str], AbstractContextManager[Source]]
"""Opens the image at a location, as :func:`tarkit.open_source` does."""


class Providers(Closeable):
    """Fetches blobs into *store*; keeps the locations that *open_location* opens until it is closed.

    Without *open_location*, only handlers with an open provider count.
    """

    def __init__(self, store: Store, open_location: OpenLocation | None) -> None:
        self._store = store
        self._open_location = open_location
        self._stack = ExitStack()
        self._sources: dict[str, Source] = {}
        self._lock = threading.Lock()

    def handler(self, record: Record, handlers: DescHandlers) -> DescHandler | None:
        """Return the handler of a record's blob, or None if nothing provides it."""
        digest = digest_of(record, facts.BLOB)
        given = handlers.get(digest) if digest is not None else None
        if given is not None and given.provider is not None:
            return given
        location = given.location if given is not None else ""
        location = location or text_of(record, facts.LOCATION)
        if not location or self._open_location is None:
            return None
        return replace(given or DescHandler(), location=location)

    def fetch(self, record: Record, handlers: DescHandlers) -> None:
        """Store the blob of a record unless it is present.

        Raises :class:`NeedsRemoteProviderError`, and the errors of the provider.
        """
        descriptor = descriptor_of(record)
        if descriptor is None or self._store.content.hold(descriptor.digest) is not None:
            return
        handler = self.handler(record, handlers)
        if handler is None:
            raise NeedsRemoteProviderError([descriptor.digest], where=record.id)
        tracker = ProgressTracker(handler.on_progress)
        tracker.expect(descriptor)
        tracker.tell(Event.STARTED, descriptor)
        self._store.content.fetch(
            descriptor.digest,
            descriptor.size,
            lambda offset: tracker.watch(self.open(handler, descriptor, offset), descriptor),
        )
        tracker.done(Event.FINISHED, descriptor)

    def open(self, handler: DescHandler, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        """Open a blob at the origin in *handler*, from *offset* on, unverified."""
        opened = replace(handler, provider=handler.provider or self._open(handler.location))
        return opened.open(descriptor, offset)

    def close(self) -> None:
        """Close the locations."""
        self._stack.close()
        self._sources.clear()

    def _open(self, location: str) -> Source:
        assert self._open_location is not None
        with self._lock:
            if location not in self._sources:
                opened = self._open_location(location)
                self._sources[location] = self._stack.enter_context(opened)
            return self._sources[location]


def descriptor_of(record: Record) -> Descriptor | None:
    """Return the descriptor of a record's blob, or None if it has none."""
    digest = digest_of(record, facts.BLOB)
    if digest is None:
        return None
    return Descriptor(
        text_of(record, facts.MEDIA_TYPE) or media_types.OCI_LAYER,
        digest,
        int(number_of(record, facts.BLOB_SIZE)),
        tuple(texts_of(record, facts.URLS)),
        annotations=dict(each.split("=", 1) for each in texts_of(record, facts.ANNOTATIONS)),
    )
