"""Readers of several locations, of which only a few are open at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tarkit.protocols import Reader, Source
from tarkit.streams.closeable import Closeable
from tarkit.syncing.items import Item
from tarkit.transports.location import Location, Transport, open_reader
from tarkit.transports.registry.options import RegistryOptions

_MOST_OPEN = 8

_Key = tuple[Transport, str, RegistryOptions | None]


class Readers(Closeable):
    """Opens each location once while it is in use; standard input stays open.

    Images are read through the *store* in that directory, if any.
    """

    def __init__(self, *, follow_links: bool = False, store: Path | None = None) -> None:
        self._follow_links = follow_links
        self._store = store
        self._open: dict[_Key, Reader] = {}  # the least recently used first

    def reader(self, location: Location, registry: RegistryOptions | None) -> Reader:
        """Return the reader of *location*, valid until other locations have been opened."""
        key = location.transport, location.path, registry
        reader = self._open.pop(key, None)
        if reader is None:
            self._close_oldest()
            reader = open_reader(location, follow_links=self._follow_links, registry=registry)
            reader.__enter__()
        self._open[key] = reader
        return reader

    @contextmanager
    def source(self, item: Item) -> Iterator[Source]:
        """Yield the image of *item*."""
        location = item.location
        source = self.reader(location, item.registry).source(location.name, index=location.index)
        if self._store is None or location.transport is Transport.STORE:
            yield source
            return
        from tarkit.transports.store.caching import caching

        with caching(source, self._store) as cached:
            yield cached

    def _close_oldest(self) -> None:
        files = [key for key in self._open if key[1] != "-"]
        if len(files) >= _MOST_OPEN:
            self._open.pop(files[0]).__exit__(None, None, None)

    def close(self) -> None:
        """Close all readers."""
        while self._open:
            self._open.popitem()[1].__exit__(None, None, None)
