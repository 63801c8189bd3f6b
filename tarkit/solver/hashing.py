"""Digests of the content that an operation reads of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tarkit.rootfs.content_hash import TreeDigests
from tarkit.rootfs.content_query import content_digest
from tarkit.solver.empty import files_of
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.operation import Ref


def content_of(cache_map: CacheMap, refs: Mapping[int, Ref]) -> dict[int, str]:
    """Return the content digest of each input in *refs*, by position.

    Raises :class:`~tarkit.errors.PathNotFoundError` if the operation reads a path that is missing.
    """
    return {
        at: cache_map.inputs[at].content_digest(partial(content_digest, TreeDigests(files_of(ref))))
        for at, ref in refs.items()
    }
