"""The space that a whole store takes, and the removal of unneeded content."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tarkit.cache.cache import Cache
from tarkit.cache.mounting import DIRECTORY, discard
from tarkit.cache.policies import DiskSpace, PrunePolicy, keep_bytes
from tarkit.cache.pruning import Plan, execute, plan
from tarkit.cache.usage import Usage, UsageInfo
from tarkit.rootfs.mounts.mounts import Mounts
from tarkit.store.content import Blob
from tarkit.store.gc import Garbage, collect
from tarkit.store.layers import StoredLayer
from tarkit.store.leases import PULLED
from tarkit.values import dataclass, replace

_Item = TypeVar("_Item", Blob, StoredLayer)


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """The use of a store, in bytes.

    ``images`` is the content of named images, ``refs`` the content that only refs need, and
    ``pulled`` that of images that copies read through the store. ``derived`` are plain layers that a
    blob can recreate. ``unneeded`` is garbage, or in use by a running process.
    """

    refs: tuple[UsageInfo, ...]
    images: int
    content: int
    pulled: int
    derived: int
    unneeded: int

    @property
    def total(self) -> int:
        """The sum of all."""
        return self.images + self.content + self.pulled + self.derived + self.unneeded


@dataclass(frozen=True, slots=True)
class StorePrune:
    """The result of pruning a store: removed blobs, layers besides those of refs, and refs.

    ``plan`` has the refs, each with a reason. ``bytes`` is the size of everything together.
    """

    plan: Plan
    blobs: tuple[Blob, ...]
    layers: tuple[StoredLayer, ...]
    bytes: int


class _Parts:
    """The content of a store by its use; the parts do not overlap."""

    def __init__(self, cache: Cache) -> None:
        store = cache.store
        leases = store.leases.all()
        pulled = {item for lease in leases if lease.id == PULLED for item in lease.items}
        leased = {item for lease in leases if lease.id != PULLED for item in lease.items}
        named = {str(digest) for digest in store.names.reachable()}
        needed = store.records.contents()
        blobs, layers = store.content.blobs(), store.layers.all()
        present = {blob.digest for blob in blobs}
        self.images = [blob for blob in blobs if str(blob.digest) in named]
        rest = [blob for blob in blobs if str(blob.digest) not in named]
        self.content = [blob for blob in rest if str(blob.digest) in needed]
        rest = [blob for blob in rest if str(blob.digest) not in needed]
        self.pulled = _oldest(blob for blob in rest if str(blob.digest) in pulled)
        # after a repair, layers whose ref is unknown
        self.pulled_layers = [
            layer
            for layer in layers
            if layer.item in pulled and layer.item not in needed and layer.item not in leased
        ]
        self.unneeded = [blob for blob in rest if str(blob.digest) not in pulled]
        # a plain blob and its layer are one file
        self.derived = _oldest(
            layer
            for layer in layers
            if layer.derived
            and layer.item not in needed
            and layer.item not in leased
            and layer not in self.pulled_layers
        )
        self.layers = [
            layer for layer in layers if layer not in self.derived and layer.diff_id not in present
        ]
        self.present = present

    def size_of(self, layer: StoredLayer) -> int:
        """Return the bytes that removing *layer* frees."""
        return 0 if layer.diff_id in self.present else layer.size


def store_usage(cache: Cache) -> StoreUsage:
    """Return the use of the whole store."""
    refs = Usage.read(cache).infos()
    parts = _Parts(cache)
    return StoreUsage(
        tuple(refs),
        sum(blob.size for blob in parts.images),
        sum(blob.size for blob in parts.content) + sum(layer.size for layer in parts.layers),
        sum(blob.size for blob in parts.pulled) + sum(map(parts.size_of, parts.pulled_layers)),
        sum(map(parts.size_of, parts.derived)),
        sum(blob.size for blob in parts.unneeded),
    )


def prune_store(cache: Cache, policy: PrunePolicy, *, dry_run: bool = False) -> StorePrune:
    """Remove unneeded content: derived layers first, then pulled images, then refs.

    In each group, the least recently used content is removed first. With limits in *policy*, only
    the excess is removed. Named images stay. With *dry_run*, nothing is removed.
    """
    usage = store_usage(cache)
    parts = _Parts(cache)
    excess = None
    if policy.has_limit:
        keep = keep_bytes(usage.total, DiskSpace.of(cache.store.root), policy)
        # prune stops only below its limit
        policy = replace(policy, reserved=0, min_free=0, max_used=keep + 1)
        excess = usage.total - keep
    layers, excess = _until(parts.derived, parts.size_of, excess)
    unknown, excess = _until(parts.pulled_layers, parts.size_of, excess)
    layers = [*layers, *unknown]
    pulled, excess = _until(parts.pulled, lambda blob: blob.size, excess)
    gone = sum(map(parts.size_of, layers)) + sum(blob.size for blob in pulled)
    keys = {layer.key for layer in layers}
    refs = sum(Usage.read(cache, without=keys).sizes.values())
    besides = max(usage.total - gone - refs, 0)
    planned = plan(cache, [policy], besides=besides, without=keys)
    if dry_run:
        freed = gone + usage.unneeded + sum(info.size for info in planned.victims)
        return StorePrune(planned, (*pulled, *parts.unneeded), tuple(layers), freed)
    garbage = _remove(cache, planned, layers, pulled)
    freed = usage.total - store_usage(cache).total
    return StorePrune(planned, garbage.blobs, (*layers, *garbage.layers), freed)


def _remove(cache: Cache, planned: Plan, layers: list[StoredLayer], pulled: list[Blob]) -> Garbage:
    store = cache.store
    # the content of refs is removed with them
    store.leases.drop(PULLED, *store.records.contents())
    execute(cache, planned)
    for layer in layers:
        store.layers.remove(layer.key)
    store.leases.drop(PULLED, *(str(blob.digest) for blob in pulled))
    store.leases.drop(PULLED, *(layer.item for layer in layers))
    mounts = cache.store.root / DIRECTORY
    if mounts.is_dir():
        opened = Mounts(mounts)
        opened.sweep()
        discard(opened, set(opened.keys()))
    return collect(store)


def _until(
    items: list[_Item], size: Callable[[_Item], int], excess: int | None
) -> tuple[list[_Item], int | None]:
    """Return the first of *items* that together have *excess* bytes, and the excess that is left."""
    if excess is None:
        return items, None
    chosen = []
    for item in items:
        if excess <= 0:
            break
        chosen.append(item)
        excess -= size(item)
    return chosen, excess


def _oldest(items: Iterable[_Item]) -> list[_Item]:
    return sorted(items, key=lambda item: item.used)
