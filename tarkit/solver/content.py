"""Digests of the content that operations read of their inputs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from tarkit.cache.refs import ImmutableRef
from tarkit.rootfs.content_hash import KnownDigests, TreeDigests
from tarkit.rootfs.content_query import content_digest
from tarkit.solver.empty import files_of
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.operation import Ref

_MOST = 32  # results whose digests are remembered


class ContentDigests:
    """Remembers the digests of the files of results: several operations may read the same ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, KnownDigests] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, ref: ImmutableRef) -> KnownDigests:
        """Return the digests of a result that are known so far; they can be added to."""
        with self._lock:
            known = self._known.setdefault(ref.id, KnownDigests())
            self._known.move_to_end(ref.id)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
            return known

    def compute(self, cache_map: CacheMap, refs: Mapping[int, Ref]) -> dict[int, str]:
        """Return the content digest of each input in *refs*, by position.

        Raises :class:`~tarkit.errors.PathNotFoundError` if the operation reads a path that is missing.
        """
        return {at: self._content(cache_map, at, ref) for at, ref in refs.items()}

    def _content(self, cache_map: CacheMap, position: int, ref: Ref) -> str:
        known = self.of(ref) if ref is not None else None
        digests = TreeDigests(files_of(ref), known)
        return cache_map.inputs[position].content_digest(partial(content_digest, digests))
