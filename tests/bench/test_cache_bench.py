"""The speed of refs: commits, merges and diffs of large trees, and stores of many refs.

Durations depend on how long the disk takes to sync; ``TMPDIR=/dev/shm`` shows the rest.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tarkit.cache.facts import CREATED, UNCOMPRESSED
from tarkit.cache.manager import CacheManager
from tarkit.cache.policies import PrunePolicy
from tarkit.cache.refs import ImmutableRef
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import OCI_LAYER
from tarkit.store.record import Record, Value
from tarkit.tar.member import Member, MemberType
from tarkit.tar.writer import TarWriter


def ref_of(manager: CacheManager, files: int, prefix: str) -> ImmutableRef:
    """Return a ref of one layer with *files* files, 20 in each directory."""
    output = io.BytesIO()
    with TarWriter(output) as writer:
        writer.add(Member(prefix.encode(), MemberType.DIRECTORY))
        for number in range(files):
            directory = f"{prefix}/d{number // 20}"
            if not number % 20:
                writer.add(Member(directory.encode(), MemberType.DIRECTORY))
            data = f"{prefix}{number}".encode()
            name = f"{directory}/f{number}".encode()
            writer.add(Member(name, size=len(data)), io.BytesIO(data))
    data = output.getvalue()
    digest = manager.store.content.add(data)
    annotations = {UNCOMPRESSED: str(Digest.of(data))}
    descriptor = Descriptor(OCI_LAYER, digest, len(data), annotations=annotations)
    ref = manager.get_by_blob(descriptor)
    ref.extract()
    return ref


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[CacheManager]:
    with CacheManager.open(tmp_path / "store") as opened:
        yield opened


def change(manager: CacheManager, base: ImmutableRef) -> None:
    active = manager.new(base)
    active.files.write("a/d1/new", b"new")
    with active.commit() as ref:
        ref.finalize()


def test_a_change_of_16000_files(benchmark: BenchmarkFixture, manager: CacheManager) -> None:
    base = ref_of(manager, 16_000, "a")
    change(manager, base)
    benchmark(change, manager, base)


def test_a_change_of_16000_files_cold(
    benchmark: BenchmarkFixture, manager: CacheManager, tmp_path: Path
) -> None:
    base = ref_of(manager, 16_000, "a")

    def cold() -> None:
        with CacheManager.open(tmp_path / "store") as other, other.get(base.id) as parent:
            change(other, parent)

    benchmark(cold)


def test_a_lazy_merge(benchmark: BenchmarkFixture, manager: CacheManager) -> None:
    parts = [ref_of(manager, 8000, name) for name in "ab"]
    benchmark(manager.merge, parts)


def test_the_tree_of_a_merge(benchmark: BenchmarkFixture, manager: CacheManager) -> None:
    parts = [ref_of(manager, 8000, name) for name in "ab"]
    merged = manager.merge(parts)
    assert merged is not None
    for part in parts:
        assert part.files.exists("/")

    def tree() -> None:
        trees = manager._cache.snapshots._trees
        trees.popitem()
        with merged.clone() as ref:
            assert ref.files.exists("b/d1")

    assert merged.files.exists("a/d1")
    benchmark(tree)


def test_a_diff_of_16000_files(benchmark: BenchmarkFixture, manager: CacheManager) -> None:
    lower = ref_of(manager, 16_000, "a")
    active = manager.new(lower)
    active.files.write("a/d1/f30", b"changed")
    other = manager.new(lower)
    other.files.write("a/d9/f199", b"changed")
    first, second = active.commit(), other.commit()
    assert first.files.exists("a")
    assert second.files.exists("a")

    def diff() -> None:
        with manager.diff(first, second) as ref:
            assert ref.file_list() == [
                "a", "a/d1", "a/d1/f30", "a/d9", "a/d9/f199",
            ]  # fmt: skip

    benchmark(diff)


def with_records(manager: CacheManager, count: int) -> None:
    """Add *count* refs that nothing uses."""
    with manager.store.records.transaction() as transaction:
        for number in range(count):
            values: dict[str, Value] = {CREATED: float(number), "blob": f"sha256:{number:064x}"}
            transaction.put(Record(f"r{number:06}", values))


@pytest.mark.parametrize("count", [1000, 100_000])
def test_opening_a_store_of_many_refs(
    benchmark: BenchmarkFixture, manager: CacheManager, tmp_path: Path, count: int
) -> None:
    with_records(manager, count)

    def opening() -> None:
        with CacheManager.open(tmp_path / "store") as other:
            assert other.metadata("r000007").usage_count == 0

    benchmark(opening)


@pytest.mark.parametrize("count", [500, 2000, 8000])
def test_pruning_half(benchmark: BenchmarkFixture, manager: CacheManager, count: int) -> None:
    """Compare the times: they must grow as the number of refs."""

    def setup() -> None:
        with_records(manager, count)

    def prune() -> None:
        assert len(manager.prune([PrunePolicy(["id~=[02468]$"])])) == count // 2

    benchmark.pedantic(prune, setup=setup, rounds=1)  # type: ignore[no-untyped-call]
