"""Images at locations, kept open while a solver uses them."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from tarkit.errors import NotFoundError
from tarkit.image.digest import Digest
from tarkit.protocols import Source
from tarkit.solver.operations.sources import OpenLocation
from tarkit.streams.closeable import Closeable


class OpenedImages(Closeable):
    """Opens images with *open_location*, each location once; the others wait for it meanwhile.

    ``layouts`` are locations by the names of stores in definitions.
    """

    def __init__(self, open_location: OpenLocation | None) -> None:
        self._open_location = open_location
        self._stack = ExitStack()
        self._sources: dict[str, Source] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.layouts: dict[str, str] = {}

    def open(self, location: str) -> Source:
        """Return the image at *location*, open until this is closed."""
        if self._open_location is None:
            raise NotFoundError("this build has no access to images", where=location)
        with self._lock:
            lock = self._locks.setdefault(location, threading.Lock())
        with lock:
            if location not in self._sources:
                opened = self._open_location(location)
                source = opened.__enter__()
                with self._lock:
                    self._stack.push(opened)
                    self._sources[location] = source
            return self._sources[location]

    def close(self) -> None:
        """Close all images."""
        self._stack.close()
        self._sources.clear()


def digest_in(reference: str) -> Digest | None:
    """Return the digest at the end of a reference, or None."""
    _, at, text = reference.rpartition("@")
    return Digest.parse(text) if at else None
