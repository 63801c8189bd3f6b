"""Random operations on two open stores of one directory agree with a plain model."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tarkit.errors import DigestMismatchError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.store import gc
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.store.verification import verify_store

DATA = [bytes([number]) * (1 + number * 400) for number in range(5)]
DIGESTS = [Digest.of(data) for data in DATA]
which = st.integers(0, len(DATA) - 1)
side = st.integers(0, 1)
names = st.sampled_from(["r1", "r2", "r3"])


class ContentMachine(RuleBasedStateMachine):
    """The model: which blobs exist, and what each session, lease and record keeps."""

    @initialize()
    def open(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="tarkit-machine-"))
        self.stores = [Store.open(self.root), Store.open(self.root)]
        self.blobs: set[int] = set()
        self.begun: dict[int, int] = {}
        self.kept: list[set[int]] = [set(), set()]
        self.leases: dict[str, set[int]] = {}
        self.records: dict[str, set[int]] = {}
        self.labels: dict[int, str] = {}

    @rule(side=side, number=which)
    def add(self, side: int, number: int) -> None:
        self.stores[side].content.add(DATA[number])
        self._arrived(side, number)

    @rule(side=side, number=which, upto=st.integers(0, 2000))
    def ingest_in_parts(self, side: int, number: int, upto: int) -> None:
        self.kept[side].add(number)
        with self.stores[side].content.ingest(DIGESTS[number], len(DATA[number])) as ingest:
            assert ingest.exists == (number in self.blobs)
            if ingest.exists:
                return
            assert ingest.offset == self.begun.get(number, 0)
            ingest.append(DATA[number][ingest.offset : max(upto, ingest.offset)])
            self.begun[number] = ingest.offset
            if ingest.offset == len(DATA[number]):
                ingest.commit()
                self._arrived(side, number)

    @rule(side=side, number=which)
    def ingest_wrong_bytes(self, side: int, number: int) -> None:
        self.kept[side].add(number)
        with self.stores[side].content.ingest(DIGESTS[number], len(DATA[number])) as ingest:
            if ingest.exists:
                return
            try:
                ingest.append(b"!" * (len(DATA[number]) - ingest.offset))
                ingest.commit()
            except (DigestMismatchError, SizeMismatchError):
                self.begun.pop(number, None)
            else:  # nothing was missing
                self._arrived(side, number)

    @rule(side=side, number=which)
    def hold(self, side: int, number: int) -> None:
        size = self.stores[side].content.hold(DIGESTS[number])
        assert size == (len(DATA[number]) if number in self.blobs else None)
        if size is not None:
            self.kept[side].add(number)

    @rule(side=side, number=which, name=names)
    def lease(self, side: int, number: int, name: str) -> None:
        leases = self.stores[side].leases
        leases.add(leases.create(name, seconds=3600), str(DIGESTS[number]))
        self.leases.setdefault(name, set()).add(number)

    @rule(side=side, name=names)
    def end_lease(self, side: int, name: str) -> None:
        self.stores[side].leases.delete(name)
        self.leases.pop(name, None)

    @rule(side=side, name=names, numbers=st.sets(which))
    def put_record(self, side: int, name: str, numbers: set[int]) -> None:
        contents = frozenset(str(DIGESTS[number]) for number in numbers & self.blobs)
        with self.stores[side].records.transaction() as change:
            change.put(Record(name, contents=contents, committed=True))
        self.records[name] = numbers & self.blobs

    @rule(side=side, name=names)
    def remove_record(self, side: int, name: str) -> None:
        with self.stores[side].records.transaction() as change:
            change.remove(name)
        self.records.pop(name, None)

    @rule(side=side, number=which, text=st.sampled_from(["a", "b"]))
    def label(self, side: int, number: int, text: str) -> None:
        if number in self.blobs:
            self.stores[side].content.set_label(DIGESTS[number], "key", text)
            self.labels[number] = text

    @rule(side=side, number=which)
    def corrupt(self, side: int, number: int) -> None:
        if number in self.blobs:
            path = self.stores[side].content.path(DIGESTS[number])
            path.write_bytes(b"?" + path.read_bytes()[1:])
            assert self.stores[side].content.quarantine(DIGESTS[number]) is not None
            self._gone(number)
            for numbers in self.records.values():
                numbers.discard(number)
            self._put_records_again(side)

    @rule(side=side, extra=st.sets(which))
    def collect(self, side: int, extra: set[int]) -> None:
        roots = extra.union(*self.kept, *self.leases.values(), *self.records.values())
        found = gc.collect(self.stores[side], roots=[str(DIGESTS[number]) for number in extra])
        assert {blob.digest for blob in found.blobs} == {
            DIGESTS[number] for number in self.blobs - roots
        }
        for number in self.blobs - roots:
            self._gone(number)

    @rule(side=side)
    def reopen(self, side: int) -> None:
        self.stores[side].close()
        self.stores[side] = Store.open(self.root)
        self.kept[side] = set()

    @invariant()
    def agrees(self) -> None:
        for store in self.stores if hasattr(self, "stores") else ():
            assert set(store.content.walk()) == {DIGESTS[number] for number in self.blobs}
            for number in self.blobs:
                with store.content.reader(DIGESTS[number]) as reader:
                    assert reader.read() == DATA[number]
                label = self.labels.get(number)
                assert store.content.labels(DIGESTS[number]) == ({"key": label} if label else {})
            assert {record.id for record in store.records.all()} == set(self.records)

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            assert list(verify_store(self.stores[0], deep=True)) == []
            for store in self.stores:
                store.close()
            shutil.rmtree(self.root)

    def _arrived(self, side: int, number: int) -> None:
        self.blobs.add(number)
        self.kept[side].add(number)
        self.begun.pop(number, None)

    def _gone(self, number: int) -> None:
        self.blobs.discard(number)
        self.labels.pop(number, None)

    def _put_records_again(self, side: int) -> None:
        for name, numbers in self.records.items():
            contents = frozenset(str(DIGESTS[number]) for number in numbers)
            with self.stores[side].records.transaction() as change:
                change.put(Record(name, contents=contents, committed=True))


TestContent = ContentMachine.TestCase
TestContent.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
