"""Random operations on refs, by two managers of one store, against the model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tarkit.cache.facts import CachePolicy
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.policies import PrunePolicy
from tarkit.cache.refs import ImmutableRef, MutableRef, Ref
from tarkit.errors import LockedError, RefusedError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.tar.member import MemberType
from tests.cache.model import Model

PATHS = st.sampled_from(["a", "b", "d/x", "d/y", "e/f/z"])
SIDE = st.integers(0, 1)


class Refs(RuleBasedStateMachine):
    """Two managers, their open refs, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.root = Path(self._directory.name) / "store"
        self.managers = [CacheManager.open(self.root) for _ in range(2)]
        self.open: list[list[Ref]] = [[], []]
        self.model = Model()
        self.counter = 0

    def teardown(self) -> None:
        for manager in self.managers:
            manager.close()
        self._directory.cleanup()

    def _pick(self, data: st.DataObject, side: int, kind: type[Ref]) -> Ref | None:
        found = [ref for ref in self.open[side] if isinstance(ref, kind)]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data(), side=SIDE, retain=st.booleans(), alone=st.booleans())
    def new(self, data: st.DataObject, side: int, retain: bool, alone: bool) -> None:
        parent = None if alone else self._pick(data, side, ImmutableRef)
        policy = CachePolicy.RETAIN if retain else CachePolicy.DEFAULT
        ref = self.managers[side].new(parent, RefOptions(policy=policy))  # type: ignore[arg-type]
        self.model.add_layer_ref(ref.id, parent.id if parent else None, retain=retain)
        self.open[side].append(ref)

    @rule(data=st.data(), side=SIDE, path=PATHS)
    def write(self, data: st.DataObject, side: int, path: str) -> None:
        ref = self._pick(data, side, MutableRef)
        if isinstance(ref, MutableRef):
            self.counter += 1
            text = f"{self.counter}"
            if "/" in path:
                ref.files.mkdir(path.rpartition("/")[0], parents=True)
            ref.files.write(path, text.encode())
            self.model.refs[ref.id].staged[path] = text

    @rule(data=st.data(), side=SIDE)
    def remove(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, MutableRef)
        if isinstance(ref, MutableRef):
            staged = self.model.refs[ref.id].staged
            if staged:
                path = data.draw(st.sampled_from(sorted(staged)))
                ref.files.remove(path)
                del staged[path]

    @rule(data=st.data(), side=SIDE)
    def commit(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, MutableRef)
        if isinstance(ref, MutableRef):
            committed = ref.commit()
            self.model.commit(ref.id, committed.id, 1)
            self.open[side].remove(ref)
            self.open[side].append(committed)

    @rule(data=st.data(), side=SIDE)
    def finalize(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, ImmutableRef)
        if isinstance(ref, ImmutableRef):
            ref.finalize()
            self.model.finalize(ref.id)

    @rule(data=st.data(), side=SIDE)
    def clone(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, ImmutableRef)
        if isinstance(ref, ImmutableRef):
            self.open[side].append(ref.clone())
            self.model.refs[ref.id].holds += 1

    @rule(data=st.data(), side=SIDE)
    def release(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, Ref)
        if ref is not None:
            ref.release()
            self.open[side].remove(ref)
            self.model.release(ref.id)

    @precondition(lambda self: self.model.refs)
    @rule(data=st.data(), side=SIDE)
    def get(self, data: st.DataObject, side: int) -> None:
        ref_id = data.draw(st.sampled_from(list(self.model.refs)))
        expected = self.model.refs[ref_id]
        if expected.mutable and expected.holds:
            with pytest.raises(LockedError):
                self.managers[side].get(ref_id)
            return
        ref = self.managers[side].get(ref_id)
        self.open[side].append(ref)
        if not expected.mutable:
            assert ref.id == ref_id
            expected.holds += 1
        elif expected.partner is not None:
            assert ref.id == expected.partner
            self.model.refs[ref.id].holds += 1
        else:
            expected.holds = 1
            self.model.commit(ref_id, ref.id, 1)

    @precondition(lambda self: self.model.refs)
    @rule(data=st.data(), side=SIDE)
    def get_mutable(self, data: st.DataObject, side: int) -> None:
        ref_id = data.draw(st.sampled_from(list(self.model.refs)))
        expected = self.model.refs[ref_id]
        partner = self.model.refs.get(expected.partner or "")
        if not expected.mutable:
            error: type[Exception] = RefusedError
        elif expected.holds or (partner is not None and partner.holds):
            error = LockedError
        else:
            ref = self.managers[side].get_mutable(ref_id)
            self.open[side].append(ref)
            expected.holds = 1
            if expected.partner is not None:
                del self.model.refs[expected.partner]
                expected.partner = None
            return
        with pytest.raises(error):
            self.managers[side].get_mutable(ref_id)

    @rule(data=st.data(), side=SIDE)
    def merge(self, data: st.DataObject, side: int) -> None:
        parts = [self._pick(data, side, ImmutableRef) for _ in range(2)]
        if all(isinstance(part, ImmutableRef) for part in parts):
            merged = self.managers[side].merge(parts)  # type: ignore[arg-type]
            assert merged is not None
            self.open[side].append(merged)
            self.model.merge(merged.id, [part.id for part in parts if part])

    @rule(data=st.data(), side=SIDE)
    def diff(self, data: st.DataObject, side: int) -> None:
        lower, upper = (self._pick(data, side, ImmutableRef) for _ in range(2))
        if not isinstance(lower, ImmutableRef) or not isinstance(upper, ImmutableRef):
            return
        with lower.layer_chain() as below, upper.layer_chain() as above:
            if [ref.id for ref in above[: len(below)]] == [ref.id for ref in below]:
                return  # the scenarios cover the shortcut
        difference = self.managers[side].diff(lower, upper)
        self.open[side].append(difference)
        self.model.diff(difference.id, lower.id, upper.id)

    @rule(data=st.data(), side=SIDE)
    def read(self, data: st.DataObject, side: int) -> None:
        ref = self._pick(data, side, Ref)
        if isinstance(ref, MutableRef | ImmutableRef):
            assert content(ref.files) == self.model.refs[ref.id].content

    @rule(side=SIDE)
    def prune(self, side: int) -> None:
        self.managers[side].prune([PrunePolicy()])
        self.model.prune()

    @rule(side=SIDE)
    def reopen(self, side: int) -> None:
        for ref in self.open[side]:
            ref.release()
            self.model.release(ref.id)
        self.open[side].clear()
        self.managers[side].close()
        self.managers[side] = CacheManager.open(self.root)

    @rule(side=SIDE)
    def abandon(self, side: int) -> None:
        """End the store as if its process was killed."""
        old = self.managers[side]
        for ref in self.open[side]:
            if isinstance(ref, MutableRef):
                ref.files.sync()  # what was not flushed may be lost
        for record in old.store.records.all():
            old._cache.snapshots.settle(record)  # close files, for this process lives on
        old.store.close()
        for ref in self.open[side]:
            self.model.release(ref.id)
        self.open[side].clear()
        self.managers[side] = CacheManager.open(self.root)

    @invariant()
    def the_same_refs_exist(self) -> None:
        found = {record.id for record in self.managers[0].store.records.all()}
        assert found == set(self.model.refs)


def content(files: FileSystem) -> dict[str, str]:
    """Return the texts of all files."""
    return {
        entry.path.removeprefix("/"): files.read_text(entry.path)
        for entry in files.walk()
        if entry.type is MemberType.FILE
    }


TestRefs = Refs.TestCase
TestRefs.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
