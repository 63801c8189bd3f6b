"""BuildKit's scenarios of its cache manager, with the same numbers of refs, snapshots and blobs.

A snapshot is a plain tar or the staged changes of a mutable ref. Byte sizes are those of tars.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tarkit.cache.facts import RefKind, chained
from tarkit.cache.manager import CacheManager, is_not_found
from tarkit.cache.options import DescHandler, RefOptions
from tarkit.cache.policies import PrunePolicy
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import (
    BlobNotFoundError,
    LockedError,
    NoBlobsError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression
from tarkit.values import replace
from tests.cache.refs import RETAIN, Blob, blobs, made, release, snapshots, usage

ALL = [PrunePolicy()]


def prune(manager: CacheManager) -> int:
    return len(manager.prune(ALL))


def missing(manager: CacheManager, ref_id: str) -> bool:
    with pytest.raises(NotFoundError) as caught:
        manager.get(ref_id)
    return is_not_found(caught.value)


def test_01_a_ref_from_its_creation_to_its_removal(manager: CacheManager) -> None:
    assert missing(manager, "foobar")
    assert usage(manager) == (0, 0)
    active = manager.new(None, RETAIN)
    active.files.write("a", b"")
    with pytest.raises(LockedError):
        manager.get_mutable(active.id)
    assert usage(manager) == (1, 0)
    snap = active.commit()
    assert usage(manager) == (1, 0)
    with pytest.raises(LockedError):
        manager.get_mutable(active.id)
    snap.release()
    assert usage(manager) == (0, 1)

    active = manager.get_mutable(active.id)
    assert usage(manager) == (1, 0)
    snap = active.commit()
    snap.finalize()
    snap.release()
    with pytest.raises(NotFoundError):
        manager.get_mutable(active.id)
    with pytest.raises(RefusedError, match="not mutable"):
        manager.get_mutable(snap.id)

    snap, snap2 = manager.get(snap.id), manager.get(snap.id)
    assert usage(manager) == (1, 0)
    snap.release()
    active2 = manager.new(snap2, RETAIN)
    active2.files.write("b", b"")
    assert usage(manager) == (2, 0)
    snap3 = active2.commit()
    snap2.release()
    assert usage(manager) == (2, 0)
    snap3.release()
    assert usage(manager) == (0, 2)
    assert prune(manager) == 2
    assert usage(manager) == (0, 0)
    assert snapshots(manager) == 0


def test_02_two_lazy_blobs_of_one_layer(manager: CacheManager) -> None:
    packed, plain = Blob({"a": "a"}), Blob({"a": "a"}, Compression.NONE)
    assert packed.diff_id == plain.diff_id
    first = manager.get_by_blob(packed.descriptor, None, packed.options)
    second = manager.get_by_blob(plain.descriptor, None, plain.options)
    assert first.id != second.id
    assert packed.opened == plain.opened == 0


def test_03_a_merge_is_found_by_its_blobs(manager: CacheManager) -> None:
    tops, descriptors = [], []
    handlers: dict[Digest, DescHandler] = {}
    for chain in range(3):
        top = None
        for depth in range(3):
            blob = Blob({f"{chain}-{depth}": "x"})
            descriptors.append(blob.descriptor)
            handlers.update(blob.options.handlers)
            top = manager.get_by_blob(blob.descriptor, top, RefOptions(handlers=handlers))
        assert top is not None
        tops.append(top)
    merged = manager.merge(tops)
    assert merged is not None
    (remote,) = merged.get_remotes(create=True)
    assert [each.digest for each in remote.descriptors] == [each.digest for each in descriptors]
    assert merged.blob_chain_id not in {top.blob_chain_id for top in tops}
    current = None
    for descriptor in descriptors:
        current = manager.get_by_blob(descriptor, current, RefOptions(handlers=handlers))
    assert current is not None
    assert current.id == merged.id


def test_04_extracting_lazy_refs(manager: CacheManager) -> None:
    first, second = Blob({"1": "one"}), Blob({"2": "two"})
    snap = manager.get_by_blob(first.put(manager))
    snap2 = manager.get_by_blob(second.put(manager), snap)
    assert snap.is_blob_only
    assert snap2.is_blob_only
    assert snap2.size == len(second.data)
    assert (snapshots(manager), blobs(manager)) == (0, 2)

    snap2.extract()
    assert not snap.is_blob_only
    assert not snap2.is_blob_only
    assert (snapshots(manager), blobs(manager)) == (2, 2)
    assert prune(manager) == 0
    assert usage(manager) == (2, 0)
    snap.release()
    assert prune(manager) == 0

    snap = manager.get(snap.id)
    snap2.release()
    assert usage(manager) == (1, 1)
    assert prune(manager) == 1
    assert usage(manager) == (1, 0)
    assert (snapshots(manager), blobs(manager)) == (1, 1)
    snap.release()
    assert prune(manager) == 1
    assert usage(manager) == (0, 0)
    assert (snapshots(manager), blobs(manager)) == (0, 0)


def test_05_a_blob_on_a_committed_ref(manager: CacheManager) -> None:
    first, second = Blob({"1": "one"}), Blob({"2": "two"})
    snap = manager.new().commit()
    with pytest.raises(RefusedError, match="no blobs"):
        manager.get_by_blob(second.put(manager), snap)
    snap.set_blob(first.put(manager))
    snap2 = manager.get_by_blob(second.descriptor, snap)
    snap.release()
    assert snap2.is_blob_only
    assert snap2.size == len(second.data)
    assert (snapshots(manager), blobs(manager)) == (1, 2)
    snap2.extract()
    assert prune(manager) == 0
    assert usage(manager) == (2, 0)
    assert snapshots(manager) == 2
    snap2.release()
    assert usage(manager) == (0, 2)
    assert prune(manager) == 2
    assert (snapshots(manager), blobs(manager)) == (0, 0)


def test_06_a_ref_gets_a_blob(manager: CacheManager) -> None:
    one, two, three, other = (Blob({name: name}) for name in "1230")
    snap = made(manager, "s")
    assert (snap.diff_id, snap.blob, snap.chain_id, snap.blob_chain_id) == (None, None, "", "")
    assert not snap.is_blob_only
    with pytest.raises(BlobNotFoundError):
        snap.set_blob(one.descriptor)
    snap.set_blob(one.put(manager))
    chain, blob_chain = str(one.diff_id), link(one)
    assert (snap.chain_id, snap.blob_chain_id) == (chain, blob_chain)
    assert snap.snapshot_id == snap.id

    snap2 = made(manager, "s2", snap)
    snap2.set_blob(two.put(manager))
    assert snap2.chain_id == chained(chain, [str(two.diff_id)])
    assert snap2.blob_chain_id == chained(blob_chain, [link(two)])
    assert snap2.snapshot_id == snap2.id

    snap3 = manager.get_by_blob(three.put(manager), snap)
    assert snap3.snapshot_id == snap3.chain_id == chained(chain, [str(three.diff_id)])
    assert snap3.blob_chain_id == chained(blob_chain, [link(three)])
    assert snap3.is_blob_only
    assert manager.get_by_blob(two.descriptor, snap).id == snap2.id

    five = Blob({"2": "2"}, Compression.ZSTD)
    assert five.diff_id == two.diff_id
    snap5 = manager.get_by_blob(five.put(manager), snap)
    assert snap5.id != snap2.id
    assert snap5.snapshot_id == snap2.snapshot_id
    assert snap5.chain_id == snap2.chain_id
    assert snap5.blob_chain_id != snap2.blob_chain_id
    with pytest.raises(RefusedError):
        manager.get_by_blob(other.descriptor, snap)


def link(blob: Blob) -> str:
    return chained(str(blob.descriptor.digest), [str(blob.diff_id)])


def test_07_prune_keeps_parents_of_refs_in_use(manager: CacheManager) -> None:
    snap = made(manager, "a")
    snap2 = made(manager, "b", snap, RETAIN)
    assert usage(manager) == (2, 0)
    assert snapshots(manager) == 2
    assert prune(manager) == 0
    assert usage(manager) == (2, 0)
    snap2.release()
    assert usage(manager) == (1, 1)
    assert prune(manager) == 1
    assert usage(manager) == (1, 0)
    assert snapshots(manager) == 1

    snap2 = made(manager, "c", snap, RETAIN)
    snap.release()
    assert usage(manager) == (2, 0)
    assert prune(manager) == 0
    snap2.release()
    assert usage(manager) == (0, 2)
    assert prune(manager) == 2
    assert usage(manager) == (0, 0)
    assert snapshots(manager) == 0


def test_08_a_commit_is_final_only_after_finalize(root: Path) -> None:
    with CacheManager.open(root) as manager:
        active = manager.new(None, RETAIN)
        snap = active.commit()
        with pytest.raises(LockedError):
            manager.get_mutable(active.id)
        again = manager.get(snap.id)
        release(again, snap)
        snap = manager.get(snap.id)
        with pytest.raises(LockedError):
            manager.get_mutable(active.id)
        snap.release()
        active = manager.get_mutable(active.id)
        assert missing(manager, snap.id)
        snap = active.commit()
        snap.finalize()
        snap.release()
        with pytest.raises(NotFoundError):
            manager.get_mutable(active.id)
        release(manager.get(snap.id))
        active = manager.new(None, RETAIN)
        active.files.write("a", b"")
        snap = active.commit()
    with CacheManager.open(root) as manager:
        snap2 = manager.get(snap.id)
        snap2.release()
        active = manager.get_mutable(active.id)
        assert missing(manager, snap.id)
        snap = active.commit()
    with CacheManager.open(root) as manager:
        snap2 = manager.get(snap.id)
        snap2.finalize()
        assert snap2.files.exists("a")
        snap2.release()
        with pytest.raises(NotFoundError):
            manager.get_mutable(active.id)


def test_09_a_finalization_that_was_interrupted(root: Path) -> None:
    with CacheManager.open(root) as manager:
        active = manager.new(None, RETAIN)
        active.files.write("a", b"a")
        snap = active.commit()
        snap.extract()  # the layer is there; its process dies before the records say so
    staged = root / "staging" / active.id
    for path in staged.iterdir():
        path.unlink()
    staged.rmdir()
    with CacheManager.open(root) as manager:
        with pytest.raises(NotFoundError):
            manager.get_mutable(active.id)
        again = manager.get(snap.id)
        again.finalize()
        assert again.files.read_bytes("a") == b"a"
        assert snapshots(manager) == 1


def test_10_a_parent_that_was_being_removed(root: Path) -> None:
    with CacheManager.open(root) as manager:
        first, second = made(manager, "a"), made(manager, "b")
        manager.merge([first, second])
        assert usage(manager) == (3, 0)
        with manager.store.records.transaction() as change:
            change.mark_deleted(second.id)
    with CacheManager.open(root) as manager:
        assert usage(manager) == (0, 1)
        with manager.get(first.id) as ref:
            assert len(manager.store.records.holds(ref.id)) == 1
        assert missing(manager, second.id)


def test_11_a_layer_that_disappeared_is_made_again(manager: CacheManager) -> None:
    lower, upper = Blob({"1": "one"}), Blob({"2": "two"})
    first = manager.get_by_blob(lower.put(manager))
    second = manager.get_by_blob(upper.put(manager))
    first.extract()
    second.extract()
    manager.store.layers.remove(lower.diff_id)
    difference = manager.diff(first, second)
    difference.extract()
    assert [entry.path for entry in difference.files.walk()] == ["/", "/2"]


def test_12_merges(manager: CacheManager) -> None:
    assert manager.merge([]) is None
    bases = [made(manager, str(number)) for number in range(6)]
    for base in bases:
        base.finalize()
    one = manager.merge(bases[:1])
    assert one is not None
    assert one.id == bases[0].id
    one.release()
    first = manager.merge(bases[:3])
    assert first is not None
    assert first.kind is RefKind.MERGE
    assert usage(manager) == (7, 0)
    second = manager.merge(bases[3:])
    assert second is not None
    assert usage(manager) == (8, 0)
    release(*bases)
    assert usage(manager) == (8, 0)
    third = manager.merge([first, second])
    assert third is not None
    assert list(third.record.parents) == [base.id for base in bases]
    release(first, second)
    assert usage(manager) == (7, 2)
    assert [entry.path for entry in third.files.walk()][1:] == [f"/{n}" for n in range(6)]
    assert third.size == 0  # its layers are those of its parents
    third.release()
    assert usage(manager) == (0, 9)
    prune(manager)
    assert usage(manager) == (0, 0)


def test_13_diffs(manager: CacheManager) -> None:
    lower, upper = made(manager, "a"), made(manager, "b")
    difference = manager.diff(lower, upper)
    assert usage(manager) == (3, 0)
    release(lower, upper)
    assert usage(manager) == (3, 0)
    assert prune(manager) == 0
    assert [entry.path for entry in difference.files.walk()] == ["/", "/b"]
    assert difference.file_list() == [".wh.a", "b"]
    difference.release()
    assert usage(manager) == (0, 3)
    prune(manager)
    assert usage(manager) == (0, 0)

    chain: list[ImmutableRef] = []
    for name in "abcde":
        chain.append(made(manager, name, chain[-1] if chain else None))
    difference = manager.diff(chain[2], chain[4])
    assert difference.kind is RefKind.MERGE
    assert usage(manager) == (8, 0)
    with difference.layer_chain() as layers:
        assert [layer.id for layer in layers] == [chain[3].id, chain[4].id]
    chain[4].finalize()
    release(difference, *chain)
    assert usage(manager) == (0, 8)
    prune(manager)
    assert usage(manager) == (0, 0)


def test_13_a_diff_with_nothing(manager: CacheManager) -> None:
    lower = made(manager, "a")
    difference = manager.diff(lower, None)
    assert usage(manager) == (2, 0)
    assert difference.file_list() == [".wh.a"]
    release(difference, lower)
    assert usage(manager) == (0, 2)
    with pytest.raises(UsageError):
        manager.diff(None, difference)  # type: ignore[arg-type]


def test_14_remotes(manager: CacheManager) -> None:
    base = made(manager, "a")
    top = made(manager, "b", base)
    with pytest.raises(NoBlobsError):
        top.get_remotes()
    kinds = {
        Compression.NONE: "tar",
        Compression.GZIP: "tar+gzip",
        Compression.ZSTD: "tar+zstd",
    }
    for compression, ending in kinds.items():
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(top.get_remotes, True, compression, force=True) for _ in range(4)]
            found = [job.result()[0].descriptors for job in jobs]
        assert len(found) == 4
        for descriptors in found:
            assert descriptors == found[0]
            assert all(each.media_type.endswith(f".{ending}") for each in descriptors)
    # one for each layer and compression
    assert blobs(manager) == 6

    main, *variants = top.get_remotes(False, Compression.ZSTD, all=True)
    assert [each.media_type[-3:] for each in main.descriptors] == ["tar", "tar"]
    lowest = [each.descriptors[0].media_type for each in variants]
    assert len(variants) == len(set(lowest)) == 3
    assert all(each.descriptors[1].media_type.endswith("+zstd") for each in variants)


def test_14_a_lazy_blob_stays_lazy(manager: CacheManager) -> None:
    blob, other = Blob({"a": "a"}), Blob({"b": "b"}, Compression.ZSTD)
    base = manager.get_by_blob(blob.descriptor, None, blob.options)
    top = manager.get_by_blob(other.descriptor, base, other.options)
    (remote,) = top.get_remotes(True, Compression.GZIP)
    assert remote.descriptors == (blob.descriptor, other.descriptor)
    assert (blob.opened, other.opened) == (0, 0)
    (remote,) = top.get_remotes(True, Compression.GZIP, force=True)
    assert (blob.opened, other.opened) == (0, 1)
    with remote.open_blob(blob.descriptor) as stream:
        assert stream.read() == blob.data


def test_15_variants_are_shared(manager: CacheManager) -> None:
    blob = Blob({"a": "a"})
    first = manager.get_by_blob(blob.put(manager))
    (remote,) = first.get_remotes(True, Compression.ZSTD, force=True)
    (variant,) = remote.descriptors
    second = manager.get_by_blob(variant)
    assert second.id != first.id
    (plain,) = second.get_remotes(True, Compression.NONE, force=True)[0].descriptors
    assert first.get_remotes(False, Compression.NONE, all=True)[1].descriptors[0] == plain
    first.release()
    assert prune(manager) == 1
    for compression in (Compression.GZIP, Compression.NONE, Compression.ZSTD):
        (found,) = second.get_remotes(False, compression, force=True)[0].descriptors
        assert manager.store.content.size(found.digest) is not None


def test_16_variants_do_not_keep_each_other(manager: CacheManager) -> None:
    blob = Blob({"a": "a"}, Compression.NONE)
    refs = [manager.get_by_blob(blob.put(manager))]
    for compression in (Compression.GZIP, Compression.ZSTD, Compression.NONE):
        (found,) = refs[-1].get_remotes(True, compression, force=True)[0].descriptors
        refs.append(manager.get_by_blob(found))
    assert refs[-1].id == refs[0].id
    release(*refs)
    prune(manager)
    assert (usage(manager), blobs(manager), snapshots(manager)) == ((0, 0), 0, 0)


@pytest.mark.parametrize("first", [Compression.NONE, Compression.GZIP, Compression.ZSTD])
@pytest.mark.parametrize("second", [Compression.NONE, Compression.GZIP, Compression.ZSTD])
def test_17_conversion_keeps_the_layer(
    manager: CacheManager, first: Compression, second: Compression
) -> None:
    blob = Blob({"a": "a" * 100, "d/e": ""}, first)
    ref = manager.get_by_blob(blob.put(manager))
    (there,) = ref.get_remotes(True, second, force=True)[0].descriptors
    with manager.get_by_blob(there) as converted:
        (back,) = converted.get_remotes(True, first, force=True)[0].descriptors
    assert ref.diff_id == blob.diff_id
    assert there.annotations == back.annotations == blob.descriptor.annotations
    with manager.store.content.reader(back.digest) as stored:
        stored.verify()


def test_18_layers_that_registries_do_not_distribute(manager: CacheManager) -> None:
    blob = Blob({"a": "a"})
    foreign = Descriptor(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", blob.descriptor.digest,
        blob.descriptor.size, ("https://example.com/a",), annotations=blob.descriptor.annotations,
    )  # fmt: skip
    ref = manager.get_by_blob(replace(foreign), None, blob.options)
    (kept,) = ref.get_remotes(prefer_nondistributable=True)[0].descriptors
    assert (kept.media_type, kept.urls) == (foreign.media_type, foreign.urls)
    (plain,) = ref.get_remotes()[0].descriptors
    assert (plain.media_type, plain.urls) == (blob.descriptor.media_type, ())


def test_20_a_removal_that_was_interrupted(root: Path) -> None:
    with CacheManager.open(root) as manager:
        snap = made(manager, "a")
        snap.finalize()
        with manager.store.records.transaction() as change:
            change.mark_deleted(snap.id)
    with CacheManager.open(root) as manager:
        assert missing(manager, snap.id)
        assert manager.store.records.deleted() == []
        manager.prune(ALL)
        assert snapshots(manager) == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("with_parent", [False, True])
def test_19_mounts(manager: CacheManager, with_parent: bool) -> None:
    parent = made(manager, "p") if with_parent else None
    active = manager.new(parent)
    with active.mount() as path:
        (path / "new").write_bytes(b"new")
    assert active.files.read_bytes("new") == b"new"
    with active.mount(writable=False) as path:
        assert (path / "p").exists() == with_parent
        with pytest.raises(OSError, match="Read-only"):
            (path / "other").write_bytes(b"")
    snap = active.commit()
    for writable in (False, True):
        with snap.mount(writable=writable) as path:
            assert (path / "new").read_bytes() == b"new"
            with pytest.raises(OSError, match="Read-only"):
                (path / "other").write_bytes(b"")
    assert not snap.files.exists("other")
    assert not any((manager.store.root / "mounts" / "active").iterdir())
