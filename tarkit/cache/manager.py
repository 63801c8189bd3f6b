"""The cache manager: creates, finds, combines and removes refs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tarkit.cache import blobs, combining, facts, mounting
from tarkit.cache.cache import Cache
from tarkit.cache.facts import RefKind, text_of
from tarkit.cache.identity import IdentityMapping
from tarkit.cache.ledger import now
from tarkit.cache.metadata import RefMetadata
from tarkit.cache.options import DEFAULTS, DescHandlers, RefOptions
from tarkit.cache.policies import DiskSpace, PrunePolicy, default_policies
from tarkit.cache.providers import OpenLocation
from tarkit.cache.pruning import Plan, execute, plan
from tarkit.cache.refs import ImmutableRef, MutableRef
from tarkit.cache.space import StorePrune, StoreUsage, prune_store, store_usage
from tarkit.cache.usage import ExternalRefCheckerFactory, UsageInfo, disk_usage
from tarkit.errors import NeedsRemoteProviderError, NotFoundError
from tarkit.image.descriptor import Descriptor
from tarkit.store.gc import collect
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.streams.closeable import Closeable
from tarkit.values import replace


class CacheManager(Closeable):
    """The refs in *store*, which it closes; a context manager, safe to use from several threads.

    Several processes may have managers of the same store. Closing a manager releases its refs.
    *open_location* opens the locations that are stored with lazy refs, for example
    :func:`tarkit.open_source`, with credentials if necessary. *clock* returns the time in seconds since
    the epoch. *identity_mapping* is for programs that run processes in mounts.

    >>> with tarkit.CacheManager.open("store") as manager:
    ...     with manager.new() as active:
    ...         active.files.write("/motd", b"hello")
    ...         base = active.commit()
    ...     merged = manager.merge([base, manager.new().commit()])
    ...     merged.files.read_text("/motd")
    'hello'
    """

    def __init__(
        self,
        store: Store,
        *,
        open_location: OpenLocation | None = None,
        clock: Callable[[], float] = now,
        identity_mapping: IdentityMapping | None = None,
    ) -> None:
        self._cache = Cache(store, clock, open_location, identity_mapping)
        self.store = store
        if store.writable:
            self._cache.ledger.bury()

    @classmethod
    def open(
        cls,
        root: str | Path,
        *,
        open_location: OpenLocation | None = None,
        clock: Callable[[], float] = now,
        identity_mapping: IdentityMapping | None = None,
    ) -> Self:
        """Open the store at *root*, or create it.

        Raises the errors of :meth:`tarkit.store.store.Store.open`.
        """
        return cls(
            Store.open(root),
            open_location=open_location,
            clock=clock,
            identity_mapping=identity_mapping,
        )

    @property
    def identity_mapping(self) -> IdentityMapping:
        """The mapping between users of containers and of the machine, for programs that run processes."""
        return self._cache.identity_mapping

    def new(self, parent: ImmutableRef | None = None, options: RefOptions = DEFAULTS) -> MutableRef:
        """Create a mutable ref with the content of *parent*, or empty; *parent* is finalized.

        Raises :class:`~tarkit.errors.NeedsRemoteProviderError` if layers of *parent* are missing,
        and the errors of extracting them.
        """
        cache = self._cache
        kind, parents, handlers = RefKind.BASE_LAYER, list[str](), options.handlers
        if parent is not None:
            handlers = {**parent.handlers, **options.handlers}
            parent.finalize()
            cache.snapshots.extract(parent.record, handlers)
            kind, parents = RefKind.LAYER, [parent.id]
        _, hold = cache.ledger.create(kind, options, parents=tuple(parents), mutable=True)
        return MutableRef(cache, hold, handlers)

    def get(self, ref_id: str, options: RefOptions = DEFAULTS) -> ImmutableRef:
        """Return the ref *ref_id*; an idle mutable ref is committed.

        Raises :class:`~tarkit.errors.NotFoundError`, :class:`~tarkit.errors.LockedError` if it is
        mutable and in use, and :class:`~tarkit.errors.NeedsRemoteProviderError` if blobs of its
        chain are missing and neither *options* nor the store has their origin.
        """
        with self._loaded(ref_id):
            self._require_providers(ref_id, options.handlers)
            record, hold = self._cache.ledger.get(ref_id, use=options.update_last_used)
            self._note(record, options)
        return ImmutableRef(self._cache, hold, options.handlers)

    def get_mutable(self, ref_id: str, options: RefOptions = DEFAULTS) -> MutableRef:
        """Return the idle mutable ref *ref_id*; an immutable ref committed from it disappears.

        Raises :class:`~tarkit.errors.NotFoundError`, :class:`~tarkit.errors.LockedError` if it is in
        use, and :class:`~tarkit.errors.RefusedError` if it is not mutable.
        """
        with self._loaded(ref_id):
            self._require_providers(ref_id, options.handlers)
            record, hold = self._cache.ledger.get_mutable(ref_id)
            self._note(record, options)
            layer = text_of(record, facts.LAYER)
            if layer:  # the layer was written for a reader, but the ref will change
                with self._cache.ledger.change() as change:
                    values = {k: v for k, v in record.values.items() if k != facts.LAYER}
                    kept = record.contents - {f"layer:{layer}"}
                    change.put(replace(record, values=values, contents=kept))
        return MutableRef(self._cache, hold, options.handlers)

    def get_by_blob(
        self,
        descriptor: Descriptor,
        parent: ImmutableRef | None = None,
        options: RefOptions = DEFAULTS,
    ) -> ImmutableRef:
        """Return the ref whose layer is the blob *descriptor*, on top of *parent*.

        The result is one of three: an existing ref with the same blobs; a new one that shares the
        data of a ref with the same layers in other blobs; or a new one. Nothing is transferred: the
        blob is fetched by its handler when the ref is read. The annotation
        ``containerd.io/uncompressed`` of *descriptor* must be its diff ID.

        Raises :class:`~tarkit.errors.NeedsRemoteProviderError` if the blob is not in the store and has
        no handler, and :class:`~tarkit.errors.RefusedError` if *parent* has no blobs.
        """
        handlers = {**(parent.handlers if parent is not None else {}), **options.handlers}
        options = replace(options, handlers=handlers)
        record = parent.record if parent is not None else None
        hold = blobs.get_by_blob(self._cache, descriptor, record, options)
        return ImmutableRef(self._cache, hold, handlers)

    def merge(
        self, parents: Sequence[ImmutableRef], options: RefOptions = DEFAULTS
    ) -> ImmutableRef | None:
        """Return the ref that results from applying the layers of all *parents* in order.

        The merge of one ref is that ref; the merge of none is None. Merges among *parents* are
        replaced by their own parents. No layer is read or written.
        """
        return combining.merge(self._cache, parents, options)

    def diff(
        self,
        lower: ImmutableRef,
        upper: ImmutableRef | None,
        options: RefOptions = DEFAULTS,
    ) -> ImmutableRef:
        """Return the ref with the changes from *lower* to *upper*, or to nothing if that is None.

        If *upper* is several layers above *lower*, the result is the merge of these layers. Otherwise
        it is one layer, written when it is first read.
        """
        return combining.diff(self._cache, lower, upper, options)

    def disk_usage(
        self,
        filters: Sequence[str] = (),
        *,
        age: float = 0,
        check: ExternalRefCheckerFactory | None = None,
    ) -> list[UsageInfo]:
        """Return the refs that match one of *filters* (:mod:`tarkit.cache.filters`), oldest first.

        A mutable ref and an immutable ref with the same data are listed as one. With *age*, refs
        used within that many seconds are left out. *check* finds refs that another program has,
        too.
        """
        return disk_usage(self._cache, filters, age, check() if check is not None else None)

    def plan_prune(
        self,
        policies: Sequence[PrunePolicy] | None = None,
        *,
        check: ExternalRefCheckerFactory | None = None,
    ) -> Plan:
        """Return the plan that :meth:`prune` carries out: a decision and a reason for each ref."""
        if policies is None:
            policies = default_policies(DiskSpace.of(self.store.root))
        # a policy that removes everything needs no check
        needed = any(not policy.all or policy.filters for policy in policies)
        checker = check() if check is not None and needed else None
        return plan(self._cache, policies, checker)

    def prune(
        self,
        policies: Sequence[PrunePolicy] | None = None,
        *,
        check: ExternalRefCheckerFactory | None = None,
    ) -> list[UsageInfo]:
        """Remove unused refs, policy by policy, then all unneeded content.

        Without *policies*, :func:`~tarkit.cache.policies.default_policies` apply. Return the removed
        refs, in order. For *check* see :meth:`disk_usage`.
        """
        removed = execute(self._cache, self.plan_prune(policies, check=check))
        mounting.discard_unneeded(self._cache)
        collect(self.store)
        return removed

    def store_usage(self) -> StoreUsage:
        """Return the space that the whole store takes, by purpose."""
        return store_usage(self._cache)

    def prune_store(self, policy: PrunePolicy, *, dry_run: bool = False) -> StorePrune:
        """Remove derived layers, then images that copies read through the store, then refs.

        Without limits in *policy*, all unneeded content is removed; otherwise only the excess. With
        *dry_run*, nothing is removed.
        """
        return prune_store(self._cache, policy, dry_run=dry_run)

    def search(self, index: str, *, prefix: bool = False) -> list[RefMetadata]:
        """Return the refs with *index*, or an index that starts with it, oldest first."""
        found = self._cache.ledger.records.find(index, prefix=prefix)
        return [RefMetadata(self._cache.ledger, record.id) for record in found]

    def metadata(self, ref_id: str) -> RefMetadata:
        """Return the metadata of a ref without opening it; raises the errors of :meth:`get`."""
        return RefMetadata(self._cache.ledger, self._cache.ledger.find(ref_id).id)

    def close(self) -> None:
        """Release the refs of this manager, and close the store."""
        try:
            self._cache.close()
        finally:
            self.store.close()

    def _note(self, record: Record, options: RefOptions) -> None:
        from tarkit.cache.ledger import with_options

        if with_options(record, options) != record:
            with self._cache.ledger.change() as change:
                change.put(with_options(self._cache.ledger.find(record.id), options))

    def _require_providers(self, ref_id: str, handlers: DescHandlers) -> None:
        record = self._cache.ledger.find(ref_id)
        lacking = self._cache.snapshots.missing(record, handlers)
        if lacking:
            raise NeedsRemoteProviderError(lacking, where=ref_id)

    @contextmanager
    def _loaded(self, ref_id: str) -> Iterator[None]:
        """Check a record before its first use, and run the block as one transaction.

        Raises :class:`NotFoundError` if its data or its parents are lost; it is removed then.
        """
        from tarkit.cache.loading import check

        check(self._cache, ref_id)
        with self._cache.ledger.change():
            yield


def is_not_found(error: BaseException) -> bool:
    """Return True if *error* means that a ref does not exist."""
    return isinstance(error, NotFoundError)
