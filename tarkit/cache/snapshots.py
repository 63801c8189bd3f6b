"""The data of refs: plain layers, made when they are first needed, and their merged trees."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tarkit.cache import facts
from tarkit.cache.chains import Link, adds_layer, ancestors, layer_chain
from tarkit.cache.facts import RefKind, digest_of, is_mutable, kind_of, text_of
from tarkit.cache.ledger import Ledger
from tarkit.cache.options import DescHandlers
from tarkit.cache.providers import Providers
from tarkit.errors import BlobNotFoundError, NeedsRemoteProviderError
from tarkit.image.digest import Digest
from tarkit.rootfs.chain import ChainLayer, open_chain
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.image_files import ImageFiles
from tarkit.rootfs.layer_writer import write_layer
from tarkit.rootfs.self_contained import is_self_contained
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.rootfs.writable.staging import OpenLayer
from tarkit.store.layers import StoredLayer
from tarkit.store.record import Record
from tarkit.store.store import STAGING, Store
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.tar.data import ArchiveData, FileData
from tarkit.tar.listing import Listing
from tarkit.values import replace

_TREES = 16  # trees in memory; their layers are columns of about 200 bytes per entry


class _Stack(NamedTuple):
    """The plain layers of a ref: the top *layer* and those below it; *chain* is their chain ID."""

    layer: StoredLayer
    below: _Stack | None
    chain: str

    @classmethod
    def on(cls, below: _Stack | None, layer: StoredLayer) -> _Stack:
        """Return the layers *below* with *layer* on top."""
        return cls(layer, below, facts.chained(below.chain if below else "", [str(layer.diff_id)]))


class Snapshots:
    """The layers and trees of the refs in *ledger*, whose data is in *store*."""

    def __init__(self, store: Store, ledger: Ledger, providers: Providers) -> None:
        self._store = store
        self._ledger = ledger
        self._providers = providers
        self._trees: OrderedDict[str, FileSystem] = OrderedDict()  # by chain ID
        self._stacks: dict[str, _Stack] = {}  # of immutable refs, by record
        self._self_contained: dict[Digest, bool] = {}
        self._live: dict[str, WritableFileSystem] = {}
        self._closing: dict[str, ExitStack] = {}
        self._building = threading.Lock()  # of trees
        self._held: set[str] = set()
        self._finalizing: set[str] = set()  # in the same transaction as the layer
        self._lock = threading.Lock()
        self._locks: dict[str, threading.RLock] = {}  # of records whose layer is being written

    # state

    def staging(self, record: Record) -> Path:
        """Return the directory of the staged changes of a mutable ref, or of its partner."""
        owner = record.id if is_mutable(record) else text_of(record, facts.EQUAL_MUTABLE)
        return self._store.root / STAGING / owner

    def layer_of(self, record: Record) -> StoredLayer | None:
        """Return the plain layer of a record if it is in the store, judging by its file alone."""
        diff_id = digest_of(record, facts.LAYER) or digest_of(record, facts.DIFF_ID)
        return self._store.layers.present(diff_id) if diff_id is not None else None

    def is_lazy(self, record: Record) -> bool:
        """Return True if a record has a blob of which nothing is in the store."""
        blob = digest_of(record, facts.BLOB)
        return (
            blob is not None
            and self.layer_of(record) is None
            and self._store.content.size(blob) is None
        )

    def is_blob_only(self, record: Record) -> bool:
        """Return True if the layer of a record exists as a blob only."""
        return bool(text_of(record, facts.BLOB)) and self.layer_of(record) is None

    def missing(self, record: Record, handlers: DescHandlers) -> list[Digest]:
        """Return the blobs of a ref that are not in the store and that nothing provides."""
        above, base = self._split(record)
        below = [] if self._has_stack(base) else ancestors(base, self._ledger.find)
        return [
            digest
            for each in (*above, *below)
            if self.is_lazy(each) and self._providers.handler(each, handlers) is None
            for digest in [digest_of(each, facts.BLOB)]
            if digest is not None
        ]

    def is_broken(self, record: Record, *, staged: bool = False) -> bool:
        """Return True if the data of a record is lost; if *staged*, only staged changes count."""
        if staged:
            return bool(record.values.get(facts.STAGED)) and not self.staging(record).is_dir()
        if text_of(record, facts.BLOB) or kind_of(record) in (RefKind.MERGE, RefKind.DIFF):
            return False
        if text_of(record, facts.LAYER):
            return self.layer_of(record) is None
        return bool(record.values.get(facts.STAGED)) and not self.staging(record).is_dir()

    # layers

    def unlazy(self, record: Record, handlers: DescHandlers) -> None:
        """Fetch the blobs of the layers of a ref that are not in the store.

        Raises :class:`NeedsRemoteProviderError` with all that nothing provides.
        """
        lacking = self.missing(record, handlers)
        if lacking:
            raise NeedsRemoteProviderError(lacking, where=record.id)
        above, base = self._split(record)
        below = [] if self._has_stack(base) else layer_chain(base, self._ledger.find)
        for each in (*(link.record for link in below), *reversed(above)):
            if self.is_lazy(each):
                self._providers.fetch(each, handlers)

    def extract(self, record: Record, handlers: DescHandlers) -> None:
        """Make the plain layers of a ref.

        Raises the errors of :meth:`unlazy`, and :class:`VerificationError` if content is corrupt.
        """
        self.unlazy(record, handlers)
        self._stack(record, handlers)

    def _stack(self, record: Record, handlers: DescHandlers) -> _Stack | None:
        """Return the plain layers of a ref, made now if they are missing.

        Raises the errors of :meth:`extract`.
        """
        above, base = self._split(record)
        stack = self._stacks.get(base.id)
        if stack is None:
            for link in layer_chain(base, self._ledger.find):
                stack = _Stack.on(stack, self.placed(link, handlers))
            self._remember(base, stack)
        for each in reversed(above):
            stack = _Stack.on(stack, self.placed(Link(each, False), handlers))
            self._remember(each, stack)
        return stack

    def _split(self, record: Record) -> tuple[list[Record], Record]:
        """Return the refs that add one layer to a ref below them, highest first, and that ref.

        Its layers are known, or not those of its parent and one of its own.
        """
        above = []
        while not self._has_stack(record) and adds_layer(record):
            above.append(record)
            record = self._ledger.find(record.parents[0])
        return above, record

    def _has_stack(self, record: Record) -> bool:
        """Return True if the layers of a ref are known and those that must be read still exist."""
        known = stack = self._stacks.get(record.id)
        while stack is not None and (stack is known or stack.chain not in self._trees):
            if not self._store.layers.path(stack.layer.key).is_file():
                self._stacks.clear()
                return False
            stack = stack.below
        return known is not None

    def _remember(self, record: Record, stack: _Stack | None) -> None:
        if stack is not None and not is_mutable(record):
            self._stacks[record.id] = stack

    def layer(self, record: Record, handlers: DescHandlers) -> StoredLayer:
        """Return the plain layer of a record, made now if it is missing.

        Raises the errors of :meth:`extract`.
        """
        found = self.layer_of(record)
        if found is not None and (text_of(record, facts.LAYER) or self._hold(found)):
            return found
        blob, diff_id = digest_of(record, facts.BLOB), digest_of(record, facts.DIFF_ID)
        if blob is not None and diff_id is not None:
            self._providers.fetch(record, handlers)
            return self._store.layers.extract(blob, diff_id)
        with self._lock_of(record.id):  # threads may ask for it at the same time
            written = self.layer_of(self._ledger.find(record.id))
            return written or self._write(record, handlers)

    def _lock_of(self, record_id: str) -> threading.RLock:
        with self._lock:
            return self._locks.setdefault(record_id, threading.RLock())

    def _hold(self, layer: StoredLayer) -> bool:
        """Keep a derived layer while the store is open, if possible; return False if it is gone."""
        if layer.item not in self._held and self._store.writable:
            if not self._store.layers.hold(layer):
                return False
            self._held.add(layer.item)  # a lease takes a transaction
        return True

    def placed(self, link: Link, handlers: DescHandlers) -> StoredLayer:
        """Return the layer of a link for use on any layers.

        Raises the errors of :meth:`extract`.
        """
        layer = self.layer(link.record, handlers)
        return (
            layer if not link.moved or self._may_move(layer) else self._moved(link.record, handlers)
        )

    def listing(self, layer: StoredLayer) -> Listing:
        """Return the entries of a layer."""
        return self._store.layers.listing(layer)

    def _described(self, layer: StoredLayer) -> ChainLayer:
        layers = self._store.layers
        return ChainLayer(
            layer.diff_id,
            layer.size,
            layers.listing(layer),
            lambda: layers.open(layer.key),
            layers.file_digests(layer),
        )

    def _may_move(self, layer: StoredLayer) -> bool:
        if layer.diff_id not in self._self_contained:
            self._self_contained[layer.diff_id] = is_self_contained(self.listing(layer))
        return self._self_contained[layer.diff_id]

    def _moved(self, record: Record, handlers: DescHandlers) -> StoredLayer:
        """Return the layer of *record* written again as a tree difference, so that it may be moved."""
        links = layer_chain(record, self._ledger.find)
        chain = [str(self.layer(link.record, handlers).diff_id) for link in links]
        stack = self._stack(record, handlers)
        assert stack is not None
        key = f"moved-{hashlib.sha256(' '.join(chain).encode()).hexdigest()}"
        found = self._store.layers.get(key)
        if found is None or not self._store.layers.hold(found):
            with (
                self._fork(self._tree(stack.below)) as old,
                self._fork(self._tree(stack)) as new,
                self._store.layers.writing(
                    lambda output: write_layer(old, new, output), derived=True, key=key
                ) as publish,
                self._ledger.change(),
            ):
                self._store.keep(f"layer:{key}")
                found = publish()
        self._self_contained[found.diff_id] = True
        return found

    def _write(self, record: Record, handlers: DescHandlers) -> StoredLayer:
        """Write the layer of a committed ref, or of a diff, as one tar."""
        if kind_of(record) is RefKind.DIFF:
            lower, upper = (
                self._tree_of(text_of(record, key), handlers) for key in (facts.LOWER, facts.UPPER)
            )
            with self._fork(lower) as old, self._fork(upper) as new:
                return self._publish(record, old, new)
        tree = self._tree_of(record.parents[0] if record.parents else "", handlers)
        directory = self.staging(record)
        live = self._live.get(directory.name)
        with self._fork(tree) as base:
            if live is not None:
                return self._publish(record, base, live)
            if not directory.is_dir():
                return self._publish(record, base, base)
            with ExitStack() as stack:
                opener = self._layer_opener(record, stack)
                files = stack.enter_context(WritableFileSystem(base, directory, open_layer=opener))
                return self._publish(record, base, files)

    def staged(self, record: Record, handlers: DescHandlers) -> WritableFileSystem:
        """Open the staged changes of a mutable ref in use; :meth:`settle` closes them."""
        directory = self.staging(record)
        if directory.name not in self._live:
            tree = self._tree_of(record.parents[0] if record.parents else "", handlers)
            with os_errors(directory):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with ExitStack() as stack:
                base = stack.enter_context(self._fork(tree))
                opener = self._layer_opener(record, stack.enter_context(ExitStack()))
                live = stack.enter_context(WritableFileSystem(base, directory, open_layer=opener))
                self._live[directory.name] = live
                self._closing[directory.name] = stack.pop_all()
        return self._live[directory.name]

    def sync(self, record: Record) -> tuple[Digest, ...] | None:
        """Put staged changes on the disk if this process has made any; return other layers they need."""
        live = self._live.get(self.staging(record).name)
        if live is None:
            return None
        live.sync()
        return live.needed_layers

    def item(self, diff_id: Digest) -> str:
        """Return the layer *diff_id* as an item of the contents of records."""
        layer = self._store.layers.find(diff_id)
        return layer.item if layer is not None else f"layer:{diff_id}"

    def settle(self, record: Record) -> None:
        """Close the staged changes of a ref or its partner; they stay on the disk."""
        name = self.staging(record).name
        if self._live.pop(name, None) is not None:
            self._closing.pop(name).close()

    def staged_size(self, record: Record) -> int:
        """Return the bytes of the staged changes of a ref or its partner."""
        directory = self.staging(record)
        return sum(path.stat().st_size for path in directory.glob("*")) if directory.is_dir() else 0

    def discard(self, record: Record) -> None:
        """Remove the staged changes of a ref or its partner, unless the mutable ref exists."""
        from tarkit.streams.removal import remove_tree

        directory = self.staging(record)
        if self._ledger.records.get(directory.name) is None:
            self.settle(record)
            if directory.is_dir():
                with (
                    Directory.open(directory.parent) as parent,
                    parent.open_directory(directory.name) as opened,
                ):
                    remove_tree(parent, directory.name, opened)

    def tidy(self) -> None:
        """Remove staged changes of refs that do not exist."""
        directory = self._store.root / STAGING
        for path in directory.iterdir() if directory.is_dir() else ():
            with self._ledger.change():
                if not self._ledger.records.find(facts.mutable_index(path.name)):
                    self.discard(Record(path.name, {facts.MUTABLE: True}))

    def _fork(self, tree: FileSystem) -> FileSystem:
        """Return a tree that can be closed; a shared tree never opens a layer."""
        return open_chain([], base=tree, where=str(self._store.root))

    def _publish(self, record: Record, old: FileSystem, new: FileSystem) -> StoredLayer:
        with (
            self._store.layers.writing(lambda output: write_layer(old, new, output)) as publish,
            self._ledger.change() as change,
        ):
            layer = publish()
            current = self._ledger.find(record.id)
            for each in (current, self._ledger.partner(current)):
                if each is not None:
                    change.put(with_layer(each, layer))
            if record.id in self._finalizing:
                self._ledger.finalize(record.id)
        self._self_contained[layer.diff_id] = True
        return layer

    def finalize(self, record: Record, handlers: DescHandlers) -> None:
        """Write the layer of a committed ref unless it has one; its mutable ref disappears."""
        self._finalizing.add(record.id)
        try:
            self.layer(self._ledger.find(record.id), handlers)
            self._ledger.finalize(record.id)
        finally:
            self._finalizing.discard(record.id)
        self.discard(record)

    def _layer_opener(self, record: Record, stack: ExitStack) -> OpenLayer:
        """Return a function that opens layers of the store until *stack* is closed; *record* needs them."""

        def open_layer(diff_id: Digest) -> ArchiveData:
            with self._ledger.change() as change:
                layer = self._store.layers.find(diff_id)
                if layer is None:
                    raise BlobNotFoundError(f"no layer {diff_id}", where=str(self._store.root))
                current = self._ledger.find(record.id)
                if layer.item not in current.contents:
                    change.put(replace(current, contents=current.contents | {layer.item}))
            file = stack.enter_context(self._store.layers.open(layer.key))
            return FileData(file, f"{self._store.root}: layer {diff_id}")

        return open_layer

    # trees

    def files(self, record: Record, handlers: DescHandlers) -> ImageFiles:
        """Return the root filesystem of a ref, independent of all others; close it."""
        forked = self._fork(self._tree(self._stack(record, handlers)))
        return ImageFiles(forked.tree, forked.contents)

    def _tree_of(self, parent: str, handlers: DescHandlers) -> FileSystem:
        """Return the tree of the ref *parent*, or an empty one if that is empty."""
        find = self._ledger.find
        return self._tree(self._stack(find(parent), handlers) if parent else None)

    def _tree(self, stack: _Stack | None) -> FileSystem:
        """Return the tree of plain layers, which all callers share: fork it to change it."""
        key = stack.chain if stack else ""
        above = []
        with self._building:
            while stack is not None and stack.chain not in self._trees:
                above.append(self._described(stack.layer))
                stack = stack.below
            base = self._trees.get(stack.chain if stack else "")
            if base is None or above:
                base = open_chain(above[::-1], base=base, where=str(self._store.root))
                self._trees[key] = base
            self._trees.move_to_end(key)
            while len(self._trees) > _TREES:
                self._trees.popitem(last=False)
        return base

    # removal

    def drop(self, record: Record) -> None:
        """Remove the data that only *record*, which is gone, needed: its layer and staged changes."""
        if is_mutable(record) or text_of(record, facts.EQUAL_MUTABLE):
            self.discard(record)
        layer = text_of(record, facts.LAYER)
        items = [f"layer:{key}" for key in (layer, text_of(record, facts.DIFF_ID)) if key]
        self._held.difference_update(items)
        self._stacks.clear()  # those that share a layer with it
        with self._ledger.change():
            self._store.let_go(*items, *record.contents)
            if layer and not self._is_needed(f"layer:{layer}"):
                self._store.layers.remove(layer)

    def _is_needed(self, item: str) -> bool:
        return self._ledger.records.needs(item) or self._store.leases.keeps(item)


def with_layer(record: Record, layer: StoredLayer) -> Record:
    """Return *record* with *layer* as its own."""
    return replace(
        record,
        values={**record.values, facts.LAYER: str(layer.diff_id)},
        contents=record.contents | {layer.item},
    )
